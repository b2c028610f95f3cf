//! Authenticators made of software, with a vendor that certifies them, and what ssh-keygen writes of their attestations.
//! Shared with the black-box tests, so it uses nothing of this crate. The same parts give the same bytes.

use std::{str::FromStr as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use p256::ecdsa::{DerSignature, SigningKey, signature::Signer as _};
use sha2::{Digest as _, Sha256};
use x509_cert::{
    TbsCertificate,
    builder::{Builder as _, CertificateBuilder, Result, profile::BuilderProfile},
    der::{
        Encode as _,
        asn1::{GeneralizedTime, OctetString},
        oid::ObjectIdentifier,
    },
    ext::Extension,
    name::Name,
    serial_number::SerialNumber,
    spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef},
    time::{Time, Validity},
};

use super::nistp256::strings;

/// The challenge that the policy's owner made.
pub(crate) const CHALLENGE: &[u8] = b"thirty-two bytes, as from a die.";
/// The model that the certificate names.
pub(crate) const MODEL: [u8; 16] = [0x5a; 16];
/// Certificates hold from 2020-01-01 ...
pub(crate) const FROM: u64 = 1_577_836_800;
/// ... until 2100-01-01.
pub(crate) const UNTIL: u64 = 4_102_444_800;

/// A key on P-256, always the same for a seed.
pub(crate) fn secret(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

/// A certificate's own words.
#[derive(Clone)]
pub(crate) struct Certificate {
    pub(crate) issuer: &'static str,
    pub(crate) subject: &'static str,
    pub(crate) authority: bool,
    pub(crate) model: Option<[u8; 16]>,
}

/// What the vendor says of itself.
pub(crate) const VENDOR: Certificate =
    Certificate { issuer: "CN=Vendor", subject: "CN=Vendor", authority: true, model: None };
/// What the vendor says of a batch of authenticators.
pub(crate) const BATCH: Certificate = Certificate {
    issuer: "CN=Vendor",
    subject: "C=SE,O=Vendor,OU=Authenticator Attestation,CN=Batch 1",
    authority: false,
    model: Some(MODEL),
};

impl BuilderProfile for Certificate {
    fn get_issuer(&self, _subject: &Name) -> Name {
        Name::from_str(self.issuer).unwrap()
    }

    fn get_subject(&self) -> Name {
        Name::from_str(self.subject).unwrap()
    }

    fn build_extensions(
        &self,
        _own: SubjectPublicKeyInfoRef<'_>,
        _issuers: SubjectPublicKeyInfoRef<'_>,
        _tbs: &TbsCertificate,
    ) -> Result<Vec<Extension>> {
        // BasicConstraints: SEQUENCE { BOOLEAN TRUE } or SEQUENCE {}.
        let authority: &[u8] = if self.authority { &[0x30, 3, 1, 1, 0xff] } else { &[0x30, 0] };
        let mut all = vec![extension("2.5.29.19", true, authority)];
        if let Some(model) = self.model {
            let model = OctetString::new(model.to_vec()).unwrap().to_der().unwrap();
            all.push(extension("1.3.6.1.4.1.45724.1.1.4", false, &model));
        }
        Ok(all)
    }
}

fn extension(id: &str, critical: bool, value: &[u8]) -> Extension {
    Extension {
        extn_id: ObjectIdentifier::new(id).unwrap(),
        critical,
        extn_value: OctetString::new(value.to_vec()).unwrap(),
    }
}

impl Certificate {
    /// The certificate of a key, signed by another or itself (DER).
    pub(crate) fn of(&self, key: &SigningKey, by: &SigningKey) -> Vec<u8> {
        let time = |at| Time::GeneralTime(GeneralizedTime::from_unix_duration(Duration::from_secs(at)).unwrap());
        let validity = Validity::new(time(FROM), time(UNTIL));
        let public = SubjectPublicKeyInfo::from_key(key.verifying_key()).unwrap();
        let builder = CertificateBuilder::new(self.clone(), SerialNumber::from(7_u32), validity, public).unwrap();
        builder.build::<_, DerSignature>(by).unwrap().to_der().unwrap()
    }
}

/// A certificate as PEM.
pub(crate) fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// The key that an authenticator makes.
#[derive(Clone)]
pub(crate) enum MadeKey {
    Ed25519(u8),
    P256(u8),
}

impl MadeKey {
    fn point(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(seed) => {
                ed25519_dalek::SigningKey::from_bytes(&[*seed; 32]).verifying_key().as_bytes().to_vec()
            }
            Self::P256(seed) => secret(*seed).verifying_key().to_sec1_point(false).as_bytes().to_vec(),
        }
    }

    /// The public key as policies write it.
    pub(crate) fn line(&self) -> String {
        let (kind, blob) = match self {
            Self::Ed25519(_) => {
                let kind = "sk-ssh-ed25519@openssh.com";
                (kind, strings(&[kind.as_bytes(), &self.point(), b"ssh:"]))
            }
            Self::P256(_) => {
                let kind = "sk-ecdsa-sha2-nistp256@openssh.com";
                (kind, strings(&[kind.as_bytes(), b"nistp256", &self.point(), b"ssh:"]))
            }
        };
        format!("{kind} {}", STANDARD.encode(blob))
    }

    fn cose(&self) -> Vec<u8> {
        let point = self.point();
        match self {
            Self::Ed25519(_) => [&b"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20"[..], &point].concat(),
            Self::P256(_) => {
                [&b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20"[..], &point[1..33], b"\x22\x58\x20", &point[33..]]
                    .concat()
            }
        }
    }
}

/// What the enrolment signature is over.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Over {
    Packed,
    U2f,
}

