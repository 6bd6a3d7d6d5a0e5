//! Who may sign what: an `allowed_signers` file, read as `ssh-keygen` reads it.
//!
//! An auditor asks `ssh-keygen`, and the operator asks gameday: both must say the same, or one of them is deceived. So
//! this is the same reader, odd corners included: the first line that fits decides; one that cannot be read trusts
//! nobody; patterns may be negated; moments without a `Z` are local time, in standard time;
//! a 30th of February is a day in March. Only Ed25519 keys sign here; lines about other keys trust nobody.

mod read;

use std::path::Path;

use jiff::tz::TimeZone;
use signature::Verifier as _;
use ssh_key::{Algorithm, HashAlg, LineEnding, PublicKey, Signature, SshSig, public::Ed25519PublicKey};

use super::{
    Trouble,
    plain::{self, Links},
    unix_of,
};
use read::{Line, Rule, listed, read_line, white};

/// Who may sign what.
#[derive(Clone, Debug)]
pub struct Allowed {
    lines: Vec<Line>,
}

impl Allowed {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be read, or none of its lines is understood.
    pub fn load(path: &Path) -> Result<Allowed, Trouble> {
        let text = plain::read(path, Links::Followed, plain::SMALL).map_err(|e| {
            Trouble::usage(
                format!("the signers `{}`: {e}", path.display()),
                "name the file of signers that you were given on another way than the evidence, with --signers",
            )
        })?;
        let allowed = Allowed::parse(&text, &TimeZone::system());
        let why = allowed.broken().next();
        match why.filter(|_| allowed.lines.iter().all(|l| l.rule.is_err())) {
            Some(why) => Err(Trouble::usage(
                format!("{}: {why}", path.display()),
                "write a line as `gameday evidence keygen` prints it: who namespaces=\"..\" ssh-ed25519 KEY",
            )),
            None => Ok(allowed),
        }
    }

    /// The rules of a text. `zone` is where moments without a `Z` are meant.
    pub fn parse(text: impl AsRef<[u8]>, zone: &TimeZone) -> Allowed {
        let mut lines = Vec::new();
        for (i, line) in text.as_ref().split_inclusive(|b| *b == b'\n').enumerate() {
            // Its reader ends a line at the first zero byte.
            let line = line.split(|b| *b == 0).next().unwrap_or_default();
            let line = &line[line.iter().take_while(|b| white(**b)).count()..];
            if line.first().is_some_and(|b| *b != b'#') {
                lines.push(read_line(i + 1, line, zone));
            }
        }
        Allowed { lines }
    }

    /// The lines that are not understood, in words: nobody is trusted because of them.
    pub fn broken(&self) -> impl Iterator<Item = String> {
        let said =
            |l: &Line| l.rule.as_ref().err().map(|why| format!("line {} of the signers: {why}", l.number));
        self.lines.iter().filter_map(said)
    }

    /// Whether one key made both signatures, whatever they are over.
    pub(super) fn same_key(a: &[u8], b: &[u8]) -> bool {
        let key = |armoured: &[u8]| SshSig::from_pem(armoured).ok().map(|s| s.public_key().clone());
        key(a).is_some_and(|a| Some(a) == key(b))
    }

