//! Probes, writes, and what is concluded from them: on schedule, of what the corpus has, with all that was asked for.

use super::{Grammar, Law, broken};
use crate::{
    corpus::Corpus,
    journal::{Phase, Probed, Wrote},
    plan::Plan,
    scenario::Probe,
    topology::Role,
};

impl Grammar {
    pub(super) fn probed(&mut self, plan: &Plan, p: &Probed, at_us: u64) -> Law {
        let Some(i) = plan.services.iter().position(|s| s.name == p.service) else {
            return Err(format!("a probe of `{}`, which is no service", p.service));
        };
        if !self.asking() {
            return Err(format!("a probe of `{}` in another phase", p.service));
        }
        let stamps = [p.due_us, p.sent_us, p.done_us, at_us];
        let kept = shows(&self.corpus, &plan.services[i].probe, p);
        let kept = kept.and_then(|()| self.probes[i].take(p.n, stamps, self.quiet_us));
        kept.map_err(|why| format!("probe {} of `{}`: {why}", p.n, p.service))?;
        self.probes[i].answered(p.bad.is_none(), p.done_us);
        if self.steps.struck() {
            self.probes[i].felt(p.bad.is_none(), at_us);
        }
        Ok(())
    }

    pub(super) fn wrote(&mut self, w: &Wrote, at_us: u64) -> Law {
        if !self.asking() {
            return Err(format!("a write to the {} store in another phase", w.store));
        }
        let Some(schedule) =
            self.writes.iter_mut().find(|(r, _)| *r == w.store).and_then(|(_, s)| s.as_mut())
        else {
            return Err(format!("a write to the {} store, which has no load", w.store));
        };
        let op = self.corpus.operation(w.store, w.ver);
        if w.ver == 0 || (w.key, w.delete) != (op.key, op.delete) {
            return Err(format!("write {} to the {} store, which the load does not have", w.ver, w.store));
        }
        if w.store == Role::Gpu {
            self.newest_step = self.newest_step.max(w.ver);
        }
        let stamps = [w.due_us, w.sent_us, w.done_us, at_us];
        let kept = schedule.take(w.ver - 1, stamps, self.quiet_us);
        kept.map_err(|why| format!("write {} to the {} store: {why}", w.ver, w.store))
    }

    pub(super) fn detected(&mut self, plan: &Plan, service: &str) -> Law {
        let Some(i) = plan.services.iter().position(|s| s.name == service) else {
            return Err(format!("a detection by `{service}`, which is no service"));
        };
        let down = self.storm_us.is_some_and(|storm_us| self.probes[i].down_since(storm_us));
        if !self.during(&[Phase::Storm]) || self.aborted || !self.steps.struck() || !down {
            return Err(format!(
                "a detection by `{service}` without three bad probes in a row after a fault"
            ));
        }
        self.steps.detected(i)
    }
}

/// A good answer shows every record that it was asked for, and a bad one none.
fn shows(corpus: &Corpus, probe: &Probe, p: &Probed) -> Law {
    let shown = |role: Role| p.shown.get(&role).map_or(&[][..], |records| records);
    let good = p.bad.is_none();
    let looked_up = probe.lookup.as_ref().filter(|_| good);
    let entities = looked_up.into_iter().flat_map(|l| corpus.probed_entities(p.n, l.batch));
    // Where the probe searches first, it asks for an object that the answer leads to.
    let is_asked = |key: u64| match probe.search {
        Some(_) => key < corpus.objects.max(1),
        None => key == corpus.probed_object(p.n),
    };
    let objects = shown(Role::Object);
    let whole = shown(Role::Feature).iter().map(|(key, _)| *key).eq(entities)
        && objects.len() == usize::from(good && probe.get.is_some())
        && objects.iter().all(|(key, _)| is_asked(*key))
        && p.shown.keys().all(|role| matches!(role, Role::Feature | Role::Object));
    if whole { Ok(()) } else { broken("an answer that shows other records than it was asked for") }
}
