//! What this process may use of the machine, against what a drill needs of it.

use std::{fs, path::Path};

use harness::plan::{Needs, Plan};
use rustix::{
    fs::statvfs,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use crate::{exit::Failure, machine::human_bytes};

/// More are of no use, and programs that close every file that might be open take long over it.
const FILES_MAX: u64 = 1 << 20;

/// Raises the soft limits to the hard ones: nodes inherit them. Where that is refused, the limits are as they were, and
/// whatever does not fit in them is refused before it is launched.
pub(crate) fn raise() {
    for (resource, most) in [(Resource::Nofile, FILES_MAX), (Resource::Nproc, u64::MAX)] {
        let limit = getrlimit(resource);
        let wanted = limit.maximum.unwrap_or(u64::MAX).min(most);
        if limit.current.is_some_and(|current| current < wanted) {
            let current = (wanted < u64::MAX).then_some(wanted);
            let _ = setrlimit(resource, Rlimit { current, maximum: limit.maximum });
        }
    }
}

/// How many files a process may open.
pub(crate) fn files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Ports of loopback that nobody uses; `None` where the system does not say.
pub(crate) fn ports() -> Option<u64> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = range.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
    let (first, last) = (ends.next()?, ends.next()?);
    let sockets = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let used = sockets.lines().find_map(|line| line.strip_prefix("TCP: inuse "));
    let used: u64 = used.and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or(0);
    Some((last + 1).saturating_sub(first).saturating_sub(used))
}

/// Bytes that are free where a folder is, or would be.
pub(crate) fn disk(folder: &Path) -> Option<u64> {
    let absolute = std::path::absolute(folder).ok()?;
    let there = absolute.ancestors().find(|p| p.exists())?;
    statvfs(there).ok().map(|s| s.f_bavail.saturating_mul(s.f_frsize))
}

/// What there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Have {
    files: u64,
    ports: Option<u64>,
    disk: Option<u64>,
}

impl Have {
    /// Now, for runs that are kept in this folder.
    pub(crate) fn now(out: &Path) -> Have {
        Have { files: files(), ports: ports(), disk: disk(out) }
    }

    /// What a drill needs and this is less than: in words, and what to do.
    pub(crate) fn lacks(&self, needs: &Needs) -> Option<(String, String)> {
        let Needs { descriptors, ports, disk_bytes } = *needs;
        if self.files < descriptors {
            let what =
                format!("up to {descriptors} open files are needed, and at most {} are allowed", self.files);
            let remedy = format!(
                "raise the hard limit: `ulimit -Hn {descriptors}` as root, LimitNOFILE={descriptors} of a service, \
                 `--ulimit nofile={descriptors}` of a container"
            );
            return Some((what, remedy));
        }
        if let Some(free) = self.ports.filter(|free| *free < ports) {
            let what = format!("up to {ports} ports of 127.0.0.1 are needed, and {free} are free");
            let remedy = "widen net.ipv4.ip_local_port_range, or end what holds ports".to_owned();
            return Some((what, remedy));
        }
        let free = self.disk.filter(|free| *free < disk_bytes)?;
        let what =
            format!("{} of disk are needed, and {} are free", human_bytes(disk_bytes), human_bytes(free));
        Some((what, "free the disk, or choose another folder with --out".to_owned()))
    }
}

/// Refuses to keep runs where there is no room for their journals.
pub(crate) fn room(out: &Path) -> Result<(), Failure> {
    const ROOM: u64 = 64 << 20;
    match disk(out).filter(|free| *free < ROOM) {
        None => Ok(()),
        Some(free) => {
            let what = format!("no drill was begun: {} of disk are free", human_bytes(free));
            Err(Failure::environment(what, "free the disk, or choose another folder with --out"))
        }
    }
}

/// Refuses a drill that this machine would let down half-way.
pub(crate) fn check(plan: &Plan, out: &Path) -> Result<(), Failure> {
    match Have::now(out).lacks(&plan.needs()) {
        None => Ok(()),
        Some((what, remedy)) => {
            let what = format!("drill `{}` was not begun: {what}", plan.scenario.name);
            Err(Failure::environment(what, remedy))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_named_with_a_remedy() {
        let needs = Needs { descriptors: 500, ports: 700, disk_bytes: 1 << 30 };
        let enough = Have { files: 500, ports: Some(700), disk: Some(1 << 30) };
        assert_eq!(enough.lacks(&needs), None);
        assert_eq!(Have { ports: None, disk: None, ..enough }.lacks(&needs), None, "nobody knows");
        for (have, word) in [
            (Have { files: 499, ..enough }, "open files"),
            (Have { ports: Some(699), ..enough }, "ports"),
            (Have { disk: Some(0), ..enough }, "disk"),
        ] {
            let (what, remedy) = have.lacks(&needs).unwrap();
            assert!(what.contains(word) && !remedy.is_empty(), "{what}");
        }
        assert!(ports().unwrap() > 1000 && disk(Path::new("nowhere/yet")).unwrap() > 0);
    }
}