/// An enrolment. Every field is what goes into the attestation, so that a test can make it wrong.
#[derive(Clone)]
pub(crate) struct Enrolment {
    pub(crate) made: MadeKey,
    pub(crate) over: Over,
    pub(crate) application: &'static str,
    pub(crate) flags: u8,
    pub(crate) model: [u8; 16],
    pub(crate) extensions: &'static [u8],
    pub(crate) challenge: &'static [u8],
    pub(crate) certificate: Vec<u8>,
    pub(crate) signer: SigningKey,
}

/// The extension that ssh-keygen asks for with `-O verify-required`.
pub(crate) const CRED_PROTECT: &[u8] = b"\xa1\x6bcredProtect\x03";

impl Enrolment {
    /// An authenticator of the vendor's makes a key; somebody touched it and typed the PIN.
    pub(crate) fn honest(made: MadeKey) -> Self {
        Self {
            made,
            over: Over::Packed,
            application: "ssh:",
            flags: 0xc5,
            model: MODEL,
            extensions: CRED_PROTECT,
            challenge: CHALLENGE,
            certificate: BATCH.of(&secret(2), &secret(1)),
            signer: secret(2),
        }
    }

    /// An authenticator of before FIDO2.
    pub(crate) fn u2f() -> Self {
        Self { over: Over::U2f, flags: 0x41, model: [0; 16], extensions: b"", ..Self::honest(MadeKey::P256(9)) }
    }

    /// The authenticator data.
    pub(crate) fn data(&self) -> Vec<u8> {
        let head = [&Sha256::digest(self.application)[..], &[self.flags], &[0, 0, 0, 1], &self.model].concat();
        [&head[..], &[0, 48], &[0xcc; 48], &self.made.cose(), self.extensions].concat()
    }

    /// The enrolment signature.
    pub(crate) fn signature(&self) -> Vec<u8> {
        let challenge = Sha256::digest(self.challenge);
        let signed = match self.over {
            Over::Packed => [&self.data()[..], &challenge].concat(),
            Over::U2f => {
                [&[0], &Sha256::digest(self.application)[..], &challenge, &[0xcc; 48], &self.made.point()].concat()
            }
        };
        let signature: DerSignature = self.signer.sign(&signed);
        signature.as_bytes().to_vec()
    }

    /// The file that ssh-keygen writes.
    pub(crate) fn file(&self) -> Vec<u8> {
        let data = self.data();
        let data = [&[0x58, u8::try_from(data.len()).unwrap()], &data[..]].concat();
        file(b"ssh-sk-attest-v01", &self.certificate, &self.signature(), &data)
    }
}

/// The file of these parts.
pub(crate) fn file(magic: &[u8], certificate: &[u8], signature: &[u8], data: &[u8]) -> Vec<u8> {
    [strings(&[magic, certificate, signature, data]), vec![0; 8]].concat()
}
