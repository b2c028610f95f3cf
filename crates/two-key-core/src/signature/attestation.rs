//! Attestation: what an authenticator says about a key that it has just made, as ssh-keygen writes it (`-O write-attestation`), read
//! strictly and verified in-process.
//!
//! ```text
//! string "ssh-sk-attest-v01"  string certificate (X.509, DER)  string enrolment signature (ECDSA, DER)
//! string authenticator data (a CBOR byte string)  uint32 reserved = 0  string reserved = ""        PROTOCOL.u2f
//!
//! authenticator data: 32 bytes SHA-256 of the application, byte flags, uint32 counter, 16 bytes AAGUID,
//!                     uint16 and that many bytes of a credential id, COSE key, extensions     WebAuthn section 6.1
//! ```
//!
//! The certificate's key signs the authenticator data and the SHA-256 of the challenge (`WebAuthn` section 8.2,
//! "packed"), or what U2F authenticators sign at registration (section 8.6). The COSE key must be, byte for byte, the
//! canonical form (CTAP2) of the key that is enrolled, and the one extension that ssh-keygen asks for is the only one
//! that is read: nothing here has to understand CBOR at large.

use std::{fmt, time::Duration};

use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use webpki::{EndEntityCert, KeyUsage, ring};
use x509_cert::{
    Certificate,
    der::{Decode as _, asn1::OctetString, oid::ObjectIdentifier},
};

use crate::model::{
    PublicKey, Reason, Refusal, Wrapping,
    key::{Point, ssh_string},
    oid::hex_encode,
};

/// The longest attestation, certificate of an issuer or challenge that is read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;
/// The shortest challenge that nobody guesses, in bytes (`WebAuthn` section 13.4.3).
const MIN_CHALLENGE: usize = 16;

const MAGIC: &[u8] = b"ssh-sk-attest-v01";
/// What OpenSSH 8.2 and 8.3 wrote: without the authenticator data there is nothing to check the signature over.
const OLD_MAGIC: &[u8] = b"ssh-sk-attest-v00";

/// Somebody touched the authenticator (UP).
const PRESENT: u8 = 0x01;
/// Somebody was verified: PIN, finger, face (UV).
const VERIFIED: u8 = 0x04;
/// The secret may be copied elsewhere, or was (BE, BS).
const COPIED: u8 = 0x18;
/// Data about a new key follows (AT).
const ATTESTED: u8 = 0x40;
/// Extensions follow (ED).
const EXTENDED: u8 = 0x80;

/// FIDO's X.509 extension that names the model (`id-fido-gen-ce-aaguid`, `WebAuthn` section 8.2.1).
const AAGUID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.45724.1.1.4");
/// The extension `credProtect` with its value to come (CTAP 2.1 section 12.1).
const CRED_PROTECT: &[u8] = b"\xa1\x6bcredProtect";

/// A well-formed attestation. Nothing is known yet about what it attests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    certificate: Vec<u8>,
    signature: Vec<u8>,
    data: AuthenticatorData,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct AuthenticatorData {
    bytes: Vec<u8>,
    application: [u8; 32],
    flags: u8,
    aaguid: [u8; 16],
    credential: Vec<u8>,
    /// The COSE key and, after it, the extensions.
    rest: Vec<u8>,
}

/// A certificate that attestations must be issued under: usually a vendor's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationRoot(CertificateDer<'static>);

/// Who must have issued the attestation's certificate.
#[derive(Debug, Clone, Copy)]
pub enum Issuer<'a> {
    /// Nobody in particular: the parts are only checked against each other.
    Anybody,
    /// This certificate's key, at this time (seconds since 1970), which must be within the certificate's.
    Root(&'a AttestationRoot, u64),
}

/// What a verified attestation shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    form: AttestationForm,
    /// SHA-256 of the certificate.
    certificate: [u8; 32],
    issuer: IssuerCheck,
}

/// What the signature is over.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AttestationForm {
    /// All of the authenticator data.
    Packed { verified: bool, aaguid: [u8; 16] },
    /// The application, the credential and the key only.
    U2f,
}

