//! What was measured, as it is written to disk: raw figures of every round, and a version in front.
//!
//! A file from anywhere is read without trust: its size, its version, its lengths and its numbers are checked, so that
//! what works on a [`Results`] need not.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{Trouble, data::Metric};

/// The format of this file; another number means that figures are not to be mixed.
pub const SCHEMA: &str = "gameday-bench-index/1";
/// No result of ours comes near.
const TOO_LARGE: u64 = 64 << 20;

/// Everything one run of the benchmark measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of gameday that measured.
    pub gameday: String,
    /// When it began, in seconds since 1970.
    pub began: u64,
    /// Where.
    pub machine: Machine,
    /// How many rounds were asked for.
    pub rounds: u32,
    /// Threads that every build may use.
    pub threads: u32,
    /// Versions of the peers that took part, by name.
    pub peers: BTreeMap<String, String>,
    /// What could not be measured, and why.
    pub skipped: Vec<String>,
    /// What the start of the OpenCL engine takes, where it took part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartFigures>,
    /// By data set.
    pub sets: Vec<SetResult>,
}

/// Starts of the OpenCL engine: its process, its device, and the programs that a graph needs, each run once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartFigures {
    /// Values of a row that the programs are for.
    pub dim: u32,
    /// With empty caches, in seconds.
    pub cold_seconds: Vec<f64>,
    /// With what the start before has left there, in seconds.
    pub cached_seconds: Vec<f64>,
}

/// A machine, as far as it decides how long a build takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Instruction sets that decide, such as `avx512f amx_bf16`.
    pub features: String,
    /// Processors that this process may use.
    pub cores: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Kernel.
    pub kernel: String,
    /// What the OpenCL engine computes on, where it took part.
    pub device: Option<String>,
}

impl Machine {
    /// Why times of the two cannot be compared; kernels may differ.
    pub fn differs(&self, other: &Machine) -> Option<String> {
        let pairs = [
            ("processor", &self.cpu, &other.cpu),
            ("instruction sets", &self.features, &other.features),
            ("cores", &self.cores.to_string(), &other.cores.to_string()),
        ];
        let mut all: Vec<String> = pairs
            .iter()
            .filter(|(_, a, b)| a != b)
            .map(|(what, a, b)| format!("{what}: {a} now, {b} then"))
            .collect();
        if let (Some(a), Some(b)) = (&self.device, &other.device)
            && a != b
        {
            all.push(format!("device: {a} now, {b} then"));
        }
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// One data set and who built an index of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetResult {
    /// Its name.
    pub name: String,
    /// Vectors.
    pub vectors: u64,
    /// Values in each.
    pub dim: u32,
    /// Queries.
    pub queries: u32,
    /// Sha256 of vectors and queries.
    pub digest: String,
    /// What else is to be said of a user's own vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Own>,
    /// Who, in the order of the table.
    pub contenders: Vec<ContenderResult>,
}

/// A data set that is a user's own file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// How distances are measured.
    pub metric: Metric,
    /// The file of the queries; without one, they are rows that were held out.
    pub queries: Option<String>,
}

/// What one contender did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContenderResult {
    /// Its name, such as `gameday-cpu` or `hnswlib`.
    pub name: String,
    /// The kind of index, such as `hnsw`.
    pub kind: String,
    /// Whether it is an engine of gameday's own.
    pub ours: bool,
    /// The parameters of the build.
    pub params: String,
    /// Whose searcher measured recall and speed.
    pub searcher: Option<String>,
    /// One for each round.
    pub builds: Vec<BuildFigures>,
    /// One for each setting of the searcher, by rising setting.
    pub searches: Vec<SearchFigures>,
    /// Why there are fewer builds or no searches.
    pub failed: Option<String>,
}

/// One build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildFigures {
    /// From vectors in memory to a synced file, in seconds. What is compared.
    pub seconds: f64,
    /// Of these, writing and syncing the file.
    pub write_seconds: f64,
    /// Processor time of the builder in that time, in seconds.
    pub cpu_seconds: f64,
    /// Processor time of everybody else in that time, in seconds.
    pub foreign_seconds: f64,
    /// Processor time that the hypervisor took, in seconds.
    pub stolen_seconds: f64,
    /// Peak memory of the builder, or of it and its helpers at one moment, in bytes. These are looked at every 20 ms.
    pub peak_bytes: u64,
    /// Its memory before the build, vectors included, in bytes.
    pub before_bytes: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Sha256 of the file.
    pub file_digest: String,
    /// What ran, in the engine's own words, such as its kernels and device.
    #[serde(default)]
    pub ran: Option<String>,
}

