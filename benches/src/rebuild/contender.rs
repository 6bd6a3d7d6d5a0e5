//! Who builds: engines of our own, and peers in a Python environment.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of index; contenders are compared within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The graph.
    Hnsw,
    /// Inverted lists of plain vectors.
    IvfFlat,
    /// Inverted lists of vectors in eight bits a value.
    IvfSq8,
    /// Inverted lists of product-quantized vectors.
    IvfPq,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Hnsw, Kind::IvfFlat, Kind::IvfSq8, Kind::IvfPq];

    /// As on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Hnsw => "hnsw",
            Kind::IvfFlat => "ivf_flat",
            Kind::IvfSq8 => "ivf_sq8",
            Kind::IvfPq => "ivf_pq",
        }
    }

    /// The settings at which files of this kind are searched: `ef`, or `nprobe` of at most `nlist`.
    pub fn settings(self, quick: bool) -> &'static [u32] {
        match (self, quick) {
            (Kind::Hnsw, true) => &[16, 24, 32, 48, 64, 96, 128, 256],
            (Kind::Hnsw, false) => &[10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512],
            (_, true) => &[1, 4, 16, 64, 128],
            (_, false) => &[1, 4, 8, 16, 32, 64, 128, 256, 512],
        }
    }
}

/// An engine of gameday's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// All processors; HNSW in hnswlib's file, lists in that of FAISS.
    Cpu,
    /// The same, with HNSW in FAISS's file, so that it can be compared with that of FAISS by one searcher.
    CpuFaiss,
    /// The OpenCL engine, on the device that it chose; the same files. What the processor built instead is no figure of
    /// it: the row then says `fell back`.
    OpenCl,
    /// The same without the matrix unit of a processor: floats alone, as on devices that have nothing else.
    OpenClFp32,
}

/// A library that people use today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// hnswlib.
    Hnswlib,
    /// FAISS.
    Faiss,
    /// USearch.
    Usearch,
    /// Intel SVS: a graph of one layer (Vamana).
    Svs,
    /// PyNNDescent: a graph of nearest neighbours.
    Pynndescent,
}

/// Who builds what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Contender {
    /// Who.
    pub maker: Maker,
    /// What.
    pub kind: Kind,
}

/// Ours or a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Maker {
    /// An engine of gameday's own.
    Ours(Engine),
    /// Somebody else's library.
    Peer(Peer),
}

/// Whose searcher reads a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Searcher {
    /// hnswlib's.
    Hnswlib,
    /// FAISS's.
    Faiss,
    /// USearch's.
    Usearch,
    /// That of SVS.
    Svs,
    /// That of PyNNDescent.
    Pynndescent,
    /// Our own, where there is no Python environment.
    Gameday,
}

impl Engine {
    /// All of them.
    pub const ALL: [Engine; 4] = [Engine::Cpu, Engine::CpuFaiss, Engine::OpenCl, Engine::OpenClFp32];

    /// As on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Engine::Cpu => "cpu",
            Engine::CpuFaiss => "cpu-faiss",
            Engine::OpenCl => "opencl",
            Engine::OpenClFp32 => "opencl-fp32",
        }
    }

    /// Whether the OpenCL engine does it.
    pub fn opencl(self) -> bool {
        matches!(self, Engine::OpenCl | Engine::OpenClFp32)
    }

    fn kinds(self) -> &'static [Kind] {
        match self {
            Engine::Cpu => &Kind::ALL,
            Engine::OpenCl => &[Kind::Hnsw, Kind::IvfFlat],
            Engine::CpuFaiss | Engine::OpenClFp32 => &[Kind::Hnsw],
        }
    }
}

impl Peer {
    /// All of them.
    pub const ALL: [Peer; 5] = [Peer::Hnswlib, Peer::Faiss, Peer::Usearch, Peer::Svs, Peer::Pynndescent];

