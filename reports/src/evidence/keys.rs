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

use ssh_key::{
    Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig, public::KeyData, rand_core::OsRng,
};

use super::Trouble;

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
        let text = fs::read(path).map_err(|e| {
            Trouble::usage(
                format!("the key `{shown}` cannot be read: {e}"),
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

    /// Keeps the key at `path` (mode 0600, never over another file) and its public half beside it.
    ///
    /// # Errors
    /// If there is a file already, or the disk fails.
    pub fn store(&self, path: &Path) -> Result<PathBuf, Trouble> {
        let public = PathBuf::from(format!("{}.pub", path.display()));
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
        fs::write(&public, self.public() + "\n").map_err(|e| Trouble::write(&public, &e))?;
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

    /// The line of an `allowed_signers` file that trusts this key.
    pub fn allowed_line(&self, duty: Duty) -> String {
        let public = self.public();
        let bare: Vec<&str> = public.split(' ').take(2).collect();
        format!("{} namespaces=\"{}\" {}\n", self.identity(), duty.namespaces(), bare.join(" "))
    }

    /// A signature over exactly these bytes, armoured.
    pub fn sign(&self, namespace: &str, bytes: &[u8]) -> String {
        let signature =
            self.key.sign(namespace, HashAlg::Sha512, bytes).expect("an unlocked Ed25519 key signs");
        signature.to_pem(LineEnding::LF).expect("a signature of ours can be encoded")
    }
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

/// Who may sign what: an `allowed_signers` file.
#[derive(Clone, Debug)]
pub struct Allowed {
    lines: Vec<AllowedKey>,
}

#[derive(Clone, Debug)]
struct AllowedKey {
    principal: String,
    namespaces: Option<Vec<String>>,
    after: Option<String>,
    before: Option<String>,
    key: KeyData,
}

impl Allowed {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be read, or any line is not understood: a rule that is passed over could be the one that forbids.
    pub fn load(path: &Path) -> Result<Allowed, Trouble> {
        let text = fs::read_to_string(path).map_err(|e| {
            Trouble::usage(
                format!("`{}` cannot be read: {e}", path.display()),
                "name the file of signers that you were given on another way than the evidence, with --signers",
            )
        })?;
        Allowed::parse(&text).map_err(|(line, why)| {
            Trouble::usage(
                format!("{}:{line}: {why}", path.display()),
                "write a line as `gameday evidence keygen` prints it: who namespaces=\"..\" ssh-ed25519 KEY",
            )
        })
    }

    /// The rules of a text.
    ///
    /// # Errors
    /// The first line, counted from 1, that is not understood, and why.
    pub fn parse(text: &str) -> Result<Allowed, (usize, String)> {
        let mut lines = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                lines.push(allowed_key(line).map_err(|why| (i + 1, why))?);
            }
        }
        Ok(Allowed { lines })
    }

    /// Whether one of these keys made the signature, whatever it is over.
    pub(super) fn made(&self, armoured: &[u8]) -> bool {
        SshSig::from_pem(armoured).is_ok_and(|s| self.lines.iter().any(|l| &l.key == s.public_key()))
    }

    /// Whether one key made both signatures, whatever they are over.
    pub(super) fn same_key(&self, a: &[u8], b: &[u8]) -> bool {
        let key = |armoured: &[u8]| SshSig::from_pem(armoured).ok().map(|s| s.public_key().clone());
        key(a).is_some_and(|a| Some(a) == key(b))
    }

    /// Whose signature over these bytes this is. `at` is the time in the ledger, `YYYYMMDDHHMMSS`, for keys that are
    /// valid for a time only.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn check(&self, namespace: &str, bytes: &[u8], armoured: &[u8], at: &str) -> Result<&str, String> {
        let signature = SshSig::from_pem(armoured).map_err(|e| format!("it is not a signature ({e})"))?;
        // Armour leaves room for bytes that decode to the same, and the version's are not signed: only those that we
        // would have written are accepted.
        let parts = (signature.public_key().clone(), signature.namespace(), signature.hash_alg());
        let ours = SshSig::new(parts.0, parts.1, parts.2, signature.signature().clone())
            .and_then(|s| s.to_pem(LineEnding::LF))
            .map_err(|e| e.to_string())?;
        if ours.as_bytes() != armoured {
            return Err("its armour was changed".into());
        }
        let public = PublicKey::from(signature.public_key().clone());
        public.verify(namespace, bytes, &signature).map_err(|_| match signature.namespace() {
            other if other != namespace => format!("it was made for `{other}`, not for `{namespace}`"),
            _ => "it is not a signature over these bytes".to_owned(),
        })?;
        let mut why =
            format!("its key {} is not among the allowed signers", public.fingerprint(HashAlg::Sha256));
        for line in self.lines.iter().filter(|l| &l.key == signature.public_key()) {
            match line.permits(namespace, at) {
                Ok(()) => return Ok(&line.principal),
                Err(not) => why = format!("the key of {} {not}", line.principal),
            }
        }
        Err(why)
    }
}

impl AllowedKey {
    fn permits(&self, namespace: &str, at: &str) -> Result<(), String> {
        if self.namespaces.as_ref().is_some_and(|all| !all.iter().any(|n| n == namespace)) {
            return Err(format!("may not sign in `{namespace}`"));
        }
        if self.after.as_ref().is_some_and(|after| at < after.as_str()) {
            return Err("was not valid yet".into());
        }
        if self.before.as_ref().is_some_and(|before| at >= before.as_str()) {
            return Err("was not valid any more".into());
        }
        Ok(())
    }
}

fn allowed_key(line: &str) -> Result<AllowedKey, String> {
    let (principal, rest) = line.split_once(char::is_whitespace).ok_or("a signer needs a name and a key")?;
    if principal.contains(['*', '?', '!', ',', '"']) {
        return Err(format!(
            "`{principal}`: patterns and lists of names are not understood; write a line for each"
        ));
    }
    let at = rest.find("ssh-ed25519 ").ok_or("there is no ssh-ed25519 key in this line")?;
    let (options, key) = rest.split_at(at);
    let key = PublicKey::from_openssh(key.trim()).map_err(|e| format!("the key cannot be read ({e})"))?;
    let mut allowed = AllowedKey {
        principal: principal.to_owned(),
        namespaces: None,
        after: None,
        before: None,
        key: key.key_data().clone(),
    };
    for option in options_of(options.trim())? {
        let (name, value) = option;
        match name.as_str() {
            "namespaces" => {
                allowed.namespaces = Some(value.split(',').map(|n| n.trim().to_owned()).collect())
            }
            "valid-after" => allowed.after = Some(moment(&value)?),
            "valid-before" => allowed.before = Some(moment(&value)?),
            other => return Err(format!("the option `{other}` is not understood")),
        }
    }
    Ok(allowed)
}

fn options_of(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, tail) = rest.split_once("=\"").ok_or_else(|| format!("`{rest}` is no option"))?;
        let (value, tail) = tail.split_once('"').ok_or("a quote is not closed")?;
        found.push((name.trim_start_matches(',').trim().to_ascii_lowercase(), value.to_owned()));
        rest = tail.trim();
    }
    Ok(found)
}

/// `YYYYMMDD[HHMM[SS]]`, in UTC, padded to seconds so that moments compare as text.
fn moment(text: &str) -> Result<String, String> {
    let digits = text.strip_suffix('Z').unwrap_or(text);
    if ![8, 12, 14].contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("`{text}` is not a moment; write YYYYMMDDHHMMSSZ"));
    }
    Ok(format!("{digits:0<14}"))
}