/// One setting of the searcher, measured in every round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchFigures {
    /// `ef` or `nprobe`.
    pub setting: u32,
    /// Recall@10 in each round.
    pub recall: Vec<f64>,
    /// Queries a second on one thread in each round.
    pub qps: Vec<f64>,
}

impl Results {
    /// As a file holds it.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a result is plain data with text keys");
        text.push('\n');
        text
    }

    /// What a file holds.
    ///
    /// # Errors
    /// No file, or one that is no result of this version, with what is wrong in it.
    pub fn read(path: &Path) -> Result<Results, Trouble> {
        let name = path.display();
        let remedy = "name the JSON file of an earlier `gameday bench index` (its --json FILE)";
        let unread = |e: std::io::Error| Trouble::usage(format!("{name} cannot be read: {e}"), remedy);
        let length = fs::metadata(path).map_err(unread)?.len();
        if length > TOO_LARGE {
            return Err(Trouble::usage(format!("{name} is no result: it has {length} bytes"), remedy));
        }
        Results::parse(&fs::read(path).map_err(unread)?)
            .map_err(|what| Trouble::usage(format!("{name} is no result of this benchmark: {what}"), remedy))
    }

    /// The result in some bytes.
    ///
    /// # Errors
    /// In one line, what is wrong with them.
    pub fn parse(bytes: &[u8]) -> Result<Results, String> {
        #[derive(Deserialize)]
        struct Version {
            schema: String,
        }
        let version: Version = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if version.schema != SCHEMA {
            return Err(format!("its schema is {:?}, this program reads {SCHEMA:?}", version.schema));
        }
        let results: Results = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        results.check()?;
        Ok(results)
    }

    fn check(&self) -> Result<(), String> {
        for (at, set) in self.sets.iter().enumerate() {
            if self.sets[..at].iter().any(|s| s.name == set.name) {
                return Err(format!("data set {} is there twice", set.name));
            }
            let same = |a: &ContenderResult, b: &ContenderResult| a.name == b.name && a.kind == b.kind;
            let twice = set
                .contenders
                .iter()
                .enumerate()
                .find(|(i, c)| set.contenders[..*i].iter().any(|o| same(c, o)));
            if let Some((_, c)) = twice {
                return Err(format!("{} {} on {} is there twice", c.name, c.kind, set.name));
            }
        }
        let starts = self.start.iter().flat_map(|s| s.cold_seconds.iter().chain(&s.cached_seconds));
        if let Some(seconds) = starts.into_iter().find(|s| !s.is_finite() || **s <= 0.0) {
            return Err(format!("a start of {seconds} seconds"));
        }
        for (set, c) in self.sets.iter().flat_map(|s| s.contenders.iter().map(move |c| (s, c))) {
            let at = format!("{} {} on {}", c.name, c.kind, set.name);
            let positive = |x: f64| x.is_finite() && x > 0.0;
            let opencl = c.name.starts_with("gameday-opencl");
            if opencl
                && c.builds.iter().filter_map(|b| b.ran.as_ref()).any(|ran| !ran.starts_with("opencl, "))
            {
                return Err(format!("{at}: a build that another engine did"));
            }
            if let Some(b) = c.builds.iter().find(|b| !positive(b.seconds)) {
                return Err(format!("{at}: a build of {} seconds", b.seconds));
            }
            let cpu =
                |b: &BuildFigures| [b.write_seconds, b.cpu_seconds, b.foreign_seconds, b.stolen_seconds];
            if c.builds.iter().flat_map(cpu).any(|x| !x.is_finite() || x < 0.0) {
                return Err(format!("{at}: a negative time"));
            }
            for s in &c.searches {
                if s.recall.len() != s.qps.len() || s.recall.is_empty() {
                    let (recall, qps) = (s.recall.len(), s.qps.len());
                    return Err(format!("{at}: setting {} has {recall} recalls and {qps} speeds", s.setting));
                }
                if let Some(r) = s.recall.iter().find(|r| !(0.0..=1.0).contains(*r)) {
                    return Err(format!("{at}: a recall of {r} at setting {}", s.setting));
                }
                if let Some(q) = s.qps.iter().find(|q| !positive(**q)) {
                    return Err(format!("{at}: {q} queries a second at setting {}", s.setting));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
