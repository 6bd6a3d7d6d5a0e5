//! One session of the program: what is typed, what comes back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use assert_cmd::Command;
use tempfile::TempDir;

/// A folder of its own, with the fixtures in it.
pub(crate) struct Desk(TempDir);

/// What came back.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A failed test keeps its folder: the journal in it says what happened, and a rare failure may not come again.
#[expect(clippy::print_stderr, reason = "whoever reads a failed test needs the path")]
impl Drop for Desk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
            eprintln!("the evidence of this failure is kept in {}", self.0.path().display());
        }
    }
}

impl Desk {
    pub(crate) fn new() -> Desk {
        let desk = Desk(TempDir::new().expect("a temporary folder"));
        for file in ["good.toml", "short.toml", "mistakes.toml"] {
            fs::copy(here().join("tests/fixtures").join(file), desk.path(file))
                .expect("the fixtures are there");
        }
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The fixture that passes, changed.
    pub(crate) fn changed(&self, name: &str, from: &str, to: &str) {
        let text = self.read("good.toml");
        assert!(text.contains(from), "{from}");
        self.write(name, &text.replace(from, to));
    }

    pub(crate) fn gameday(&self, line: &str) -> Answer {
        self.gameday_with(line, &[])
    }

    /// The same with more variables.
    pub(crate) fn gameday_with(&self, line: &str, variables: &[(&str, String)]) -> Answer {
        let output = Command::cargo_bin("gameday")
            .expect("the program is built")
            .current_dir(self.0.path())
            .args(line.split_whitespace())
            .env_remove("GAMEDAY_LOG")
            .env("COLUMNS", "100")
            .env("GAMEDAY_KEYS", self.path("keys"))
            .env("GAMEDAY_CACHE", self.path("cache"))
            // Whatever this machine has: without a file of that name there is none.
            .env("GAMEDAY_OPENCL", self.path("opencl-engine"))
            .env_remove("GITHUB_STEP_SUMMARY")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .timeout(std::time::Duration::from_secs(120))
            .output()
            .expect("the program can be started");
        let text = |bytes| String::from_utf8(bytes).expect("only text is printed");
        let code = output.status.code().expect("it ended by itself");
        Answer { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The whole session as text, with what differs from run to run made equal.
    pub(crate) fn session(&self, line: &str) -> String {
        let a = self.gameday(line);
        let mut text = format!("$ gameday {line}\n[exit {}]\n", a.code);
        for (name, part) in [("stdout", &a.stdout), ("stderr", &a.stderr)] {
            if !part.is_empty() {
                text.push_str(&format!("--- {name}\n{part}"));
            }
        }
        let program = assert_cmd::cargo::cargo_bin("gameday");
        text = text.replace(&*program.to_string_lossy(), "gameday");
        let own = self.0.path().canonicalize().expect("it is there");
        text = text.replace(&*own.to_string_lossy(), "/desk");
        let runs = fs::read_dir(self.path("runs")).into_iter().flatten().flatten();
        for run in runs.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|n| n != "latest") {
            text = text.replace(&run, "<run>");
        }
        text
    }
}

pub(crate) fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
