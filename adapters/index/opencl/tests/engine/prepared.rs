//! What an engine keeps of what its compiler took, and what it answers to those who ask for programs that cannot be.

use super::{ENGINE, without_a_device};
use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

const DIM: u32 = 48;

struct Engine(Child);

impl Engine {
    /// An engine that finds no programs of earlier ones.
    fn start(cache: &str) -> Self {
        let mut command = Command::new(ENGINE);
        command.env("POCL_CACHE_DIR", cache).env("GAMEDAY_OPENCL_CACHE", cache).stderr(Stdio::null());
        let mut engine = Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        assert_eq!(engine.answer().0, 0);
        engine
    }

    fn ask(&mut self, letter: u8, numbers: &[u32]) -> (u8, Vec<u8>) {
        let mut request = vec![letter];
        request.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        self.0.stdin.as_mut().unwrap().write_all(&request).unwrap();
        self.answer()
    }

    fn answer(&mut self) -> (u8, Vec<u8>) {
        let from = self.0.stdout.as_mut().unwrap();
        let mut head = [0; 9];
        from.read_exact(&mut head).unwrap();
        let mut bytes = vec![0; u64::from_le_bytes(head[1..].try_into().unwrap()) as usize];
        from.read_exact(&mut bytes).unwrap();
        (head[0], bytes)
    }

    /// Kilobytes in memory.
    fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_a_compiler_took_is_given_back_and_the_same_process_answers_on() {
    if without_a_device() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Engine::start(folder.path().to_str().unwrap());
    let before = engine.resident();
    assert_eq!(engine.ask(b'P', &[DIM, 3, 1]), (0, Vec::new()));
    let after = engine.resident();
    assert!(after < before + (64 << 10), "{before} kB before anything was compiled, {after} kB after it");

    // Rows 0, 1 and 2 are 0.0, 1.0 and 2.0 throughout, and centres too.
    let values: Vec<u32> =
        [0.0f32, 1.0, 2.0].into_iter().flat_map(|x| vec![x.to_bits(); DIM as usize]).collect();
    assert_eq!(engine.ask(b'D', &[&[DIM, 3], values.as_slice()].concat()), (0, Vec::new()));
    let centre = vec![0; DIM as usize];
    let (status, nearest) = engine.ask(b'A', &[&[3, 3], values.as_slice(), &centre].concat());
    let nearest: Vec<u8> = nearest.into_iter().step_by(4).collect();
    assert_eq!((status, nearest), (0, vec![0, 1, 2, 1, 0, 2, 2, 1, 0]));
}

#[test]
fn programs_that_cannot_be_are_refused() {
    if without_a_device() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for garbage in [[0, 1, 1], [u32::MAX, 1, 1], [DIM, 17, 0], [DIM, u32::MAX, 1]] {
        let (status, why) = Engine::start(folder.path().to_str().unwrap()).ask(b'P', &garbage);
        assert_eq!(status, 1, "{garbage:?}");
        assert!(!why.is_empty(), "{garbage:?}");
    }
}