    /// As on the command line and in Python.
    pub fn word(self) -> &'static str {
        match self {
            Peer::Hnswlib => "hnswlib",
            Peer::Faiss => "faiss",
            Peer::Usearch => "usearch",
            Peer::Svs => "svs",
            Peer::Pynndescent => "pynndescent",
        }
    }

    /// Whether a machine may be without it though it has the others: it is installed alone (`benches/peers/more.txt`).
    pub fn may_be_missing(self) -> bool {
        matches!(self, Peer::Svs | Peer::Pynndescent)
    }

    /// Whether it takes part where nobody named it: PyNNDescent compiles itself anew in every process, for a minute or more.
    pub fn by_default(self) -> bool {
        self != Peer::Pynndescent
    }

    fn kinds(self) -> &'static [Kind] {
        match self {
            Peer::Hnswlib | Peer::Usearch | Peer::Svs | Peer::Pynndescent => &[Kind::Hnsw],
            Peer::Faiss => &Kind::ALL,
        }
    }
}

impl Contender {
    /// Everybody who is asked for, our own first; a kind that only peers build is left out, for nothing of ours would
    /// be compared with it.
    pub fn all(engines: &[Engine], peers: &[Peer], kinds: &[Kind]) -> Vec<Contender> {
        let mut all = Vec::new();
        for &kind in kinds {
            let ours = engines.iter().filter(|e| e.kinds().contains(&kind)).map(|e| Maker::Ours(*e));
            let theirs = peers.iter().filter(|p| p.kinds().contains(&kind)).map(|p| Maker::Peer(*p));
            let makers: Vec<Maker> = ours.chain(theirs).collect();
            if engines.is_empty() || makers.iter().any(|m| matches!(m, Maker::Ours(_))) {
                all.extend(makers.into_iter().map(|maker| Contender { maker, kind }));
            }
        }
        all
    }

    /// Its name in results.
    pub fn name(self) -> String {
        match self.maker {
            Maker::Ours(engine) => format!("gameday-{}", engine.word()),
            Maker::Peer(peer) => peer.word().to_owned(),
        }
    }

    /// Whether it is our own.
    pub fn ours(self) -> bool {
        matches!(self.maker, Maker::Ours(_))
    }

    /// The parameters of its builds, for `n` vectors; what is not comparable has other ones.
    pub fn params(self, n: usize) -> String {
        match self.kind {
            // Graphs of other kinds, compared with HNSW because they do the same work for their users.
            Kind::Hnsw if self.maker == Maker::Peer(Peer::Svs) => "Vamana R=32 L=200".into(),
            Kind::Hnsw if self.maker == Maker::Peer(Peer::Pynndescent) => "NN-descent k=30".into(),
            Kind::Hnsw => "M=16 efC=200".into(),
            Kind::IvfFlat | Kind::IvfSq8 => format!("nlist={}", nlist(n)),
            Kind::IvfPq => format!("nlist={} m=d/8", nlist(n)),
        }
    }

    /// Whose searcher reads its file: the peer's own, for ours that of the peer whose format it is.
    pub fn searcher(self, python: bool) -> Searcher {
        match (self.maker, self.kind) {
            (Maker::Ours(_), _) if !python => Searcher::Gameday,
            (Maker::Peer(Peer::Usearch), _) => Searcher::Usearch,
            (Maker::Peer(Peer::Svs), _) => Searcher::Svs,
            (Maker::Peer(Peer::Pynndescent), _) => Searcher::Pynndescent,
            (Maker::Ours(Engine::CpuFaiss) | Maker::Peer(Peer::Faiss), _) => Searcher::Faiss,
            (_, Kind::Hnsw) => Searcher::Hnswlib,
            _ => Searcher::Faiss,
        }
    }
}

impl Searcher {
    /// As in results and in Python.
    pub fn word(self) -> &'static str {
        match self {
            Searcher::Hnswlib => "hnswlib",
            Searcher::Faiss => "faiss",
            Searcher::Usearch => "usearch",
            Searcher::Svs => "svs",
            Searcher::Pynndescent => "pynndescent",
            Searcher::Gameday => "gameday",
        }
    }

    /// The settings at which it searches files of a kind: those of the kind, but for PyNNDescent, which has an epsilon (here in
    /// thousandths).
    pub fn settings(self, kind: Kind, quick: bool) -> &'static [u32] {
        match (self, quick) {
            (Searcher::Pynndescent, true) => &[0, 50, 100, 200, 400],
            (Searcher::Pynndescent, false) => &[0, 25, 50, 75, 100, 150, 200, 300, 400, 500],
            _ => kind.settings(quick),
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.kind.name())
    }
}

