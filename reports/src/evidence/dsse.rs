//! A DSSE envelope: bytes of a named type and a signature over both, as tools read them that know nothing of gameday.
//!
//! What is signed is not the bytes alone but their pre-authentication encoding, which begins with `DSSEv1`; OpenSSH's
//! own signatures begin with `SSHSIG`. So one key may make both, and neither ever passes for the other.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::keys::{self, Allowed, Signer};

/// The type of an in-toto statement.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A signed payload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// The payload, in base 64.
    pub payload: String,
    /// Who signed it.
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signature {
    /// The key's fingerprint: a hint, and never believed.
    #[serde(default)]
    pub keyid: String,
    /// Ed25519 over the encoding of type and payload, in base 64.
    pub sig: String,
}

/// What is signed of a payload of a type.
pub fn pae(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// A payload, signed.
    pub fn sign(kind: &str, payload: &[u8], signer: &Signer) -> Envelope {
        let signature = Signature {
            keyid: signer.fingerprint(),
            sig: STANDARD.encode(signer.sign_bare(&pae(kind, payload))),
        };
        Envelope { payload_type: kind.into(), payload: STANDARD.encode(payload), signatures: vec![signature] }
    }

    /// As it is written: one line.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("an envelope is plain data");
        bytes.push(b'\n');
        bytes
    }

    /// The payload of a file, whoever signed it.
    ///
    /// # Errors
    /// If it is no envelope around a payload of this type.
    pub fn payload(kind: &str, bytes: &[u8]) -> Result<(Envelope, Vec<u8>), String> {
        let envelope: Envelope =
            serde_json::from_slice(bytes).map_err(|e| format!("it is not a DSSE envelope: {e}"))?;
        if envelope.payload_type != kind {
            return Err(format!("its payload is `{}`, not `{kind}`", envelope.payload_type));
        }
        let payload =
            STANDARD.decode(&envelope.payload).map_err(|e| format!("its payload is not in base 64: {e}"))?;
        Ok((envelope, payload))
    }

    /// Whether `who` signed it, with a key that could sign runs at that moment.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn check(&self, payload: &[u8], who: &str, at: &str, allowed: &Allowed) -> Result<(), String> {
        let signed = pae(&self.payload_type, payload);
        let mut why = Err("nobody signed it".to_owned());
        for signature in &self.signatures {
            why = STANDARD
                .decode(&signature.sig)
                .map_err(|e| format!("its signature is not in base 64: {e}"))
                .and_then(|bare| allowed.check_bare(who, keys::EVIDENCE, &signed, &bare, at));
            if why.is_ok() {
                break;
            }
        }
        why
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::evidence::keys::Duty;

    const AT: &str = "2026-11-22T00:00:00Z";

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        let said = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), said);
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn nothing_but_what_was_signed_by_a_known_key_is_believed() {
        let (signer, stranger) =
            (Signer::generate("ops@example.org").unwrap(), Signer::generate("ops@example.org").unwrap());
        let allowed = Allowed::parse(signer.allowed_line(Duty::Operator), &TimeZone::UTC);
        let reviewer = Allowed::parse(signer.allowed_line(Duty::Reviewer), &TimeZone::UTC);
        let file = Envelope::sign(IN_TOTO, b"{}", &signer).bytes();
        let (envelope, payload) = Envelope::payload(IN_TOTO, &file).unwrap();
        assert_eq!((payload.as_slice(), envelope.bytes()), (&b"{}"[..], file.clone()));
        let check = |e: &Envelope, payload: &[u8], allowed: &Allowed| {
            e.check(payload, "ops@example.org", AT, allowed)
        };
        assert_eq!(check(&envelope, b"{}", &allowed), Ok(()));
        assert!(check(&envelope, b"[]", &allowed).unwrap_err().contains("no key of ops@example.org made it"));
        let other = Envelope { payload_type: "text/plain".into(), ..envelope.clone() };
        assert!(check(&other, b"{}", &allowed).is_err());
        assert!(check(&Envelope::sign(IN_TOTO, b"{}", &stranger), b"{}", &allowed).is_err());
        assert!(check(&envelope, b"{}", &reviewer).unwrap_err().contains("may not sign"));
        assert!(envelope.check(b"{}", "audit@example.org", AT, &allowed).is_err());
        let nobody = Envelope { signatures: Vec::new(), ..envelope };
        assert_eq!(check(&nobody, b"{}", &allowed), Err("nobody signed it".into()));
        for wrong in ["", "{}", "[]", "{\"payloadType\":\"\",\"payload\":\"*\",\"signatures\":[]}"] {
            assert!(Envelope::payload(IN_TOTO, wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    /// A signature in OpenSSH's form, and one over an envelope, are never the same bytes.
    #[test]
    fn a_key_for_both_forms_confuses_neither() {
        let signer = Signer::generate("ops@example.org").unwrap();
        let allowed = Allowed::parse(signer.allowed_line(Duty::Operator), &TimeZone::UTC);
        let bytes = pae(IN_TOTO, b"{}");
        let armoured = signer.sign(keys::EVIDENCE, &bytes);
        let inner = ssh_key::SshSig::from_pem(&armoured).unwrap();
        let bare = inner.signature().as_bytes();
        assert!(allowed.check_bare("ops@example.org", keys::EVIDENCE, &bytes, bare, AT).is_err());
    }
}
