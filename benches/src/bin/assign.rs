//! The kernel that finds nearest centres beside a peer's matrix product of the same shape, in turns.
//!
//! ```text
//! gameday bench setup && cargo run --release -p benches --bin assign [rounds]
//! ```
//!
//! The peer is MKL, if `pip install mkl` was run in the peers' environment, or else NumPy's OpenBLAS. It multiplies and
//! does nothing else; ours packs its rows, multiplies, and selects the nearest. Rows for the rounds of k-means are rounded to
//! bytes once and before, centres each time.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use benches::machine;
use benches::rebuild::data::rows;
use index::{Rounded, Vectors, nearest};

const ROWS: usize = 20_000;
const CENTRES: usize = 1_024;
const ROUNDS: usize = 15;

/// What is timed.
#[derive(Debug, Clone, Copy)]
enum Kernel {
    Products,
    Exact,
    Bytes,
}

/// The peer's process; one product a line.
struct Peer {
    child: Child,
    said: BufReader<ChildStdout>,
    name: String,
}

impl Peer {
    fn start(dim: usize, threads: usize) -> Result<Self, Box<dyn Error>> {
        let cache = std::env::var_os("GAMEDAY_CACHE").map(PathBuf::from);
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/gameday"));
        let python = cache.or_else(home).ok_or("no HOME")?.join("peers/bin/python");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/sgemm.py");
        let words = [ROWS, CENTRES, dim, threads].map(|word| word.to_string());
        let mut child = Command::new(&python)
            .arg(script)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{}: {e}; run: gameday bench setup", python.display()))?;
        let said = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut peer = Self { child, said, name: String::new() };
        peer.name = peer.line()?;
        Ok(peer)
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        match self.said.read_line(&mut line)? {
            0 => Err("the peer ended".into()),
            _ => Ok(line.trim().to_owned()),
        }
    }

    fn product(&mut self) -> Result<f64, Box<dyn Error>> {
        writeln!(self.child.stdin.as_mut().ok_or("no stdin")?)?;
        Ok(self.line()?.parse()?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// By how many per cent the distances to the centres of `rough` exceed those to the nearest, summed over all rows.
fn farther(rows: Vectors<'_>, centres: Vectors<'_>, exact: &[u32], rough: &[u32]) -> f64 {
    let dim = rows.dim();
    let sum = |of: &[u32]| -> f64 {
        let pairs = rows.data().chunks_exact(dim).zip(of);
        let distances = pairs.map(|(row, &centre)| {
            let centre = &centres.data()[centre as usize * dim..][..dim];
            let squares = row.iter().zip(centre).map(|(a, b)| f64::from(a - b).powi(2));
            squares.sum::<f64>().sqrt()
        });
        distances.sum()
    };
    (sum(rough) / sum(exact) - 1.0) * 100.0
}

#[expect(clippy::print_stdout, reason = "the figures are the output")]
fn main() -> Result<(), Box<dyn Error>> {
    let rounds = std::env::args().nth(1).map_or(Ok(ROUNDS), |text| text.parse())?.max(1);
    let threads = std::thread::available_parallelism()?.get();
    for dim in [128, 768] {
        let (data, centres) = (rows(ROWS, dim), rows(CENTRES, dim));
        let ids: Vec<u64> = (0..ROWS as u64).collect();
        let all = Vectors::new(dim, &ids, &data)?;
        let centres = Vectors::new(dim, &ids[..CENTRES], &centres)?;
        let mut peer = Peer::start(dim, threads)?;
        let work = 2.0 * (ROWS * CENTRES * dim) as f64 / 1e9;
        let rounded = Rounded::of(all).ok_or("rows that have no grid")?;
        let exact = nearest(all, centres, 1).ok_or("the shape is refused")?;
        let rough = rounded.nearest(centres).ok_or("centres that have no grid")?;
        let kernel = |which| match which {
            Kernel::Products => nearest(all, centres, 8),
            Kernel::Exact => nearest(all, centres, 1),
            Kernel::Bytes => rounded.nearest(centres),
        };
        for (name, which) in [
            ("the eight nearest, FP32", Kernel::Products),
            ("the nearest, exactly", Kernel::Exact),
            ("the nearest, by bytes", Kernel::Bytes),
        ] {
            let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..rounds {
                let product = peer.product()?;
                let began = Instant::now();
                std::hint::black_box(kernel(which).ok_or("the shape is refused")?);
                let took = began.elapsed().as_secs_f64();
                ours.push(work / took);
                theirs.push(work / product);
                ratios.push(product / took);
            }
            let ratio = median(&mut ratios);
            println!(
                "{ROWS} x {CENTRES} x {dim}, {threads} threads: {name}: {:.0} GF/s; {}: {:.0} GF/s; ratio in pairs {ratio:.2} \
                 ({:.2} to {:.2}, n={rounds})",
                median(&mut ours),
                peer.name,
                median(&mut theirs),
                ratios[0],
                ratios[rounds - 1],
            );
        }
        let others = exact.iter().zip(&rough).filter(|(a, b)| a != b).count();
        println!(
            "by bytes {others} of {ROWS} rows get another centre, {:.5} % farther on average",
            farther(all, centres, &exact, &rough)
        );
    }
    println!("{}", machine());
    Ok(())
}
