"""Keys and signatures: what the policy lists, SSHSIG (as ssh-keygen makes it) and prehashed minisign.

The arithmetic of signatures is `cryptography`'s; here is only what it does not ask: one spelling of everything, and
points of the prime-order group.
"""
import base64
import binascii
import hashlib
import re
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from objects import Bad

ED, SK_ED = "ssh-ed25519", "sk-ssh-ed25519@openssh.com"
EC, SK_EC = "ecdsa-sha2-nistp256", "sk-ecdsa-sha2-nistp256@openssh.com"
WEBAUTHN = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com"
COPIED = 0x08 | 0x10  # an authenticator's flags: its key may be copied to other devices, or was
P25519 = 2**255 - 19
L25519 = 2**252 + 27742317777372353535851937790883648493
D25519 = -121665 * pow(121666, -1, P25519) % P25519
ORDER256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Key:
    """One listed key: its point is what counts, whichever sign it has; its wrapping says how it signs."""

    def __init__(self, wrapping, public, application=None, key_id=None, blob=None):
        self.wrapping, self.public, self.application, self.key_id = wrapping, public, application, key_id
        self.blob = blob
        curve, data = public
        self.point = (curve, data[1:33] if curve == "p256" else data[:31] + bytes([data[31] & 0x7F]))
        self.hardware = wrapping in (SK_ED, SK_EC)
        if wrapping == "minisign":
            self.fingerprint = "minisign:" + key_id[::-1].hex().upper()
        else:
            self.fingerprint = "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


class Wire:
    """Reads SSH wire format: lengths before strings, nothing left over."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Bad("malformed", "cut short")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self):
        return struct.unpack(">I", self.take(4))[0]

    def string(self):
        return self.take(self.number())

    def end(self):
        if self.at != len(self.data):
            raise Bad("malformed", "bytes after the end")


def unbase64(text):
    """Base64 with its padding, in its one spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Bad("malformed", "not base64") from None
    if base64.b64encode(data) != (text if isinstance(text, bytes) else text.encode()):
        raise Bad("malformed", "base64 in another spelling")
    return data


# ---- Points

def edwards(data):
    """The point that 32 bytes encode, as (x, y); Bad if they encode none, or not in its one form."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if len(data) != 32 or y >= P25519:
        raise Bad("malformed", "no point in its one form")
    u, v = (y * y - 1) % P25519, (D25519 * y * y + 1) % P25519
    x = u * pow(v, 3, P25519) * pow(u * pow(v, 7, P25519), (P25519 - 5) // 8, P25519) % P25519
    if v * x * x % P25519 != u:
        x = x * pow(2, (P25519 - 1) // 4, P25519) % P25519
    if v * x * x % P25519 != u or (x == 0 and sign):
        raise Bad("malformed", "no point of the curve")
    return (P25519 - x if x & 1 != sign else x), y


def times(number, point):
    """A multiple of a point, in extended coordinates turned back into (x, y)."""
    def add(p, q):
        a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
        c, d = 2 * p[3] * q[3] * D25519, 2 * p[2] * q[2]
        e, f, g, h = b - a, d - c, d + c, b + a
        return e * f % P25519, g * h % P25519, f * g % P25519, e * h % P25519
    total, step = (0, 1, 1, 0), (point[0], point[1], 1, point[0] * point[1] % P25519)
    while number:
        if number & 1:
            total = add(total, step)
        step, number = add(step, step), number >> 1
    inverse = pow(total[2], -1, P25519)
    return total[0] * inverse % P25519, total[1] * inverse % P25519


def ed25519_point(data):
    """A public key's point: of prime order, so that no second key stands for the same secret."""
    point = edwards(data)
    if point == (0, 1) or times(L25519, point) != (0, 1):
        raise Bad("malformed", "a point with a small-order part")
    return ("ed25519", data)


def p256_point(data):
    if len(data) != 65 or data[0] != 4:
        raise Bad("malformed", "a P-256 point is uncompressed")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data)
    except ValueError:
        raise Bad("malformed", "no point of P-256") from None
    return ("p256", data)


