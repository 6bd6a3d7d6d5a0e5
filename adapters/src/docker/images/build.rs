//! Building images from package registries: a recipe writes a tar archive, the engine imports or builds it.
//!
//! The archive is streamed, never held. A recipe is a shell script, so that an operator can read what it does and
//! run it by hand; what it says on standard error is its progress.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;

use bollard::query_parameters::{BuildImageOptions, CreateImageOptions};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use harness::ports::EnvironmentError;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio_util::io::ReaderStream;

use super::{BASE, Card, DEVICE, Found, look};
use crate::docker::{Engine, environment};

const SIGPIPE: i32 = 13;
const RECIPE: &str = include_str!("../recipes/base.sh");
pub(super) const DEVICE_RECIPE: &str = include_str!("../recipes/opencl.sh");
const NODE_RECIPE: &str = include_str!("../recipes/node.sh");

/// Makes the image that the others stand on, unless the engine has it.
///
/// # Errors
/// If the recipe or the engine fails.
pub async fn base(
    engine: &Engine,
    work: &Path,
    say: impl Fn(&str) + Send + Sync + Clone + 'static,
) -> Result<Found, EnvironmentError> {
    if let Some(found) = look(engine, BASE).await? {
        return Ok(found);
    }
    let mut recipe = Recipe::start("base", RECIPE, &[("VERSION", "bookworm")], work, say.clone())?;
    let (repo, tag) = BASE.split_once(':').unwrap_or((BASE, "latest"));
    let options = CreateImageOptions {
        from_src: Some("-".into()),
        repo: Some(repo.into()),
        tag: Some(tag.into()),
        ..Default::default()
    };
    let body = bollard::body_try_stream(recipe.archive());
    let docker = engine.patient();
    let told = docker.create_image(Some(options), Some(body), None);
    let imported = told.try_for_each(|_| std::future::ready(Ok(()))).await;
    recipe.finish(imported.map_err(|e| e.to_string())).await?;
    built(engine, BASE).await
}

/// Makes the image of a card by its recipe, whether or not the engine has it. The base has to be there.
///
/// # Errors
/// If the recipe or the engine fails.
pub async fn build(
    engine: &Engine,
    card: &Card,
    work: &Path,
    say: impl Fn(&str) + Send + Sync + Clone + 'static,
) -> Result<Found, EnvironmentError> {
    let recipe = Recipe::start(card.product, card.recipe, &[("VERSION", card.version)], work, say.clone())?;
    tagged(engine, recipe, card.built, say).await
}

/// Makes the image with an OpenCL device, unless the engine has it. The base has to be there.
///
/// # Errors
/// If the recipe or the engine fails.
pub async fn device(
    engine: &Engine,
    work: &Path,
    say: impl Fn(&str) + Send + Sync + Clone + 'static,
) -> Result<Found, EnvironmentError> {
    if let Some(found) = look(engine, DEVICE).await? {
        return Ok(found);
    }
    let recipe = Recipe::start("opencl", DEVICE_RECIPE, &[], work, say.clone())?;
    tagged(engine, recipe, DEVICE, say).await
}

/// Makes an image of what a recipe writes, and gives it a name.
async fn tagged(
    engine: &Engine,
    mut recipe: Recipe,
    tag: &str,
    say: impl Fn(&str) + Send + Sync,
) -> Result<Found, EnvironmentError> {
    let options = BuildImageOptions {
        dockerfile: "Dockerfile".into(),
        t: Some(tag.into()),
        rm: true,
        forcerm: true,
        ..Default::default()
    };
    let body = bollard::body_try_stream(recipe.archive());
    let docker = engine.patient();
    let told = docker.build_image(options, None, Some(body));
    let done = told
        .try_for_each(|info| {
            let line = info.stream.unwrap_or_default();
            if line.starts_with("Step ") {
                say(line.trim_end());
            }
            let failed = info.error_detail.and_then(|e| e.message);
            std::future::ready(match failed {
                Some(error) => Err(bollard::errors::Error::DockerStreamError { error }),
                None => Ok(()),
            })
        })
        .await;
    recipe.finish(done.map_err(|e| e.to_string())).await?;
    built(engine, tag).await
}

/// Makes the image of a program that becomes nodes and links, under this name, unless the engine has it; with the
/// OpenCL engine, if one is to come along.
pub(super) async fn program(
    engine: &Engine,
    (tag, exe, companion): (&str, &Path, Option<&Path>),
    say: impl Fn(&str) + Send + Sync + Clone + 'static,
) -> Result<Found, EnvironmentError> {
    if let Some(found) = look(engine, tag).await? {
        return Ok(found);
    }
    let text = |path: &Path| match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => {
            Err(environment(format!("{} is no text", path.display()), "move the program to another folder"))
        }
    };
    let (exe, companion) = (text(exe)?, companion.map(text).transpose()?.unwrap_or_default());
    let base = if companion.is_empty() { BASE } else { DEVICE };
    let told = [("VERSION", exe.as_str()), ("COMPANION", &companion), ("BASE", base)];
    let recipe = Recipe::start("node", NODE_RECIPE, &told, &std::env::temp_dir(), say.clone())?;
    tagged(engine, recipe, tag, say).await
}

async fn built(engine: &Engine, image: &str) -> Result<Found, EnvironmentError> {
    let what = || format!("{image} was built, and the engine does not have it");
    look(engine, image).await?.ok_or_else(|| environment(what(), "see that the engine has room on its disk"))
}

/// A recipe that runs. Dropping it ends it.
struct Recipe {
    name: String,
    child: Child,
    said: tokio::task::JoinHandle<String>,
}

impl Recipe {
    fn start(
        name: &str,
        script: &str,
        told: &[(&str, &str)],
        work: &Path,
        say: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, EnvironmentError> {
        let failed = |e: std::io::Error| environment(format!("recipe {name}: {e}"), "choose another --work");
        std::fs::create_dir_all(work).map_err(failed)?;
        let work = work.canonicalize().map_err(failed)?;
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("WORK", work).envs(told.iter().copied()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let stderr = child.stderr.take();
        let said = tokio::spawn(async move {
            let mut last = String::new();
            if let Some(stderr) = stderr {
                let mut lines = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    say(&line);
                    last = line;
                }
            }
            last
        });
        Ok(Self { name: name.to_owned(), child, said })
    }

    fn archive(&mut self) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
        match self.child.stdout.take() {
            Some(out) => ReaderStream::with_capacity(out, 1 << 16).left_stream(),
            None => futures::stream::empty().right_stream(),
        }
    }

    /// Waits for its end. What the recipe says counts more than what the engine made of a broken archive.
    async fn finish(mut self, engine: Result<(), String>) -> Result<(), EnvironmentError> {
        let exit = self.child.wait().await;
        let last = self.said.await.unwrap_or_default();
        match (exit, engine) {
            (Ok(exit), Ok(())) if exit.success() => Ok(()),
            // An engine that hangs up ends the recipe by a broken pipe.
            (Ok(exit), Err(why)) if exit.success() || exit.signal() == Some(SIGPIPE) => {
                let what = format!("the engine did not make the image of {}: {why}", self.name);
                Err(environment(what, "see that the engine has network and room on its disk"))
            }
            (Ok(exit), _) => Err(environment(
                format!("recipe {} ended with {exit}: {last}", self.name),
                "do what the recipe says is missing; `ci/setup --docker` installs what Debian has",
            )),
            (Err(e), _) => Err(environment(format!("recipe {}: {e}", self.name), "try again")),
        }
    }
}
