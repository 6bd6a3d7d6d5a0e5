//! The connection to a container engine of this machine.
//!
//! Only a socket of this machine will do: nodes are published on its loopback, and nowhere else. The version of the
//! interface is agreed on first, since engines refuse one that is newer than they are.

use std::time::Duration;

use bollard::Docker;
use harness::ports::EnvironmentError;

use super::environment;

/// Where an engine listens if nobody says otherwise.
const SOCKET: &str = "unix:///var/run/docker.sock";
/// One call, other than those that build or pull.
const LIMIT: Duration = Duration::from_secs(60);
/// A call whose body is still being made: a recipe may compile for long before its first byte.
const BUILD_LIMIT: Duration = Duration::from_secs(3600);
/// Whether there is an engine at all.
const HELLO: Duration = Duration::from_secs(5);
/// What to do without an engine.
const START: &str =
    "start a container engine; on Debian, as root, `ci/setup --docker` installs and starts one";

/// A container engine that answered.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    version: String,
}

impl Engine {
    /// Connects to the engine of `DOCKER_HOST`, or of the usual socket.
    ///
    /// # Errors
    /// If there is none, if it may not be used, or if it is not on this machine.
    pub async fn connect() -> Result<Self, EnvironmentError> {
        let named = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        Self::connect_to(named.as_deref().unwrap_or(SOCKET)).await
    }

    /// Connects to the engine at a socket, given as `unix:///path`.
    pub(crate) async fn connect_to(address: &str) -> Result<Self, EnvironmentError> {
        let Some(path) = address.strip_prefix("unix://") else {
            let what =
                format!("the container engine at {address} is not reached by a socket of this machine");
            return Err(environment(what, "unset DOCKER_HOST, or give it as unix:///path/to/docker.sock"));
        };
        let absent = |why: &dyn std::fmt::Display| {
            environment(format!("no container engine answers at {path}: {why}"), START)
        };
        match std::fs::metadata(path) {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return Err(forbidden(path)),
            Err(e) => return Err(absent(&e)),
        }
        if let Err(e) = std::os::unix::net::UnixStream::connect(path) {
            return Err(match e.kind() {
                std::io::ErrorKind::PermissionDenied => forbidden(path),
                _ => absent(&e),
            });
        }
        let docker = Docker::connect_with_unix(address, LIMIT.as_secs(), bollard::API_DEFAULT_VERSION);
        let docker = docker.map_err(|e| absent(&e))?;
        let greeted = async {
            let docker = docker.negotiate_version().await?;
            let version = docker.version().await?.version.unwrap_or_else(|| "of unknown version".into());
            Ok::<_, bollard::errors::Error>(Self { docker, version })
        };
        match tokio::time::timeout(HELLO, greeted).await {
            Ok(greeted) => greeted.map_err(|e| absent(&e)),
            Err(_) => Err(absent(&format!("silent for {HELLO:?}"))),
        }
    }

    /// The client.
    pub(super) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The client, with the patience that a build needs.
    pub(super) fn patient(&self) -> Docker {
        self.docker.clone().with_timeout(BUILD_LIMIT)
    }

    /// The engine's version, as it says.
    pub fn version(&self) -> &str {
        &self.version
    }
}

fn forbidden(path: &str) -> EnvironmentError {
    let what = format!("the container engine at {path} may not be used by this user");
    environment(what, "run as a member of the group `docker`, or as root")
}

/// Whether an engine's answer was "there is no such thing".
pub(super) fn missing(error: &bollard::errors::Error) -> bool {
    status(error) == Some(404)
}

/// The status of an engine's refusal.
pub(super) fn status(error: &bollard::errors::Error) -> Option<u16> {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_an_engine_the_remedy_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let none = format!("unix://{}/none.sock", dir.path().display());
        let error = Engine::connect_to(&none).await.unwrap_err();
        assert!(error.what.contains("none.sock") && error.remedy.contains("ci/setup --docker"), "{error}");
        let file = dir.path().join("file");
        std::fs::write(&file, "no socket").unwrap();
        assert!(Engine::connect_to(&format!("unix://{}", file.display())).await.is_err());
        let far = Engine::connect_to("tcp://10.0.0.1:2375").await.unwrap_err();
        assert!(far.remedy.contains("DOCKER_HOST"), "{far}");
    }

    #[tokio::test]
    async fn what_speaks_another_language_is_no_engine() {
        use std::io::{Read as _, Write as _};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            while let Ok((mut near, _)) = listener.accept() {
                let _ = near.read(&mut [0; 512]);
                let _ = near.write_all(b"SSH-2.0-nonsense\r\n");
            }
        });
        assert!(Engine::connect_to(&format!("unix://{}", path.display())).await.is_err());
    }
}
