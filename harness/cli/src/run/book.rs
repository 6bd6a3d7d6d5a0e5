//! `--evidence`: each drill is put on record and signed for before it begins, and sealed when it has ended.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use harness::{journal::digest, report, report::Report, scenario::WorldName, verdict::Verdict};
use reports::{
    Format,
    evidence::{
        keys::{Allowed, Signer},
        ledger::{Declared, Head, Kind},
        record, seal,
        store::Store,
    },
};

use super::{
    folder::{Folder, disk_failed},
    select::Drill,
    world::World,
};
use crate::{
    evidence::Keys,
    exit::{Exit, Failure},
    own, say,
};

/// A folder of evidence, and the key that signs in it.
#[derive(Debug)]
pub(super) struct Book {
    path: PathBuf,
    signer: Signer,
    allowed: Allowed,
}

impl Book {
    /// Makes sure that evidence can be written and signed, before the first drill.
    pub(super) fn open(path: &Path, keys: &Keys) -> Result<Book, Failure> {
        let (signer, allowed) = keys.operator()?;
        drop(Store::open(path, &allowed)?);
        Ok(Book { path: path.to_owned(), signer, allowed })
    }

    /// Puts a drill on record that is about to begin.
    pub(super) fn declare(
        &self,
        drill: &Drill,
        folder: &Folder,
        name: WorldName,
        world: &World,
    ) -> Result<(), Failure> {
        let declared = Declared {
            run: folder.run().to_owned(),
            scenario: drill.name().to_owned(),
            scenario_sha256: drill.sha256(),
            stack_sha256: None,
            overrides: drill.overrides.clone(),
            world: name,
            counts_as: world.counts_as(),
            flaw: world.flaw(),
            objectives: report::objectives(&drill.loaded.plan),
            operator: self.signer.identity().to_owned(),
            gameday: env!("CARGO_PKG_VERSION").into(),
        };
        self.record(declared, folder, (&drill.input.bytes, None))
    }

    /// Puts a drill on somebody's own stack on record that is about to begin.
    pub(super) fn declare_own(&self, loaded: &own::Loaded, folder: &Folder) -> Result<(), Failure> {
        let declared = Declared {
            run: folder.run().to_owned(),
            scenario: loaded.drill.name().to_owned(),
            scenario_sha256: digest(&loaded.bytes),
            stack_sha256: Some(digest(&loaded.stack_bytes)),
            overrides: loaded.overrides.clone(),
            world: WorldName::Own,
            counts_as: loaded.drill.stack().level.into(),
            flaw: None,
            objectives: loaded.drill.objectives(),
            operator: self.signer.identity().to_owned(),
            gameday: env!("CARGO_PKG_VERSION").into(),
        };
        self.record(declared, folder, (&loaded.bytes, Some(&loaded.stack_bytes)))
    }

    fn record(
        &self,
        declared: Declared,
        folder: &Folder,
        (scenario, stack): (&[u8], Option<&[u8]>),
    ) -> Result<(), Failure> {
        let mut store = Store::open(&self.path, &self.allowed)?;
        seal::prepare(&self.path, folder.run(), scenario, stack)?;
        let head = store.append(SystemTime::now(), Kind::Declared(Box::new(declared)), &self.signer);
        let head = head.inspect_err(|_| {
            // What was never declared must not lie there as if it had been hidden.
            drop(fs::remove_dir_all(self.path.join(folder.run())));
        })?;
        self.tell("declared", folder, &head);
        Ok(())
    }

    /// Seals a drill that has ended, however it did.
    pub(super) fn close(
        &self,
        folder: &Folder,
        result: &Result<(Report, Exit), Failure>,
    ) -> Result<(), Failure> {
        let place = self.path.join(folder.run());
        let wrong = |e: std::io::Error| disk_failed(&place, &e);
        if folder.journal().exists() {
            fs::copy(folder.journal(), place.join(seal::JOURNAL)).map_err(wrong)?;
        }
        let (verdict, headline, report) = match result {
            Ok((report, _)) => {
                for format in Format::ALL {
                    fs::write(place.join(format.file_name()), format.render(report)).map_err(wrong)?;
                }
                (report.verdict, reports::headline(report), Some(report))
            }
            Err(failure) => {
                (Verdict::Unknown, format!("UNKNOWN: it could not be judged: {}", failure.what), None)
            }
        };
        fs::write(place.join(seal::RECORD), record::template(folder.run())).map_err(wrong)?;
        let mut store = Store::open(&self.path, &self.allowed)?;
        let declared = store.ledger().declared(folder.run()).cloned().ok_or_else(|| {
            let what = format!("the ledger of `{}` lost run {}", self.path.display(), folder.run());
            Failure::evidence(what, "go back to an untouched copy")
        })?;
        let closed = seal::seal(&place, &declared, (verdict, headline), report, &self.signer)?;
        let head = store.append(SystemTime::now(), Kind::Closed(closed), &self.signer)?;
        self.tell("sealed", folder, &head);
        Ok(())
    }

    fn tell(&self, what: &str, folder: &Folder, head: &Head) {
        say::err(&format!(
            "evidence: {what} {} in {}, signed by {}; keep elsewhere: entries {} head {}\n",
            folder.run(),
            self.path.display(),
            self.signer.identity(),
            head.entries,
            head.last
        ));
    }
}