def ssh_key(blob):
    """A public key in SSH wire format."""
    wire = Wire(blob)
    wrapping = wire.string().decode("latin-1")
    if wrapping in (ED, SK_ED):
        public = ed25519_point(wire.string())
    elif wrapping in (EC, SK_EC):
        if wire.string() != b"nistp256":
            raise Bad("malformed", "another curve")
        public = p256_point(wire.string())
    else:
        raise Bad("malformed", f"key type {wrapping}")
    application = wire.string() if wrapping in (SK_ED, SK_EC) else None
    wire.end()
    return Key(wrapping, public, application, blob=blob)


def listed_key(text):
    """A key as a policy writes it: type and base64; what follows is a comment."""
    words = text.split(" ", 2)
    if len(words) < 2:
        raise Bad("malformed", "a key is its type and its base64")
    data = unbase64(words[1])
    if words[0] == "minisign":
        if len(data) != 42 or data[:2] != b"Ed":
            raise Bad("malformed", "no minisign key")
        return Key("minisign", ed25519_point(data[10:]), key_id=data[2:10])
    key = ssh_key(data)
    if key.wrapping != words[0]:
        raise Bad("malformed", "a key of another type than its first word")
    return key


# ---- Signatures

class Signature:
    """A signature that verified: by which point, and whether an authenticator's flags say that somebody was there, with
    a key that is nowhere else."""

    def __init__(self, key, present, checked=False):
        self.point, self.present, self.fingerprint, self.checked = key.point, present, key.fingerprint, checked
        self.key = key


def check_ed25519(public, signature, message):
    try:
        commitment = edwards(signature[:32])
        if times(8, commitment) == (0, 1):
            raise Bad("bad-signature", "a commitment of small order")
        ed25519.Ed25519PublicKey.from_public_bytes(public[1]).verify(signature, message)
    except InvalidSignature:
        raise Bad("bad-signature", "it does not verify") from None
    except Bad as bad:
        raise Bad("bad-signature", bad.why) from None


def scalar(wire):
    """A number of an ECDSA signature: SSH's mpint in its shortest form, of at most 32 bytes beside a leading zero."""
    data = wire.string()
    if data and (data[0] & 0x80 or (data[0] == 0 and (len(data) == 1 or not data[1] & 0x80))):
        raise Bad("malformed", "a number in another form")
    if len(data.lstrip(b"\0")) > 32:
        raise Bad("malformed", "a number that is too long")
    return int.from_bytes(data, "big")


def numbers(key, encoded):
    """What a signature consists of, read before anything is compared."""
    if key.public[0] == "ed25519":
        if len(encoded) != 64:
            raise Bad("malformed", "an Ed25519 signature has 64 bytes")
        return encoded
    wire = Wire(encoded)
    found = scalar(wire), scalar(wire)
    wire.end()
    if not all(0 < number < ORDER256 for number in found):
        raise Bad("bad-signature", "a number out of range")
    return found


def check_p256(public, numbers, message):
    r, s = numbers
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public[1])
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Bad("bad-signature", "it does not verify") from None


def client_data(parts, flags, message):
    """What a browser signs instead of the message: its hash, and the authenticator's extensions."""
    origin, data, extensions = parts
    if not ORIGIN.fullmatch(origin):
        raise Bad("bad-signature", "no origin")
    challenge = base64.urlsafe_b64encode(message).rstrip(b"=")
    begin = b'{"type":"webauthn.get","challenge":"' + challenge + b'","origin":"' + origin + b'"'
    rest = data[len(begin):]
    whole = rest[:1] in (b",", b"}") and rest.endswith(b"}")
    if not data.startswith(begin) or not whole or rest.startswith(b',"crossOrigin":true'):
        raise Bad("bad-signature", "client data about something else")
    if flags & 0x40 or bool(flags & 0x80) != bool(extensions):
        raise Bad("bad-signature", "flags that do not agree with the extensions")
    return hashlib.sha256(data).digest(), extensions


