//! What was measured, as it is written to disk: raw figures of every round, and a version in front.
//!
//! A file from anywhere is read without trust: its size, its version, its lengths and its numbers are checked, so that
//! what works on a [`Results`] need not.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

use super::Trouble;

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
    /// Who, in the order of the table.
    pub contenders: Vec<ContenderResult>,
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
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// To digits that every reader of JSON gets right.
    fn round_off(x: f64) -> f64 {
        (x * 1e4).round() / 1e4
    }

    /// A result as a quiet machine would give it: ours is ten times faster and as good.
    pub(in crate::rebuild) fn sample() -> Results {
        let build = |seconds: f64, round: u32| BuildFigures {
            seconds: round_off(seconds * (1.0 + f64::from(round) * 0.01)),
            write_seconds: 0.1,
            cpu_seconds: round_off(seconds * 1.9),
            foreign_seconds: round_off(0.02 * seconds),
            stolen_seconds: 0.0,
            peak_bytes: 400 << 20,
            before_bytes: 120 << 20,
            file_bytes: 132 << 20,
            file_digest: "ab".repeat(32),
            ran: None,
        };
        let searches = |shift: f64, speed: f64| {
            let curve = [(16, 0.86, 20e3), (32, 0.93, 13e3), (64, 0.965, 8e3), (128, 0.985, 4.5e3)];
            let at = |(setting, recall, qps): (u32, f64, f64)| SearchFigures {
                setting,
                recall: vec![round_off(recall + shift); 5],
                qps: (0..5).map(|r| round_off(qps * speed * (1.0 + f64::from(r) * 0.002))).collect(),
            };
            curve.into_iter().map(at).collect::<Vec<_>>()
        };
        let one = |name: &str, ours, seconds, shift, speed| ContenderResult {
            name: name.into(),
            kind: "hnsw".into(),
            ours,
            params: "M=16 efC=200".into(),
            searcher: Some("hnswlib".into()),
            builds: (0..5).map(|r| build(seconds, r)).collect(),
            searches: searches(shift, speed),
            failed: None,
        };
        let ran = |mut c: ContenderResult, words: &str| {
            c.builds.iter_mut().for_each(|b| b.ran = Some(words.into()));
            c
        };
        let mut broken = one("usearch", false, 52.0, 0.0, 1.0);
        broken.searches.clear();
        broken.builds.truncate(2);
        broken.failed = Some("ended with signal 9".into());
        Results {
            schema: SCHEMA.into(),
            gameday: "0.1.0".into(),
            began: 1_795_390_000,
            machine: Machine {
                cpu: "Testium 9000".into(),
                features: "avx2 avx512f".into(),
                cores: 2,
                memory: 24 << 30,
                kernel: "6.1.0".into(),
                device: Some("fp32 float16 vectors on testium (Portable Computing Language)".into()),
            },
            rounds: 5,
            threads: 2,
            peers: [("hnswlib".to_owned(), "0.8.0".to_owned()), ("usearch".into(), "2.26.6".into())].into(),
            skipped: vec!["data set glove-100: it was never fetched".into()],
            start: Some(StartFigures {
                dim: 128,
                cold_seconds: vec![0.61, 0.58, 0.64, 0.6, 0.59],
                cached_seconds: vec![0.09, 0.1, 0.08, 0.09, 0.11],
            }),
            sets: vec![SetResult {
                name: "clustered-128".into(),
                vectors: 200_000,
                dim: 128,
                queries: 2_000,
                digest: "cd".repeat(32),
                contenders: vec![
                    ran(
                        one("gameday-opencl", true, 2.8, 0.002, 0.99),
                        "opencl, fp32 float16 vectors on testium",
                    ),
                    ran(one("gameday-cpu", true, 40.0, 0.001, 1.01), "cpu, fp32 avx512"),
                    one("hnswlib", false, 28.0, 0.0, 1.0),
                    broken,
                ],
            }],
        }
    }

    #[test]
    fn a_result_reads_back_as_it_was() {
        let r = sample();
        assert_eq!(Results::parse(r.to_json().as_bytes()).unwrap(), r);
    }

    #[test]
    fn garbage_is_refused_in_one_clear_line() {
        let good = sample().to_json();
        let refused = |text: &str| Results::parse(text.as_bytes()).unwrap_err();
        assert!(refused("").contains("EOF"));
        assert!(refused("[1, 2]").contains("expected struct") || refused("[1, 2]").contains("invalid type"));
        assert!(refused("{}").contains("missing field `schema`"));
        let old = refused(&good.replace(SCHEMA, "gameday-bench-index/0"));
        assert!(old.contains("bench-index/0") && old.contains(SCHEMA), "{old}");
        assert!(refused(&good[..good.len() / 2]).contains("EOF"));
        let odd = refused(&good.replacen("\"rounds\"", "\"laps\"", 1));
        assert!(odd.contains("laps"), "{odd}");
        let mut r = sample();
        r.sets[0].contenders[0].builds[1].seconds = 0.0;
        assert!(refused(&r.to_json()).contains("gameday-opencl hnsw on clustered-128: a build of 0 seconds"));
        let mut r = sample();
        r.sets[0].contenders[0].searches[1].recall[0] = 1.5;
        assert!(refused(&r.to_json()).contains("a recall of 1.5 at setting 32"));
        let mut r = sample();
        r.sets[0].contenders[0].builds[3].ran = Some("cpu, fp32 avx512".into());
        assert!(refused(&r.to_json()).contains("a build that another engine did"));
        let mut r = sample();
        r.sets.push(r.sets[0].clone());
        assert!(refused(&r.to_json()).contains("data set clustered-128 is there twice"));
        let mut r = sample();
        r.sets[0].contenders[1].name = "hnswlib".into();
        assert!(refused(&r.to_json()).contains("hnswlib hnsw on clustered-128 is there twice"));
        let mut r = sample();
        r.start.as_mut().unwrap().cold_seconds[1] = -1.0;
        assert!(refused(&r.to_json()).contains("a start of -1 seconds"));
        let mut r = sample();
        r.sets[0].contenders[2].searches[0].qps.pop();
        assert!(refused(&r.to_json()).contains("5 recalls and 4 speeds"));
    }

    #[test]
    fn another_machine_is_named() {
        let here = sample().machine;
        let other = Machine { cores: 64, device: Some("a GPU".into()), ..here.clone() };
        let differs = here.differs(&other).unwrap();
        assert!(differs.starts_with("cores: 2 now, 64 then; device: fp32 float16"), "{differs}");
        assert!(differs.ends_with("now, a GPU then"), "{differs}");
        // Where no engine took part, nobody knows the device.
        assert_eq!(here.differs(&Machine { device: None, ..here.clone() }), None);
        assert_eq!(here.differs(&Machine { kernel: "7".into(), ..here.clone() }), None);
    }

    proptest! {
        #[test]
        fn no_damage_makes_reading_panic(at in 0usize..4000, byte: u8) {
            let mut bytes = sample().to_json().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = Results::parse(&bytes);
            let _ = Results::parse(&bytes[..at]);
        }
    }
}