    /// Whether this signature over these bytes is `who`'s, as `ssh-keygen -Y verify -I who` would say at that moment.
    /// `at` is the stamp in the ledger, for keys that are valid for a time only.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn check(
        &self,
        who: &str,
        namespace: &str,
        bytes: &[u8],
        armoured: &[u8],
        at: &str,
    ) -> Result<(), String> {
        let key = made(namespace, bytes, armoured)?;
        let at = unix_of(at).ok_or_else(|| format!("`{at}` is not a moment"))?;
        match self.find(&key, Some(who.as_bytes()), Some(namespace), at) {
            Ok(_) => Ok(()),
            Err(Some(why)) => Err(format!("the key of {who} {why}")),
            Err(None) => match self.find(&key, None, None, at) {
                Ok(line) => Err(format!("it was made with the key of {}, not of {who}", line.shown())),
                Err(_) => {
                    let print = PublicKey::from(Ed25519PublicKey(key)).fingerprint(HashAlg::Sha256);
                    let why = self.broken().next().map_or(String::new(), |why| format!("; {why}"));
                    Err(format!("its key {print} is not among the allowed signers as {who}{why}"))
                }
            },
        }
    }

    /// Whether a bare signature over these bytes is that of a key of `who` that could sign in this namespace then.
    pub(super) fn check_bare(
        &self,
        who: &str,
        namespace: &str,
        bytes: &[u8],
        bare: &[u8],
        at: &str,
    ) -> Result<(), String> {
        let at = unix_of(at).ok_or_else(|| format!("`{at}` is not a moment"))?;
        let signature = Signature::new(Algorithm::Ed25519, bare)
            .map_err(|e| format!("it is not an Ed25519 signature ({e})"))?;
        let made = |key: &[u8; 32]| Ed25519PublicKey(*key).verify(bytes, &signature).is_ok();
        let Some(key) = self.keys_of(who).find(made) else {
            let why = self.broken().next().map_or(String::new(), |why| format!("; {why}"));
            return Err(format!("no key of {who} made it{why}"));
        };
        let found = self.find(&key, Some(who.as_bytes()), Some(namespace), at);
        let why = |why: Option<String>| format!("the key of {who} {}", why.unwrap_or_default());
        found.map(drop).map_err(why)
    }

    /// The keys that lines name for somebody, whatever else these lines say.
    pub fn keys_of<'a>(&'a self, who: &'a str) -> impl Iterator<Item = [u8; 32]> + 'a {
        let named = move |l: &&Line| listed(who.as_bytes(), &l.principals);
        let key = |l: &Line| l.rule.as_ref().ok().filter(|r| !r.authority)?.key;
        self.lines.iter().filter(named).filter_map(key)
    }

    /// Whose signature this is, as `ssh-keygen -Y find-principals` would say: the first name of the first line.
    pub fn who(&self, armoured: &[u8], at: &str) -> Option<String> {
        let key = key_of(&SshSig::from_pem(armoured).ok()?)?;
        let line = self.find(&key, None, None, unix_of(at)?).ok()?;
        line.shown().split(',').next().map(str::to_owned)
    }

    /// The first line that trusts a key; else why the last one that names it does not.
    fn find(
        &self,
        key: &[u8; 32],
        who: Option<&[u8]>,
        namespace: Option<&str>,
        at: u64,
    ) -> Result<&Line, Option<String>> {
        let mut near = None;
        for line in &self.lines {
            let Ok(rule) = &line.rule else { continue };
            let named = who.is_none_or(|who| listed(who, &line.principals));
            if named && rule.key.as_ref() == Some(key) && !rule.authority {
                match rule.permits(namespace, at) {
                    Ok(()) => return Ok(line),
                    Err(why) => near = Some(why),
                }
            }
        }
        Err(near)
    }
}

impl Line {
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.principals).into_owned()
    }
}

impl Rule {
    fn permits(&self, namespace: Option<&str>, at: u64) -> Result<(), String> {
        if let (Some(all), Some(namespace)) = (&self.namespaces, namespace)
            && !listed(namespace.as_bytes(), all)
        {
            return Err(format!("may not sign in `{namespace}`"));
        }
        if self.after.is_some_and(|after| at < after) {
            return Err("was not valid yet".into());
        }
        if self.before.is_some_and(|before| at > before) {
            return Err("was not valid any more".into());
        }
        Ok(())
    }
}

fn key_of(signature: &SshSig) -> Option<[u8; 32]> {
    signature.public_key().ed25519().map(|key| key.0)
}

/// The key that made a signature over exactly these bytes.
fn made(namespace: &str, bytes: &[u8], armoured: &[u8]) -> Result<[u8; 32], String> {
    let signature = SshSig::from_pem(armoured).map_err(|e| {
        let right = |b: &[u8]| {
            SshSig::from_pem(b).is_ok_and(|s| s.to_pem(LineEnding::LF).is_ok_and(|p| p.as_bytes() == b))
        };
        if plain::line_ends_converted(armoured, right) {
            return "its line ends were converted: copy it again, byte by byte".to_owned();
        }
        format!("it is not a signature ({e})")
    })?;
    // Armour leaves room for bytes that decode to the same, and the version's are not signed: only those that we
    // would have written are accepted.
    let parts = (signature.public_key().clone(), signature.namespace(), signature.hash_alg());
    let ours = SshSig::new(parts.0, parts.1, parts.2, signature.signature().clone())
        .and_then(|s| s.to_pem(LineEnding::LF))
        .map_err(|e| e.to_string())?;
    if ours.as_bytes() != armoured {
        if plain::line_ends_converted(armoured, |b| b == ours.as_bytes()) {
            return Err("its line ends were converted: copy it again, byte by byte".into());
        }
        return Err("its armour was changed".into());
    }
    let key = key_of(&signature).ok_or("it was made with a key that is not ssh-ed25519")?;
    let public = PublicKey::from(signature.public_key().clone());
    public.verify(namespace, bytes, &signature).map_err(|_| match signature.namespace() {
        other if other != namespace => format!("it was made for `{other}`, not for `{namespace}`"),
        _ => "it is not a signature over these bytes".to_owned(),
    })?;
    Ok(key)
}
