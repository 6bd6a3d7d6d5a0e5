//! Which control each finding speaks to. The ids are those of the catalogue of NIST SP 800-53 rev. 5 (objectives of
//! 800-53A); no validator of OSCAL compares ids with a catalogue, so a test does.
//!
//! Controls of other standards stand beside them for readers. What only people can satisfy is named, and never marked.

use harness::{judge::Finding, verdict::Verdict};

/// One objective of a control that a machine can observe.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    /// The objective's id in the catalogue.
    pub objective: &'static str,
    /// The control's id.
    pub control: &'static str,
    /// What it asks.
    pub asks: &'static str,
    /// The objectives of findings that speak to it; all of them must pass.
    pub findings: &'static [&'static str],
    /// The same in other standards.
    pub beside: &'static [(&'static str, &'static str)],
}

/// Every objective that a drill can speak to.
pub const CONTROLS: &[Control] = &[
    Control {
        objective: "cp-4_obj.a-2",
        control: "cp-4",
        asks: "tests determine the effectiveness of the contingency plan",
        findings: &["conduct", "steady", "effect", "rto"],
        beside: &[
            ("ISO/IEC 27001:2022", "A.5.29"),
            ("ISO/IEC 27001:2022", "A.5.30"),
            ("SOC 2", "A1.3"),
            ("HIPAA", "164.308(a)(7)(ii)(D)"),
            ("DORA", "Art. 11(6)"),
            ("DORA", "Art. 24"),
            ("DORA", "Art. 25"),
        ],
    },
    Control {
        objective: "cp-9.1_obj-2",
        control: "cp-9.1",
        asks: "backup information is tested for integrity",
        findings: &["rpo", "integrity"],
        beside: &[
            ("ISO/IEC 27001:2022", "A.8.13"),
            ("SOC 2", "A1.3"),
            ("HIPAA", "164.308(a)(7)(ii)(A)"),
            ("DORA", "Art. 12"),
        ],
    },
    Control {
        objective: "cp-10_obj-1",
        control: "cp-10",
        asks: "recovery of the system to a known state within the time allowed",
        findings: &["rto", "rpo"],
        beside: &[
            ("ISO/IEC 27001:2022", "A.5.30"),
            ("SOC 2", "A1.2"),
            ("HIPAA", "164.308(a)(7)(ii)(B)"),
            ("DORA", "Art. 12"),
        ],
    },
    Control {
        objective: "cp-10_obj-2",
        control: "cp-10",
        asks: "reconstitution of the system to a known state",
        findings: &["integrity", "references", "convergence", "quality"],
        beside: &[("ISO/IEC 27001:2022", "A.5.30"), ("SOC 2", "A1.2"), ("DORA", "Art. 12")],
    },
];

/// What only people can satisfy: objective, control, and what is missing until they do.
pub const HUMAN: &[(&str, &str, &str)] = &[
    ("cp-4_obj.b", "cp-4", "a person reviews the results of the test: gameday evidence review"),
    ("cp-4_obj.c", "cp-4", "people start corrective actions: [[finding]] in record.toml"),
];

/// What the findings say about a control: the worst of those that speak to it; `None` if none does.
pub fn state(control: &Control, findings: &[Finding]) -> Option<Verdict> {
    let about = findings.iter().filter(|f| control.findings.contains(&f.objective.as_str()));
    about.map(|f| f.verdict).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copied from the catalogue (rev. 5.1.1), not from the table above.
    const CATALOGUE: &[&str] = &[
        "cp-4_obj.a-1",
        "cp-4_obj.a-2",
        "cp-4_obj.a-3",
        "cp-4_obj.b",
        "cp-4_obj.c",
        "cp-4.2_obj.a",
        "cp-4.2_obj.b",
        "cp-9.1_obj-1",
        "cp-9.1_obj-2",
        "cp-9.2_obj",
        "cp-10_obj-1",
        "cp-10_obj-2",
    ];

    #[test]
    fn every_id_is_in_the_catalogue_and_no_human_one_is_marked() {
        for control in CONTROLS {
            assert!(CATALOGUE.contains(&control.objective), "{}", control.objective);
            assert_eq!(control.objective.split("_obj").next(), Some(control.control));
            assert!(HUMAN.iter().all(|(id, _, _)| *id != control.objective));
        }
        for (objective, control, _) in HUMAN {
            assert!(CATALOGUE.contains(objective) && objective.starts_with(control));
        }
        for standard in ["ISO/IEC 27001:2022", "SOC 2", "HIPAA", "DORA"] {
            assert!(CONTROLS.iter().any(|c| c.beside.iter().any(|(s, _)| *s == standard)), "{standard}");
        }
    }
}