/// Lists of an IVF index: 1,024 where there are enough vectors to train them (FAISS wants 39 for each).
pub fn nlist(n: usize) -> u32 {
    (1 << (n / 39).max(1).ilog2().min(10)).min(1024)
}

/// Parts of a product-quantized vector: as many as divide it into parts of one length, of at least eight values.
pub fn parts(dim: usize) -> u32 {
    (1..=dim / 8).rev().find(|m| dim.is_multiple_of(*m)).map_or(1, |m| u32::try_from(m).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_is_asked_for_takes_part() {
        let names = |engines: &[Engine], peers: &[Peer]| -> Vec<String> {
            Contender::all(engines, peers, &Kind::ALL).iter().map(ToString::to_string).collect()
        };
        let all = names(&Engine::ALL, &Peer::ALL);
        assert!(all.contains(&"gameday-cpu hnsw".to_owned()) && all.contains(&"usearch hnsw".to_owned()));
        assert_eq!(
            names(&[Engine::Cpu], &[]),
            ["gameday-cpu hnsw", "gameday-cpu ivf_flat", "gameday-cpu ivf_sq8", "gameday-cpu ivf_pq"]
        );
        assert_eq!(
            names(&[], &[Peer::Faiss]),
            ["faiss hnsw", "faiss ivf_flat", "faiss ivf_sq8", "faiss ivf_pq"]
        );
    }

    #[test]
    fn our_graph_is_searched_by_hnswlib_where_it_is_there() {
        for engine in [Engine::Cpu, Engine::OpenCl, Engine::OpenClFp32] {
            let ours = Contender { maker: Maker::Ours(engine), kind: Kind::Hnsw };
            assert_eq!((ours.searcher(true), ours.searcher(false)), (Searcher::Hnswlib, Searcher::Gameday));
        }
        let faiss = [
            (Engine::CpuFaiss, Kind::Hnsw),
            (Engine::Cpu, Kind::IvfFlat),
            (Engine::Cpu, Kind::IvfPq),
            (Engine::OpenCl, Kind::IvfFlat),
        ];
        for (engine, kind) in faiss {
            let ours = Contender { maker: Maker::Ours(engine), kind };
            assert_eq!(ours.searcher(true), Searcher::Faiss);
        }
    }

    #[test]
    fn graphs_of_other_kinds_say_so_and_have_searchers_and_settings_of_their_own() {
        for (peer, words) in [(Peer::Svs, "Vamana"), (Peer::Pynndescent, "NN-descent")] {
            let theirs = Contender { maker: Maker::Peer(peer), kind: Kind::Hnsw };
            assert!(theirs.params(1_000).contains(words) && peer.may_be_missing());
            assert_eq!(theirs.searcher(true).word(), peer.word());
        }
        assert_eq!(Searcher::Svs.settings(Kind::Hnsw, true), Kind::Hnsw.settings(true));
        assert_ne!(Searcher::Pynndescent.settings(Kind::Hnsw, true), Kind::Hnsw.settings(true));
    }

    #[test]
    fn lists_can_be_trained() {
        for n in [1, 100, 20_000, 100_000, 200_000, 1_000_000] {
            assert!(nlist(n) == 1 || nlist(n) as usize * 39 <= n, "{n}: {}", nlist(n));
        }
        assert_eq!((nlist(20_000), nlist(200_000)), (512, 1024));
    }

    #[test]
    fn parts_are_of_one_length() {
        assert_eq!([1, 7, 8, 16, 100, 128, 384, 768].map(parts), [1, 1, 1, 2, 10, 16, 48, 96]);
    }
}