/// Whether the certificate's issuer was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IssuerCheck {
    Unchecked,
    Checked,
}

impl Attestation {
    /// Reads the file that ssh-keygen wrote.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_BYTES {
            return Err(malformed("it is longer than 16 KiB"));
        }
        let (magic, rest) = field(bytes)?;
        if magic == OLD_MAGIC {
            return Err(malformed("it is of the form v00, which leaves out what its signature is over"));
        }
        if magic != MAGIC {
            return Err(malformed("it does not begin with `ssh-sk-attest-v01`"));
        }
        let (certificate, rest) = field(rest)?;
        let (signature, rest) = field(rest)?;
        let (data, rest) = field(rest)?;
        if rest != [0; 8] {
            return Err(malformed("its end is not four zero bytes and an empty string"));
        }
        if certificate.is_empty() {
            return Err(bad("it has no certificate: the key speaks for itself, as software can"));
        }
        let data = AuthenticatorData::read(byte_string(data)?)?;
        Ok(Self { certificate: certificate.to_vec(), signature: signature.to_vec(), data })
    }

    /// Checks that an authenticator with this certificate made exactly this key, and was given exactly this challenge.
    ///
    /// # Errors
    /// `malformed` for bytes that are none, `hardware-required` for a key that is no authenticator's own or was made
    /// without a touch, and `bad-signature` for everything else that does not hold.
    pub fn check(&self, key: &PublicKey, challenge: &[u8], issuer: Issuer<'_>) -> Result<Attested, Refusal> {
        if !(MIN_CHALLENGE..=MAX_BYTES).contains(&challenge.len()) {
            return Err(malformed("its challenge does not have from 16 bytes to 16 KiB"));
        }
        let extensions = self.data.about(key)?;
        let protected = protected(extensions, self.data.flags)?;
        let der = CertificateDer::from(&self.certificate[..]);
        let certificate = EndEntityCert::try_from(&der)
            .map_err(|error| malformed(format!("its certificate is none that can be read ({error})")))?;
        let form = self.signed_by(&certificate, key, &Sha256::digest(challenge).into(), protected)?;
        let issuer = match issuer {
            Issuer::Anybody => IssuerCheck::Unchecked,
            Issuer::Root(root, now) => issued(&certificate, root, now)?,
        };
        Ok(Attested { form, certificate: Sha256::digest(&self.certificate).into(), issuer })
    }

    /// Checks the signature in the two forms there are. None is the other: U2F's begins with a zero byte, where the
    /// packed one has the application's hash, which was compared.
    fn signed_by(
        &self,
        certificate: &EndEntityCert<'_>,
        key: &PublicKey,
        challenge: &[u8; 32],
        protected: Protection,
    ) -> Result<AttestationForm, Refusal> {
        let data = &self.data;
        let holds =
            |message: &[u8]| certificate.verify_signature(ring::ECDSA_P256_SHA256, message, &self.signature).is_ok();
        if holds(&[&data.bytes[..], challenge].concat()) {
            self.names_its_model()?;
            return Ok(AttestationForm::Packed { verified: data.flags & VERIFIED != 0, aaguid: data.aaguid });
        }
        if let (Point::P256(point), Protection::Unsaid, true) =
            (key.raw().point(), protected, data.flags == PRESENT | ATTESTED)
            && holds(&[&[0], &data.application[..], challenge, &data.credential, point].concat())
        {
            return Ok(AttestationForm::U2f);
        }
        Err(bad("its certificate's key, on P-256, did not sign this data and this challenge"))
    }

    /// Checks the model in the certificate, where one stands there, against the one in the data.
    fn names_its_model(&self) -> Result<(), Refusal> {
        let unread = |error| malformed(format!("its certificate is none that can be read ({error})"));
        let certificate = Certificate::from_der(&self.certificate).map_err(unread)?;
        let extensions = certificate.tbs_certificate().extensions().map_or(&[][..], |all| &all[..]);
        for extension in extensions.iter().filter(|extension| extension.extn_id == AAGUID) {
            let model = OctetString::from_der(extension.extn_value.as_bytes()).map_err(unread)?;
            if model.as_bytes() != self.data.aaguid {
                return Err(bad("its certificate is for another model of authenticator than its data"));
            }
        }
        Ok(())
    }
}

