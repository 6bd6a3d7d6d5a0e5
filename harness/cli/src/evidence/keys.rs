//! Where keys are, how they are made, and how others get the public half of one.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use reports::evidence::{
    keys::{self, Allowed, Duty, Signer},
    plain::{self, Links},
};

use crate::{
    exit::{Exit, Failure},
    say,
};

/// Make a key, and add it to the file of signers
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday evidence keygen --identity ops@example.org
  gameday evidence keygen --identity audit@example.org --reviewer --key reviewer.key

The key is kept without a passphrase, readable by you alone: drills run when nobody is there.")]
pub(super) struct Keygen {
    /// Who holds it, such as ops@example.org
    #[arg(long, value_name = "WHO")]
    identity: String,
    /// For reviews of what others have played
    #[arg(long)]
    reviewer: bool,
    #[command(flatten)]
    keys: Keys,
}

/// Print the public half of a key as PEM, for cosign and OpenSSL
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday evidence pem > operator.pem
  gameday evidence pem --of ops@example.org --signers allowed_signers > operator.pem

An auditor who has the file of signers needs no file of the operator's. Each closed run states its
result in attestation.dsse.json, signed with this key: an in-toto statement in a DSSE envelope.")]
pub(super) struct Pem {
    /// Of the keys that the file of signers names for somebody, instead of a key of yours
    #[arg(long, value_name = "WHO", conflicts_with = "key")]
    of: Option<String>,
    #[command(flatten)]
    keys: Keys,
}

/// Where keys and signers are.
#[derive(Args, Debug)]
pub(crate) struct Keys {
    /// The private key that signs [default: ~/.config/gameday/operator.key, or in $GAMEDAY_KEYS]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The file of signers whose keys are trusted [default: allowed_signers beside the default key]
    #[arg(long, value_name = "FILE")]
    signers: Option<PathBuf>,
}

/// Where keys are kept unless they are named. Never the working folder, which may be shared, or be pushed somewhere.
fn home() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let whole = |name: &str| set(name).filter(|path| path.is_absolute());
    set("GAMEDAY_KEYS")
        .or_else(|| whole("XDG_CONFIG_HOME").map(|c| c.join("gameday")))
        .or_else(|| whole("HOME").map(|h| h.join(".config/gameday")))
        .ok_or_else(|| {
            Failure::usage(
                "there is no home folder to keep keys in: HOME is not set, or no absolute path",
                "set HOME or GAMEDAY_KEYS to a folder that only you can read, or name both --key and --signers",
            )
        })
}

pub(super) fn or_at_home(named: Option<&PathBuf>, name: &str) -> Result<PathBuf, Failure> {
    named.map_or_else(|| Ok(home()?.join(name)), |path| Ok(path.clone()))
}

impl Keys {
    fn key(&self) -> Result<PathBuf, Failure> {
        or_at_home(self.key.as_ref(), "operator.key")
    }

    fn signers(&self) -> Result<PathBuf, Failure> {
        or_at_home(self.signers.as_ref(), "allowed_signers")
    }

    /// The key that signs, and those that are trusted.
    pub(crate) fn operator(&self) -> Result<(Signer, Allowed), Failure> {
        Ok((Signer::load(&self.key()?)?, Allowed::load(&self.signers()?)?))
    }
}

/// Adds a line to a file of signers. A last line that was not ended must not swallow it.
fn add_line(signers: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = signers.parent().filter(|f| !f.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let before = match plain::read(signers, Links::Followed, plain::SMALL) {
        Ok(text) => text,
        Err(plain::Unread::Missing) => Vec::new(),
        Err(e) => return Err(io::Error::other(e.to_string())),
    };
    let gap = if before.last().is_some_and(|b| *b != b'\n') { "\n" } else { "" };
    let mut file = fs::File::options().create(true).append(true).open(signers)?;
    file.write_all(format!("{gap}{line}").as_bytes())
}

impl Keygen {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let duty = if self.reviewer { Duty::Reviewer } else { Duty::Operator };
        let signer = Signer::generate(&self.identity)?;
        let (key, signers) = (self.keys.key()?, self.keys.signers()?);
        let [public, pem] = signer.store(&key)?;
        let line = signer.allowed_line(duty);
        add_line(&signers, &line).map_err(|e| {
            Failure::environment(
                format!("`{}` cannot be written: {e}", signers.display()),
                format!("add this line to it by hand: {}", line.trim_end()),
            )
        })?;
        say::out(&format!(
            "key         {} (only you can read it)\npublic      {}\n            {} (the same, for cosign and OpenSSL)\nfingerprint {}\nsigners     {}\n  {line}\
             Give the line above to auditors on another way than the evidence.\n",
            key.display(),
            public.display(),
            pem.display(),
            signer.fingerprint(),
            signers.display(),
        ))?;
        Ok(Exit::Pass)
    }
}

impl Pem {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let Some(who) = &self.of else {
            say::out(&Signer::load(&self.keys.key()?)?.pem())?;
            return Ok(Exit::Pass);
        };
        let signers = self.keys.signers()?;
        let text: String = Allowed::load(&signers)?.keys_of(who).map(|key| keys::pem(&key)).collect();
        if text.is_empty() {
            let what = format!("`{}` names no key of {who}", signers.display());
            return Err(Failure::usage(what, "name somebody who signed, or another file with --signers"));
        }
        say::out(&text)?;
        Ok(Exit::Pass)
    }
}
