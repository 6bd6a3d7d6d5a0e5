//! The image of the program itself: workers, and links between regions, are containers of what plays the drill.
//!
//! Its name carries the hash of the program, so a program that was built anew gets a new image, within seconds, when
//! it is needed first: it is a copy of one file, and nothing is fetched for it. Images of older programs that nothing
//! uses any more are removed.
//!
//! Where the OpenCL engine lies beside the program, and the image with a device was built, it comes along: workers
//! compute on that device then.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::query_parameters::{ListImagesOptions, RemoveImageOptions};
use harness::ports::EnvironmentError;
use sha2::{Digest, Sha256};

use super::build::program;
use super::{BASE, DEVICE, Found, GET, look};
use crate::docker::{Engine, environment};

/// The repository of the images of programs.
pub const NODE: &str = "gameday/node";
/// An image of another program is kept for so long: its run may be about to start.
const KEPT: Duration = Duration::from_secs(3600);

/// The name of a program's image, with the OpenCL engine that comes along.
///
/// # Errors
/// If one of them cannot be read.
pub fn node_tag(exe: &Path, companion: Option<&Path>) -> Result<String, EnvironmentError> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    for path in [Some(exe), companion].into_iter().flatten() {
        let failed = |e| environment(format!("{}: {e}", path.display()), "see that the program can be read");
        let mut file = std::fs::File::open(path).map_err(failed)?;
        loop {
            match file.read(&mut chunk).map_err(failed)? {
                0 => break,
                n => hash.update(&chunk[..n]),
            }
        }
    }
    let hex: String = hash.finalize().iter().take(6).map(|b| format!("{b:02x}")).collect();
    Ok(format!("{NODE}:{hex}"))
}

/// The OpenCL engine that comes along, if there is one and the container engine has the image with a device.
///
/// # Errors
/// If the engine does not say.
pub async fn companion(engine: &Engine) -> Result<Option<PathBuf>, EnvironmentError> {
    let beside = index::opencl::program().filter(|program| program.is_file());
    Ok(if look(engine, DEVICE).await?.is_some() { beside } else { None })
}

/// The image of a program; made, if the engine does not have it.
///
/// # Errors
/// If the base of all images is missing, or the engine fails.
pub async fn node(
    engine: &Engine,
    exe: &Path,
    say: impl Fn(&str) + Send + Sync + Clone + 'static,
) -> Result<Found, EnvironmentError> {
    let (path, along) = (exe.to_owned(), companion(engine).await?);
    let companion = along.clone();
    let tag = tokio::task::spawn_blocking(move || node_tag(&path, along.as_deref())).await;
    let tag = tag.map_err(|e| environment(e, "try again"))??;
    if look(engine, BASE).await?.is_none() {
        return Err(environment(format!("{BASE} is not in the engine, and workers stand on it"), GET));
    }
    let found = program(engine, (&tag, exe, companion.as_deref()), say).await?;
    forget_older(engine, &tag).await;
    Ok(found)
}

/// Removes images of other programs that nothing uses; what cannot be removed stays.
async fn forget_older(engine: &Engine, ours: &str) {
    let filters = Some(HashMap::from([("reference".to_owned(), vec![NODE.to_owned()])]));
    let options = ListImagesOptions { filters, ..Default::default() };
    let Ok(all) = engine.docker().list_images(Some(options)).await else { return };
    let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else { return };
    let before = i64::try_from(now.saturating_sub(KEPT).as_secs()).unwrap_or_default();
    for image in all.into_iter().filter(|image| image.created < before) {
        for tag in image.repo_tags.iter().filter(|tag| *tag != ours) {
            // The engine refuses to remove what a container uses.
            let _ = engine.docker().remove_image(tag, None::<RemoveImageOptions>, None).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_is_another_image() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, "one").unwrap();
        let one = node_tag(&path, None).unwrap();
        assert_eq!(one, node_tag(&path, None).unwrap());
        assert_ne!(one, node_tag(&path, Some(&path)).unwrap());
        std::fs::write(&path, "two").unwrap();
        assert_ne!(one, node_tag(&path, None).unwrap());
        assert!(node_tag(&dir.path().join("none"), None).is_err());
        assert!(node_tag(&path, Some(&dir.path().join("none"))).is_err());
    }
}