impl AuthenticatorData {
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let short = || malformed("its authenticator data is cut short");
        let (application, rest) = bytes.split_first_chunk::<32>().ok_or_else(short)?;
        let (flags, rest) = rest.split_first().ok_or_else(short)?;
        let (_counter, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        if flags & !(PRESENT | VERIFIED | COPIED | ATTESTED | EXTENDED) != 0 {
            return Err(malformed("its flags have a reserved one"));
        }
        if flags & ATTESTED == 0 {
            return Err(malformed("its authenticator data is about no new key"));
        }
        let (aaguid, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
        let (credential, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into()).ok_or_else(short)?;
        Ok(Self {
            bytes: bytes.to_vec(),
            application: *application,
            flags: *flags,
            aaguid: *aaguid,
            credential: credential.to_vec(),
            rest: rest.to_vec(),
        })
    }

    /// Checks that it is about this key; what follows the key in it.
    fn about(&self, key: &PublicKey) -> Result<&[u8], Refusal> {
        let Wrapping::SkSsh { application } = key.wrapping() else {
            return Err(hardware("the key is not of a type that authenticators hold (sk-…)"));
        };
        if self.application[..] != Sha256::digest(application)[..] {
            return Err(bad("it is for another application than the key's"));
        }
        if self.flags & PRESENT == 0 {
            return Err(hardware("nobody touched the authenticator when the key was made"));
        }
        if self.flags & COPIED != 0 {
            return Err(hardware("it says that the secret may be copied to other devices"));
        }
        let rest = self.rest.strip_prefix(&cose(key)[..]);
        rest.ok_or_else(|| bad("it is about another key than the one that is enrolled"))
    }
}

impl AttestationRoot {
    /// Reads a PEM file that holds one certificate.
    pub fn from_pem(text: &[u8]) -> Result<Self, Refusal> {
        let bad =
            |what: String| Refusal::new(Reason::Malformed, format!("the issuer's certificate is malformed: {what}"));
        if text.len() > MAX_BYTES {
            return Err(bad("it is longer than 16 KiB".to_owned()));
        }
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let mut certificates = read.map_err(|error| bad(error.to_string()))?;
        match (certificates.pop(), certificates.is_empty()) {
            (Some(certificate), true) => {
                webpki::anchor_from_trusted_cert(&certificate).map_err(|error| bad(error.to_string()))?;
                Ok(Self(certificate))
            }
            _ => Err(bad("a PEM file with exactly one CERTIFICATE is needed".to_owned())),
        }
    }
}

impl Attested {
    /// In a few words, for the proposal.
    pub fn label(&self) -> &'static str {
        match self.issuer {
            IssuerCheck::Checked => "attested: its certificate's issuer was checked",
            IssuerCheck::Unchecked => "attestation consistent; its certificate's issuer was not checked",
        }
    }
}

/// What it shows, and what it does not, in lines for people.
impl fmt::Display for Attested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The attestation is for this key, this application and this challenge.")?;
        match &self.form {
            AttestationForm::Packed { verified, aaguid } => {
                let who = if *verified { "a PIN, finger or face was checked" } else { "no PIN or finger was checked" };
                writeln!(f, "  at enrolment: the authenticator was touched, and {who}")?;
                writeln!(f, "  model (AAGUID): {}", hex_encode(aaguid))?;
            }
            AttestationForm::U2f => {
                writeln!(f, "  at enrolment: the authenticator was touched (U2F: no PIN or finger is ever checked)")?;
                writeln!(f, "  model (AAGUID): not said")?;
            }
        }
        writeln!(f, "  certificate: SHA-256 {}", hex_encode(&self.certificate))?;
        match self.issuer {
            IssuerCheck::Checked => writeln!(f, "  issuer: the certificate that you named, directly"),
            IssuerCheck::Unchecked => writeln!(
                f,
                "  issuer: NOT CHECKED. Software can make such a certificate and such a key, so this does not show that an\n  \
                 authenticator holds the secret. Name the vendor's certificate with --attestation-root FILE."
            ),
        }
    }
}

