//! Each thing that a drill needs, tried for real: a port is bound, a process is paused and killed.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use harness::urgency::{self, Urgency};
use rustix::{
    fs::{Access, access, statvfs},
    process::{Pid, Signal, kill_process},
};

use harness::plan::Plan;

use crate::{
    limits::{self, Have},
    machine::{cores, human_bytes, memory},
};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Info,
    /// It works, and may disturb a measurement.
    Poor,
    /// World `local` cannot run without it.
    Missing,
}

/// What was found out about one thing.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) level: Level,
    pub(super) found: String,
    pub(super) remedy: String,
}

fn check(name: &'static str, level: Level, found: impl Into<String>, remedy: impl Into<String>) -> Check {
    let remedy = if matches!(level, Level::Ok | Level::Info) { String::new() } else { remedy.into() };
    Check { name, level, found: found.into(), remedy }
}

/// Everything, what is needed first.
pub(super) fn checks(out: &Path) -> Vec<Check> {
    vec![
        processors(),
        free_memory(),
        disk(out),
        loopback(),
        processes(),
        proc_files(),
        open_files(),
        ports(),
        clock(),
        opencl(),
        docker(),
    ]
}

fn processors() -> Check {
    let n = cores();
    let level = if n >= 2 { Level::Ok } else { Level::Poor };
    check("cores", level, n.to_string(), "with one core the harness disturbs what it measures: use two")
}

fn free_memory() -> Check {
    let remedy = "end other programs, or use smaller drills (--set data.vectors.count=2000)";
    match memory("MemAvailable") {
        Some(bytes) => {
            let level = if bytes >= 1 << 30 { Level::Ok } else { Level::Poor };
            check("memory", level, format!("{} available", human_bytes(bytes)), remedy)
        }
        None => check("memory", Level::Poor, "/proc/meminfo does not say", remedy),
    }
}

/// The folder may not exist yet: then its nearest parent that does must be writable.
fn disk(out: &Path) -> Check {
    let absolute = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    let there = absolute.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    if !there.is_dir() || access(there, Access::WRITE_OK).is_err() {
        let found = format!("{} cannot be written", there.display());
        return check("disk", Level::Missing, found, "choose another folder with --out");
    }
    let free = statvfs(there).map(|s| s.f_bavail.saturating_mul(s.f_frsize)).unwrap_or(0);
    let level = match free {
        0..=0x0fff_ffff => Level::Missing,
        0x1000_0000..=0x7fff_ffff => Level::Poor,
        _ => Level::Ok,
    };
    let found = format!("{} free at {}", human_bytes(free), there.display());
    check("disk", level, found, "free 2 GiB, or choose another folder with --out")
}

fn loopback() -> Check {
    let echo = || -> io::Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut near = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        let (mut far, _) = listener.accept()?;
        far.set_read_timeout(Some(Duration::from_secs(2)))?;
        near.write_all(b"x")?;
        far.read_exact(&mut [0])?;
        Ok(address.port())
    };
    match echo() {
        Ok(_) => check("loopback", Level::Ok, "127.0.0.1 can be bound and reached", ""),
        Err(e) => {
            check("loopback", Level::Missing, e.to_string(), "bring up `lo`, and allow ports on 127.0.0.1")
        }
    }
}

fn processes() -> Check {
    match spawn_pause_kill() {
        Ok(()) => check("processes", Level::Ok, "can be started, paused, resumed and killed", ""),
        Err(why) => check("processes", Level::Missing, why, "allow this user to start and signal processes"),
    }
}

