//! Keys and signatures: OpenSSH's own formats, so that `ssh-keygen -Y verify` needs nothing of ours.
//!
//! A signature is bound to a namespace, so that one over a review never passes for one over a run. Who may sign what
//! stands in an `allowed_signers` file, which must come from outside the evidence. Only Ed25519 keys.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use signature::Signer as _;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, SshSig, rand_core::OsRng};

pub use super::signers::Allowed;
use super::{
    Trouble,
    plain::{self, Links},
};

/// Signs the files of a run.
pub const EVIDENCE: &str = "gameday-evidence@v1";
/// Signs the head of the ledger.
pub const HEAD: &str = "gameday-head@v1";
/// Signs a review.
pub const REVIEW: &str = "gameday-review@v1";

/// What a key is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Duty {
    /// Plays drills and signs their files.
    Operator,
    /// Reviews what another has signed.
    Reviewer,
}

impl Duty {
    /// The namespaces that a key of this duty may sign in.
    pub fn namespaces(self) -> String {
        match self {
            Duty::Operator => format!("{EVIDENCE},{HEAD}"),
            Duty::Reviewer => format!("{REVIEW},{HEAD}"),
        }
    }
}

/// A key that signs.
#[derive(Debug)]
pub struct Signer {
    key: PrivateKey,
}

impl Signer {
    /// A new key. `identity` says who holds it, such as an address.
    ///
    /// # Errors
    /// If the identity could not stand in an `allowed_signers` file.
    pub fn generate(identity: &str) -> Result<Signer, Trouble> {
        check_identity(identity)?;
        let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(|e| {
            Trouble::usage(format!("no key can be made: {e}"), "check the random numbers of this system")
        })?;
        key.set_comment(identity);
        Ok(Signer { key })
    }

    /// Reads a private key that nobody else may read.
    ///
    /// # Errors
    /// If it cannot be read, is encrypted, is no Ed25519 key, names nobody, or others may read it.
    pub fn load(path: &Path) -> Result<Signer, Trouble> {
        let shown = path.display();
        let text = plain::read(path, Links::Followed, plain::SMALL).map_err(|e| {
            Trouble::usage(
                format!("the key `{shown}`: {e}"),
                "make one with `gameday evidence keygen`, or name another with --key",
            )
        })?;
        let mode = fs::metadata(path).map_err(|e| Trouble::read(path, &e))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Trouble::usage(
                format!("others may read the key `{shown}` (mode {:04o})", mode & 0o7777),
                format!("run: chmod 600 {shown}; if it was ever copied, make a new one"),
            ));
        }
        let wrong = |why: String| {
            Trouble::usage(
                format!("`{shown}` cannot sign: {why}"),
                "make a key with `gameday evidence keygen`",
            )
        };
        let key = PrivateKey::from_openssh(&text)
            .map_err(|e| wrong(format!("not an OpenSSH private key ({e})")))?;
        if key.is_encrypted() {
            return Err(wrong("it has a passphrase, and nobody may be there to type it".into()));
        }
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(wrong(format!("it is of kind {}, not ssh-ed25519", key.algorithm())));
        }
        check_identity(key.comment())?;
        Ok(Signer { key })
    }

    /// Keeps the key at `path` (mode 0600, never over another file) and its public half beside it, in the forms of
    /// OpenSSH (`.pub`) and of everybody else (`.pub.pem`); answers with both.
    ///
    /// # Errors
    /// If there is a file already, or the disk fails.
    pub fn store(&self, path: &Path) -> Result<[PathBuf; 2], Trouble> {
        let public = ["pub", "pub.pem"].map(|end| PathBuf::from(format!("{}.{end}", path.display())));
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|e| Trouble::write(folder, &e))?;
        }
        let text = self.key.to_openssh(LineEnding::LF).expect("a key of ours can be encoded");
        let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = made.map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => Trouble::usage(
                format!("there is a key at `{}` already", path.display()),
                "use it, or choose another file with --key: what it signed could not be told from yours",
            ),
            _ => Trouble::write(path, &e),
        })?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|e| Trouble::write(path, &e))?;
        for (path, text) in public.iter().zip([self.public() + "\n", self.pem()]) {
            fs::write(path, text).map_err(|e| Trouble::write(path, &e))?;
        }
        Ok(public)
    }

    /// Who holds it.
    pub fn identity(&self) -> &str {
        self.key.comment()
    }

    /// Its fingerprint, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The public key on one line.
    pub fn public(&self) -> String {
        self.key.public_key().to_openssh().expect("a key of ours can be encoded")
    }

    /// The public key as PEM.
    pub fn pem(&self) -> String {
        let key = self.key.public_key().key_data().ed25519().expect("keys of ours are Ed25519");
        pem(&key.0)
    }

    /// The line of an `allowed_signers` file that trusts this key.
    pub fn allowed_line(&self, duty: Duty) -> String {
        let public = self.public();
        let bare: Vec<&str> = public.split(' ').take(2).collect();
        format!("{} namespaces=\"{}\" {}\n", self.identity(), duty.namespaces(), bare.join(" "))
    }

    /// Whether this key made a signature, whatever it is over.
    pub(super) fn made(&self, armoured: &[u8]) -> bool {
        SshSig::from_pem(armoured).is_ok_and(|s| s.public_key() == self.key.public_key().key_data())
    }

    /// A signature over exactly these bytes, armoured.
    pub fn sign(&self, namespace: &str, bytes: &[u8]) -> String {
        let signature =
            self.key.sign(namespace, HashAlg::Sha512, bytes).expect("an unlocked Ed25519 key signs");
        signature.to_pem(LineEnding::LF).expect("a signature of ours can be encoded")
    }

    /// A signature over exactly these bytes, in no namespace and without armour: for forms that bring their own.
    pub(super) fn sign_bare(&self, bytes: &[u8]) -> Vec<u8> {
        self.key.try_sign(bytes).expect("an unlocked Ed25519 key signs").as_bytes().to_vec()
    }
}

/// A public Ed25519 key as PEM of its SubjectPublicKeyInfo, which OpenSSL and cosign read.
pub fn pem(key: &[u8; 32]) -> String {
    // SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 32 bytes }
    const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = STANDARD.encode([&PREFIX[..], key].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
}

fn check_identity(identity: &str) -> Result<(), Trouble> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "@._+-".contains(c);
    if identity.is_empty() || !identity.chars().all(fine) {
        return Err(Trouble::usage(
            format!("`{identity}` does not say who holds a key"),
            "name a person or a machine by letters, digits and @._+-, such as ops@example.org",
        ));
    }
    Ok(())
}