/// Whether the data has the extension that ssh-keygen asks for.
#[derive(Clone, Copy)]
enum Protection {
    Unsaid,
    Said,
}

/// Reads the extensions: none, or `credProtect` alone, as the flags have it.
fn protected(extensions: &[u8], flags: u8) -> Result<Protection, Refusal> {
    match (flags & EXTENDED != 0, extensions.strip_prefix(CRED_PROTECT)) {
        (false, None) if extensions.is_empty() => Ok(Protection::Unsaid),
        (true, Some([1..=3])) => Ok(Protection::Said),
        _ => Err(malformed("after its key stands something else than what its flags and ssh-keygen ask for")),
    }
}

/// Checks that the root's key signed the certificate, by RFC 5280's rules: names, validity, no authority itself.
fn issued(certificate: &EndEntityCert<'_>, root: &AttestationRoot, now: u64) -> Result<IssuerCheck, Refusal> {
    let refused = |error| bad(format!("its certificate does not hold under the issuer that you named ({error})"));
    let anchor = webpki::anchor_from_trusted_cert(&root.0).map_err(refused)?;
    let algorithms = [
        ring::ECDSA_P256_SHA256,
        ring::ECDSA_P256_SHA384,
        ring::ECDSA_P384_SHA256,
        ring::ECDSA_P384_SHA384,
        ring::ED25519,
        ring::RSA_PKCS1_2048_8192_SHA256,
        ring::RSA_PKCS1_2048_8192_SHA384,
        ring::RSA_PKCS1_2048_8192_SHA512,
    ];
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
    certificate
        .verify_for_usage(&algorithms, &[anchor], &[], time, KeyUsage::client_auth(), None, None)
        .map_err(refused)?;
    Ok(IssuerCheck::Checked)
}

/// The canonical form of a key (CTAP2 section 6; COSE, RFC 9053 sections 2 and 7): kty, alg, crv, x and y.
fn cose(key: &PublicKey) -> Vec<u8> {
    match key.raw().point() {
        Point::Ed25519(x) => [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], &x[..]].concat(),
        Point::P256(point) => {
            let (x, y) = point[1..].split_at(32);
            [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], x, &[0x22, 0x58, 32], y].concat()
        }
    }
}

/// The content of a CBOR byte string in the shortest form (RFC 8949 section 3.1), with nothing after it.
fn byte_string(bytes: &[u8]) -> Result<&[u8], Refusal> {
    let (length, content) = match bytes {
        [0x58, length, content @ ..] if *length >= 24 => (usize::from(*length), content),
        [0x59, high, low, content @ ..] if *high > 0 => (usize::from(u16::from_be_bytes([*high, *low])), content),
        _ => return Err(malformed("its authenticator data is not a CBOR byte string in the shortest form")),
    };
    if content.len() == length {
        Ok(content)
    } else {
        Err(malformed("its authenticator data is shorter or longer than it says"))
    }
}

fn field(bytes: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    ssh_string(bytes).ok_or_else(|| malformed("it is cut short"))
}

fn malformed(what: impl fmt::Display) -> Refusal {
    Refusal::new(Reason::Malformed, format!("the attestation is malformed: {what}"))
        .hint("have one made anew: ssh-keygen -t ed25519-sk -O challenge=FILE -O write-attestation=FILE")
}

fn bad(what: impl fmt::Display) -> Refusal {
    Refusal::new(Reason::BadSignature, format!("the attestation does not hold: {what}"))
}

fn hardware(what: impl fmt::Display) -> Refusal {
    Refusal::new(Reason::HardwareRequired, format!("the attestation does not show hardware: {what}"))
}
