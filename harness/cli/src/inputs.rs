//! Scenario files as a command line names them: files, and folders that are not recursed into.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Args;
use harness::diagnose::{self, FILE_MAX, Loaded};

use crate::{exit::Failure, say};

/// One scenario file.
#[derive(Debug)]
pub(crate) struct Input {
    /// As it was named, or the folder's name and the file's.
    pub(crate) path: PathBuf,
    /// Its content; never more than the most that is accepted, and one.
    pub(crate) bytes: Vec<u8>,
    /// It was found in a folder, not named itself.
    pub(crate) from_folder: bool,
}

impl Input {
    /// Reads and compiles it.
    ///
    /// # Errors
    /// All of its mistakes, as text.
    pub(crate) fn load(&self, overrides: &[(String, String)]) -> Result<Loaded, Mistakes> {
        diagnose::load(&self.bytes, overrides).map_err(|found| Mistakes {
            count: found.len(),
            text: diagnose::render(&self.path.display().to_string(), &self.bytes, &found, say::colour()),
        })
    }
}

/// What is wrong with a file.
#[derive(Debug)]
pub(crate) struct Mistakes {
    /// How many.
    pub(crate) count: usize,
    /// For people.
    pub(crate) text: String,
}

/// Reads every file; a folder stands for the `*.toml` files directly in it, by name.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Input>, Failure> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.is_dir() {
            let files = files_of(path)?;
            if files.is_empty() {
                let what = format!("no scenario stands in `{}`", path.display());
                return Err(Failure::usage(
                    what,
                    "name a folder with *.toml files; sub-folders are not searched",
                ));
            }
            for path in files {
                inputs.push(Input { bytes: bytes(&path)?, path, from_folder: true });
            }
        } else {
            inputs.push(Input { bytes: bytes(path)?, path: path.clone(), from_folder: false });
        }
    }
    Ok(inputs)
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let wrong = |e| cannot_read(folder, &e);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.extension().is_some_and(|e| e == "toml") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What lies in the folders among `paths` and is not read, by name; a folder's name ends with `/`.
pub(crate) fn passed_over(paths: &[PathBuf]) -> Vec<(&PathBuf, Vec<String>)> {
    let others = |folder: &PathBuf| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let other = |path: &PathBuf| path.is_dir() || path.extension().is_none_or(|e| e != "toml");
        let name = |path: PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() { name + "/" } else { name }
        };
        let mut names: Vec<String> = entries.map(|e| e.path()).filter(other).map(name).collect();
        // Files of editors and of the system are nobody's scenarios.
        names.retain(|n| !n.starts_with('.'));
        names.sort();
        names
    };
    let all = paths.iter().filter(|p| p.is_dir()).map(|p| (p, others(p)));
    all.filter(|(_, names)| !names.is_empty()).collect()
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|f| f.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|e| cannot_read(path, &e)).map(|_| bytes)
}

fn cannot_read(path: &Path, e: &std::io::Error) -> Failure {
    Failure::usage(
        format!("`{}` cannot be read: {e}", path.display()),
        "name a scenario file or a folder of them",
    )
}

/// Changes to scenarios, from the command line.
#[derive(Args, Debug)]
pub(crate) struct Changes {
    /// Take all chance from this seed instead of the scenario's
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Set one value of the scenario; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

impl Changes {
    /// Paths and values, in the order in which they apply.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        let seed = self.seed.map(|s| ("seed".to_owned(), s.to_string()));
        self.set.iter().cloned().chain(seed).collect()
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (path, value) =
        text.split_once('=').ok_or("write a path, `=` and a value, such as objectives.rto=30s")?;
    Ok((path.trim().to_owned(), value.trim().to_owned()))
}
