//! Pulling an official image from the registry that its name says.

use std::time::Duration;

use bollard::query_parameters::CreateImageOptions;
use futures::StreamExt;
use harness::ports::EnvironmentError;
use tokio::time::timeout;

use super::{Found, look};
use crate::docker::{Engine, environment};

/// How long a registry may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// Pulls an image and answers with the digest that the registry gave.
///
/// # Errors
/// If no registry answers, or it does not have the image.
pub async fn pull(engine: &Engine, image: &str, say: impl Fn(&str)) -> Result<Found, EnvironmentError> {
    let failed = |why: String| {
        let what = format!("{image} could not be pulled: {why}");
        environment(what, "where no registry answers, run `gameday images build`")
    };
    let options = CreateImageOptions { from_image: Some(image.into()), ..Default::default() };
    let mut told = Box::pin(engine.patient().create_image(Some(options), None, None));
    let mut last = String::new();
    loop {
        let next = timeout(SILENCE, told.next()).await;
        match next.map_err(|_| failed(format!("no word for {SILENCE:?}")))? {
            None => break,
            Some(Err(e)) => return Err(failed(e.to_string())),
            Some(Ok(info)) => {
                let line = match (info.id, info.status) {
                    (Some(id), Some(status)) => format!("{id}: {status}"),
                    (_, status) => status.unwrap_or_default(),
                };
                if line != last && !line.is_empty() {
                    say(&line);
                    last = line;
                }
            }
        }
    }
    look(engine, image).await?.ok_or_else(|| failed("the engine does not have it afterwards".into()))
}