def sshsig(blob, namespace, message):
    """Verifies an SSHSIG over a message; who asks says which namespace it must have."""
    wire = Wire(blob)
    if wire.take(6) != b"SSHSIG" or wire.number() != 1:
        raise Bad("malformed", "no SSHSIG of version 1")
    key = ssh_key(wire.string())
    named, reserved, hash_name = wire.string(), wire.string(), wire.string()
    inner = Wire(wire.string())
    wire.end()
    if reserved or hash_name not in (b"sha256", b"sha512"):
        raise Bad("malformed", "reserved bytes or another hash")
    digest = hashlib.new(hash_name.decode(), message).digest()
    signed = b"SSHSIG" + b"".join(struct.pack(">I", len(s)) + s for s in (namespace, b"", hash_name, digest))
    kind, encoded = inner.string().decode("latin-1"), inner.string()
    if kind != key.wrapping and not (kind == WEBAUTHN and key.wrapping == SK_EC):
        raise Bad("malformed", "a signature of another type than its key")
    found = numbers(key, encoded)
    flags, counter = (inner.take(1)[0], inner.take(4)) if key.hardware else (0, b"")
    browser = [inner.string() for _ in range(3)] if kind == WEBAUTHN else None
    inner.end()
    if named != namespace:
        raise Bad("bad-signature", "made for another purpose", key)
    present = checked = False
    if key.hardware:
        what, extensions = hashlib.sha256(signed).digest(), b""
        if browser:
            try:
                what, extensions = client_data(browser, flags, signed)
            except Bad as bad:
                raise Bad(bad.reason, bad.why, key) from None
        signed = hashlib.sha256(key.application).digest() + bytes([flags]) + counter + extensions + what
        present = flags & 1 == 1 and flags & COPIED == 0
        checked = present and flags & 4 == 4  # a PIN, a finger or a face
    try:
        (check_ed25519 if key.public[0] == "ed25519" else check_p256)(key.public, found, signed)
    except Bad as bad:
        raise Bad(bad.reason, bad.why, key if bad.reason == "bad-signature" else None) from None
    return Signature(key, present, checked)


ORIGIN = re.compile(rb'[!#-\[\]-~]+')
SSHSIG_LIMIT, MINISIGN_LIMIT = 16 * 1024, 4 * 1024
ARMOUR = re.compile(rb"-----BEGIN SSH SIGNATURE-----\n((?:[A-Za-z0-9+/=]{1,76}\n)+)-----END SSH SIGNATURE-----\n?")


def armoured(text, namespace, message):
    """The same in ssh-keygen's armour."""
    found = ARMOUR.fullmatch(text)
    if not found or len(text) > SSHSIG_LIMIT:
        raise Bad("malformed", "no SSH signature in its armour")
    return sshsig(unbase64(found.group(1).replace(b"\n", b"")), namespace, message)


def minisign_parts(text):
    """A minisign file's parts: key id, signature, trusted comment, global signature."""
    lines = text.removesuffix(b"\n").split(b"\n")
    if len(text) > MINISIGN_LIMIT or not is_text(text) or len(lines) != 4 or not lines[0].startswith(b"untrusted comment: "):
        raise Bad("malformed", "no minisign file")
    if not lines[2].startswith(b"trusted comment: "):
        raise Bad("malformed", "no trusted comment")
    for comment in (lines[0], lines[2]):
        if deceives(comment.decode("utf-8").replace("\t", " ")):
            raise Bad("malformed", "a control or bidirectional character")
    signature, whole = unbase64(lines[1]), unbase64(lines[3])
    if len(signature) != 74 or signature[:2] != b"ED" or len(whole) != 64:
        raise Bad("malformed", "no prehashed signature")
    return signature[2:10], signature[10:], lines[2][len(b"trusted comment: "):], whole


def is_text(data):
    try:
        return data.decode() is not None
    except UnicodeDecodeError:
        return False


def deceives(text):
    """Whether a text has controls, or characters that steer how others are shown, beside which it may be odd."""
    return re.search("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]", text) is not None


HIDDEN = ((0, 31), (127, 159), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
          (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
          (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0xFFFE, 0xFFFF), (0xE0000, 0xE0FFF))


def hidden(c):
    """Whether a character is invisible, or changes how others are shown."""
    return any(first <= ord(c) <= last for first, last in HIDDEN)


def minisign(text, key, message):
    """Verifies a minisign file by a listed key."""
    key_id, signature, comment, whole = minisign_parts(text)
    if key_id != key.key_id:
        raise Bad("bad-signature", "made by another key")
    check_ed25519(key.public, signature, hashlib.blake2b(message).digest())
    check_ed25519(key.public, whole, signature + comment)
    return Signature(key, False)
