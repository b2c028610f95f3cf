//! Keys on P-256 whose secrets the tests have, signing as ssh-keygen, authenticators and browsers do. Shared with the
//! black-box tests, so it uses nothing of this crate.

use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use sha2::{Digest as _, Sha256, Sha512};

/// Length-prefixed strings, one after another.
pub(crate) fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// Who makes the signature.
#[derive(Clone)]
pub(crate) enum SignatureForm {
    /// ssh-keygen, or an enclave behind an SSH agent.
    Plain,
    /// An authenticator that SSH talks to.
    Authenticator { flags: u8 },
    /// An authenticator that a browser talks to.
    Browser(Browser),
}

/// What a browser adds. Every field is what goes into the signature, so that a test can make it wrong.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) flags: u8,
    pub(crate) origin: &'static str,
    /// The client data's text, with `CHALLENGE` where the message goes.
    pub(crate) client_data: &'static str,
    pub(crate) extensions: &'static [u8],
}

/// What a phone's browser adds.
pub(crate) const PHONE: Browser = Browser {
    flags: 5,
    origin: "https://two-key.example",
    client_data: "{\"type\":\"webauthn.get\",\"challenge\":\"CHALLENGE\",\"origin\":\"https://two-key.example\",\"crossOrigin\":false}",
    extensions: b"",
};

/// A key on P-256.
#[derive(Clone)]
pub(crate) struct P256 {
    pub(crate) secret: SigningKey,
    pub(crate) form: SignatureForm,
    pub(crate) application: &'static str,
}

impl P256 {
    pub(crate) fn new(seed: u8, form: SignatureForm) -> Self {
        let application = if let SignatureForm::Browser(_) = form { "two-key.example" } else { "ssh:" };
        Self { secret: SigningKey::from_slice(&[seed; 32]).unwrap(), form, application }
    }

    /// The public key in SSH's wire format.
    pub(crate) fn public(&self) -> Vec<u8> {
        let point = self.secret.verifying_key().to_sec1_point(false);
        if let SignatureForm::Plain = self.form {
            strings(&[b"ecdsa-sha2-nistp256", b"nistp256", point.as_bytes()])
        } else {
            let application = self.application.as_bytes();
            strings(&[b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", point.as_bytes(), application])
        }
    }

    /// The public key as policies write it.
    pub(crate) fn line(&self) -> String {
        let kind = if let SignatureForm::Plain = self.form {
            "ecdsa-sha2-nistp256"
        } else {
            "sk-ecdsa-sha2-nistp256@openssh.com"
        };
        format!("{kind} {}", STANDARD.encode(self.public()))
    }

    /// What follows the signature proper, and the bytes that it is over.
    fn around(&self, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let application = Sha256::digest(self.application);
        let counter = 7_u32.to_be_bytes();
        match &self.form {
            SignatureForm::Plain => (Vec::new(), message.to_vec()),
            SignatureForm::Authenticator { flags } => {
                let signed = [&application[..], &[*flags], &counter, &Sha256::digest(message)].concat();
                ([&[*flags][..], &counter].concat(), signed)
            }
            SignatureForm::Browser(Browser { flags, origin, client_data, extensions }) => {
                let client_data = client_data.replace("CHALLENGE", &URL_SAFE_NO_PAD.encode(message));
                let hash = Sha256::digest(&client_data);
                let signed = [&application[..], &[*flags], &counter, extensions, &hash].concat();
                let fields = strings(&[origin.as_bytes(), client_data.as_bytes(), extensions]);
                ([&[*flags][..], &counter, &fields].concat(), signed)
            }
        }
    }

    /// The SSHSIG blob over a message.
    pub(crate) fn blob(&self, namespace: &str, message: &[u8]) -> Vec<u8> {
        self.blob_with(namespace, message, |signature| {
            let (r, s) = signature.split_bytes();
            strings(&[&mpint(&r), &mpint(&s)])
        })
    }

    /// The same with the two numbers written by a test.
    pub(crate) fn blob_with(&self, namespace: &str, message: &[u8], write: impl Fn(Signature) -> Vec<u8>) -> Vec<u8> {
        let parts = strings(&[namespace.as_bytes(), b"", b"sha512", &Sha512::digest(message)]);
        let (after, signed) = self.around(&[b"SSHSIG", &parts[..]].concat());
        let kind = match self.form {
            SignatureForm::Plain => "ecdsa-sha2-nistp256",
            SignatureForm::Authenticator { .. } => "sk-ecdsa-sha2-nistp256@openssh.com",
            SignatureForm::Browser(_) => "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
        };
        let signature = [strings(&[kind.as_bytes(), &write(self.secret.sign(&signed))]), after].concat();
        let parts = strings(&[&self.public(), namespace.as_bytes(), b"", b"sha512", &signature]);
        [b"SSHSIG\0\0\0\x01", &parts[..]].concat()
    }
}

/// The other signature that verifies where this one does: `(r, n - s)`.
pub(crate) fn twin(signature: Signature) -> Signature {
    let (r, s) = signature.split_scalars();
    Signature::from_scalars(r.as_ref().to_owned(), (-*s.as_ref()).to_bytes()).unwrap()
}

/// A number as SSH writes it, in the shortest form.
pub(crate) fn mpint(digits: &[u8]) -> Vec<u8> {
    let digits = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
    let sign: &[u8] = if digits.first().is_some_and(|digit| digit & 0x80 != 0) { b"\0" } else { b"" };
    [sign, digits].concat()
}
