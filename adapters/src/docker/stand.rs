//! What a container is made of, before there is one.

use std::collections::HashMap;
use std::net::SocketAddr;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, Mount, MountType,
    NetworkingConfig, PortBinding,
};

/// The variable by which a container of our own is told what it is.
const CONFIG: &str = "GAMEDAY_CONFIG";

/// A disk of a container, that outlives its process and is emptied by a wipe.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    /// Where the product sees it.
    pub(super) at: &'static str,
    /// Its size, if it is one that can be filled: see `disk`.
    pub(super) bytes: Option<i64>,
}

/// What a product needs of a container.
#[derive(Debug, Clone)]
pub(super) struct Blueprint {
    /// The image.
    pub(super) image: String,
    /// Who runs it, if not whom the image names.
    pub(super) user: Option<&'static str>,
    /// What runs, after the image's entry point.
    pub(super) cmd: Vec<String>,
    /// `NAME=value`; may hold secrets, and is never printed.
    pub(super) env: Vec<String>,
    /// Where users come in, inside.
    pub(super) port: u16,
    /// Further doors, inside, and where this machine publishes them.
    pub(super) more: Vec<(u16, SocketAddr)>,
    /// Its only disk.
    pub(super) disk: Disk,
    /// Bytes of memory; more, and the kernel ends it.
    pub(super) memory: i64,
    /// Billionths of a processor.
    pub(super) nano_cpus: i64,
}

impl Blueprint {
    /// Gives it a disk that can be filled, and the memory that this is.
    pub(super) fn small_disk(mut self, bytes: i64) -> Self {
        self.disk.bytes = Some(bytes);
        self.memory += bytes;
        self
    }
}

/// Where a container stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The region's network.
    pub(super) network: String,
    /// The name by which others of the network find it.
    pub(super) host_name: String,
    /// Names by which it is found in the region's network, beside its own.
    pub(super) aliases: Vec<String>,
    /// Other networks that it is in.
    pub(super) also: Vec<String>,
    /// The port of this machine at which it is published.
    pub(super) published: SocketAddr,
    /// The volume that is its disk.
    pub(super) volume: String,
    /// Of container, volume and network alike.
    pub(super) labels: HashMap<String, String>,
}

/// Command and environment that make a container of the program's own image a hidden subcommand of it.
pub(super) fn becoming(word: &str, config: &impl serde::Serialize) -> (Vec<String>, Vec<String>) {
    let script = format!(
        "printf %s \"${CONFIG}\" >/run/gameday.json && unset {CONFIG} && exec gameday \"$0\" /run/gameday.json"
    );
    let cmd = vec!["/bin/sh".into(), "-c".into(), script, word.into()];
    // Everything in it has a form as JSON, by its own tests.
    let text = serde_json::to_string(config).unwrap_or_default();
    (cmd, vec![format!("{CONFIG}={text}")])
}

/// What an engine is told.
pub(super) fn body(blueprint: &Blueprint, place: &Place) -> ContainerCreateBody {
    let binding = |(inside, at): (u16, SocketAddr)| {
        let (host_ip, host_port) = (Some(at.ip().to_string()), Some(at.port().to_string()));
        (format!("{inside}/tcp"), Some(vec![PortBinding { host_ip, host_port }]))
    };
    let doors = std::iter::once((blueprint.port, place.published)).chain(blueprint.more.iter().copied());
    let bindings: HashMap<_, _> = doors.map(binding).collect();
    let ports = bindings.keys().cloned().collect();
    let disk = Mount {
        typ: Some(MountType::VOLUME),
        source: Some(place.volume.clone()),
        target: Some(blueprint.disk.at.to_owned()),
        ..Default::default()
    };
    let logs = [("max-size", "16m"), ("max-file", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let host = HostConfig {
        memory: Some(blueprint.memory),
        // No swap: a limit that swaps is a slow machine, not a small one.
        memory_swap: Some(blueprint.memory),
        nano_cpus: Some(blueprint.nano_cpus),
        pids_limit: Some(4096),
        network_mode: Some(place.network.clone()),
        port_bindings: Some(bindings),
        mounts: Some(vec![disk]),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".into()),
            config: Some(HashMap::from(logs)),
        }),
        ..Default::default()
    };
    // An engine finds containers by their names and aliases, not by what they call themselves.
    let endpoint = EndpointSettings { aliases: Some(place.aliases.clone()), ..Default::default() };
    let networks = HashMap::from([(place.network.clone(), endpoint)]);
    ContainerCreateBody {
        networking_config: Some(NetworkingConfig { endpoints_config: Some(networks) }),
        image: Some(blueprint.image.clone()),
        hostname: Some(place.host_name.clone()),
        user: blueprint.user.map(str::to_owned),
        cmd: Some(blueprint.cmd.clone()),
        env: Some(blueprint.env.clone()),
        exposed_ports: Some(ports),
        labels: Some(place.labels.clone()),
        host_config: Some(host),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_published_beyond_loopback() {
        let blueprint = Blueprint {
            image: "x".into(),
            user: None,
            cmd: Vec::new(),
            env: Vec::new(),
            port: 9000,
            more: vec![(9001, "127.0.0.1:4712".parse().unwrap())],
            disk: Disk { at: "/data", bytes: None },
            memory: 1 << 30,
            nano_cpus: 1_000_000_000,
        };
        let place = Place {
            network: "n".into(),
            host_name: "h".into(),
            aliases: vec!["a".into()],
            also: Vec::new(),
            published: "127.0.0.1:4711".parse().unwrap(),
            volume: "v".into(),
            labels: HashMap::from([("gameday.run".into(), "r".into())]),
        };
        let told = body(&blueprint, &place);
        assert_eq!(told.labels.unwrap()["gameday.run"], "r");
        let host = told.host_config.unwrap();
        let ports = host.port_bindings.unwrap();
        assert_eq!(ports.len(), 2);
        for (inside, outside) in [("9000/tcp", "4711"), ("9001/tcp", "4712")] {
            let bound = ports[inside].clone().unwrap();
            assert_eq!(bound.len(), 1);
            assert_eq!(bound[0].host_ip.as_deref(), Some("127.0.0.1"));
            assert_eq!(bound[0].host_port.as_deref(), Some(outside));
        }
        assert_eq!(host.memory, host.memory_swap);
        assert_eq!(host.publish_all_ports, None);
    }
}