fn spawn_pause_kill() -> Result<(), String> {
    let exe = std::env::current_exe().map_err(|e| format!("this program's own file is unknown: {e}"))?;
    let mut command = Command::new(exe);
    command.args(["doctor", "--patient"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|e| format!("no process can be started: {e}"))?;
    let tried = pause_resume(&child);
    // Whatever was seen, it is killed and reaped: nothing may be left behind.
    let killed = child.kill().and_then(|()| child.wait()).map_err(|e| format!("cannot be killed: {e}"));
    tried.and(killed.map(drop))
}

fn pause_resume(child: &Child) -> Result<(), String> {
    let pid = Pid::from_child(child);
    let send = |signal| kill_process(pid, signal).map_err(|e| format!("cannot be signalled: {e}"));
    send(Signal::STOP)?;
    wait_for_state(child.id(), |state| state == 'T')?;
    send(Signal::CONT)?;
    wait_for_state(child.id(), |state| state != 'T')
}

fn wait_for_state(pid: u32, wanted: fn(char) -> bool) -> Result<(), String> {
    let end = Instant::now() + Duration::from_secs(2);
    loop {
        let stat =
            fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|e| format!("/proc/{pid}/stat: {e}"))?;
        // The name in parentheses may hold anything: the state follows the last one.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if state.is_some_and(wanted) {
            return Ok(());
        }
        if Instant::now() > end {
            return Err("does not obey when it is paused or resumed".into());
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn proc_files() -> Check {
    match fs::read("/proc/self/environ").and_then(|_| fs::read_dir("/proc")).map(|d| d.count()) {
        Ok(n) if n > 0 => check("/proc", Level::Ok, "readable", ""),
        Ok(_) => check("/proc", Level::Missing, "empty", "mount /proc"),
        Err(e) => check("/proc", Level::Missing, e.to_string(), "mount /proc, and let this user read it"),
    }
}

fn open_files() -> Check {
    // As it is raised at the start of every command.
    let limit = limits::files();
    let level = match limit {
        0..=255 => Level::Missing,
        256..=1023 => Level::Poor,
        _ => Level::Ok,
    };
    check(
        "open files",
        level,
        format!("at most {limit} for a process"),
        "raise the hard limit: ulimit -Hn 4096",
    )
}

fn ports() -> Check {
    let remedy = "widen net.ipv4.ip_local_port_range, or end what holds ports";
    match limits::ports() {
        Some(free) => {
            let level = match free {
                0..=255 => Level::Missing,
                256..=1999 => Level::Poor,
                _ => Level::Ok,
            };
            check("ports", level, format!("{free} of 127.0.0.1 are free"), remedy)
        }
        None => check("ports", Level::Info, "the system does not say how many are free", ""),
    }
}

/// Whether there is enough of everything for one drill.
pub(super) fn drill(plan: &Plan, out: &Path) -> Check {
    let name = &plan.scenario.name;
    match Have::now(out).lacks(&plan.needs()) {
        None => check("drill", Level::Ok, format!("{name} finds what it needs"), ""),
        Some((what, remedy)) => check("drill", Level::Missing, format!("{name}: {what}"), remedy),
    }
}

/// A probe that is sent late is the harness's fault: so it is worth knowing how late a thread like those that keep time is.
fn clock() -> Check {
    const NAPS: u32 = 200;
    let nap = Duration::from_millis(1);
    let late = move |_| {
        let from = Instant::now();
        thread::sleep(nap);
        from.elapsed().saturating_sub(nap)
    };
    let naps = move || {
        let urgency = urgency::raise();
        let mut late: Vec<Duration> = (0..NAPS).map(late).collect();
        late.sort();
        (urgency, late)
    };
    let remedy = "the machine is busy: short outages will be measured coarsely";
    let Ok((urgency, late)) = thread::spawn(naps).join() else {
        return check("clock", Level::Poor, "no thread can be started", remedy);
    };
    let (p99, worst) = (late[late.len() * 99 / 100], late[late.len() - 1]);
    let level = if p99 < Duration::from_millis(5) { Level::Ok } else { Level::Poor };
    let more = match urgency {
        Urgency::Usual => " (CAP_SYS_NICE or `ulimit -r 1` makes them real-time)",
        Urgency::Nice | Urgency::RealTime => "",
    };
    let found = format!(
        "monotonic; a nap ends {p99:.1?} late (p99), {worst:.1?} at worst; threads that keep time run {urgency}{more}"
    );
    check("clock", level, found, remedy)
}

/// What a usual graph needs of the OpenCL engine.
const TRIED_DIM: usize = 128;
const TRIED_EF: u32 = 200;

fn opencl() -> Check {
    let vendors = fs::read_dir("/etc/OpenCL/vendors").map_or(0, |d| d.flatten().count());
    let library = [
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
    ]
    .into_iter()
    .any(|dir| ["libOpenCL.so.1", "libOpenCL.so"].iter().any(|f| Path::new(dir).join(f).exists()));
    let found = match (library, vendors) {
        (false, _) => "absent; indexes are built on the CPU".to_owned(),
        (true, 0) => "the loader is there, but no driver; indexes are built on the CPU".to_owned(),
        (true, n) => match index::opencl::start(TRIED_DIM, TRIED_EF) {
            Ok(start) => {
                let took = (start.device + start.programs).as_secs_f64();
                format!("{n} drivers; {}, ready after {took:.2} s", start.name)
            }
            Err(why) => format!("{n} drivers; {why}"),
        },
    };
    check("opencl", Level::Info, found, "")
}

/// Where an engine listens if nobody says otherwise.
const ENGINE: &str = "unix:///var/run/docker.sock";
/// An engine that is there answers within this.
const HELLO: Duration = Duration::from_secs(2);

fn docker() -> Check {
    let named = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let address = named.as_deref().unwrap_or(ENGINE);
    match engine_answers(address) {
        Ok(()) => {
            let found = "an engine answers; `gameday images list` says which images it has";
            check("docker", Level::Info, found, "")
        }
        // Whoever named one wants it.
        Err(why) if named.is_some() => {
            let found = format!("DOCKER_HOST is {address}, and no engine answers there: {why}");
            check(
                "docker",
                Level::Poor,
                found,
                "start the engine, or unset DOCKER_HOST; other worlds need none",
            )
        }
        Err(_) => check("docker", Level::Info, "absent; worlds `sim` and `local` do not need it", ""),
    }
}

/// Asks as its clients do whether it is there.
fn engine_answers(address: &str) -> Result<(), String> {
    let path = address.strip_prefix("unix://").ok_or("it is no socket of this machine (unix:///path)")?;
    let said = |e: io::Error| e.to_string();
    let mut engine = UnixStream::connect(path).map_err(said)?;
    engine
        .set_read_timeout(Some(HELLO))
        .and_then(|()| engine.set_write_timeout(Some(HELLO)))
        .map_err(said)?;
    engine.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n").map_err(said)?;
    let mut answer = [0; 12];
    engine.read_exact(&mut answer).map_err(said)?;
    let answers = answer.starts_with(b"HTTP/1.") && answer.ends_with(b" 200");
    if answers { Ok(()) } else { Err(format!("it said {:?}", String::from_utf8_lossy(&answer))) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn an_engine_is_there_only_if_it_answers() {
        let dir = tempfile::tempdir().unwrap();
        let answer = |name: &str, says: &'static [u8]| {
            let path = dir.path().join(name);
            let listener = UnixListener::bind(&path).unwrap();
            thread::spawn(move || {
                let (mut near, _) = listener.accept().unwrap();
                let _ = near.read(&mut [0; 512]);
                let _ = near.write_all(says);
            });
            engine_answers(&format!("unix://{}", path.display()))
        };
        assert_eq!(answer("engine", b"HTTP/1.1 200 OK\r\n\r\nOK"), Ok(()));
        assert!(answer("broken", b"HTTP/1.1 500 Internal\r\n\r\n").is_err());
        assert!(answer("other", b"SSH-2.0-nonsense\r\n").is_err());
        assert!(answer("mute", b"").is_err());
        for nobody in ["unix:///nowhere.sock", "tcp://127.0.0.1:1", ""] {
            assert!(engine_answers(nobody).is_err(), "{nobody}");
        }
    }
}
