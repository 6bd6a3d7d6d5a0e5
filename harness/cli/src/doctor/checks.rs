//! Each thing that a drill needs, tried for real: a port is bound, a process is paused and killed.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use harness::urgency::{self, Urgency};
use rustix::{
    fs::{Access, access, statvfs},
    process::{Pid, Resource, Signal, getrlimit, kill_process},
};

use crate::machine::{cores, human_bytes, memory};

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
    pub(super) remedy: &'static str,
}

fn check(name: &'static str, level: Level, found: impl Into<String>, remedy: &'static str) -> Check {
    let remedy = if matches!(level, Level::Ok | Level::Info) { "" } else { remedy };
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
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let level = match limit {
        0..=255 => Level::Missing,
        256..=1023 => Level::Poor,
        _ => Level::Ok,
    };
    check("open files", level, format!("at most {limit} for a process"), "raise it: ulimit -n 4096")
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

fn docker() -> Check {
    let named = std::env::var_os("DOCKER_HOST").is_some();
    let found = match named || Path::new("/var/run/docker.sock").exists() {
        true => "an engine is present; `gameday images list` says which images it has",
        false => "absent; worlds `sim` and `local` do not need it",
    };
    check("docker", Level::Info, found, "")
}
