//! What the host is, as single objects, and what has changed lately: pure, bounded, shared by all watchers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use trestle_model::{HostObject, ObjectKey};

/// How many changes are remembered; who lags behind by more has to begin again.
pub(crate) const LIMIT: usize = 4096;

/// One change of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delta {
    /// The object.
    pub(crate) key: ObjectKey,
    /// What it is now; none where it is gone.
    pub(crate) value: Option<Arc<HostObject>>,
}

/// The objects, and the changes that led to them; each change has a revision, counted from 1.
#[derive(Debug)]
pub(crate) struct Log {
    limit: usize,
    head: u64,
    deltas: VecDeque<Arc<Delta>>,
    objects: BTreeMap<ObjectKey, Arc<HostObject>>,
}

/// Says that what came after a revision is not known any more, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expired;

impl Log {
    /// Makes a log of no object, which remembers `limit` changes.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, head: 0, deltas: VecDeque::new(), objects: BTreeMap::new() }
    }

    /// Returns the revision of the last change.
    pub(crate) const fn head(&self) -> u64 {
        self.head
    }

    /// Returns the objects as they are after the last change.
    pub(crate) const fn objects(&self) -> &BTreeMap<ObjectKey, Arc<HostObject>> {
        &self.objects
    }

    /// Notes what differs between the objects known so far and those that are there: what is gone first, then what came
    /// or changed, each ordered by key.
    pub(crate) fn update(&mut self, mut now: BTreeMap<ObjectKey, HostObject>) {
        let gone: Vec<ObjectKey> = self.objects.keys().filter(|key| !now.contains_key(*key)).cloned().collect();
        for key in gone {
            self.objects.remove(&key);
            self.push(Delta { key, value: None });
        }
        now.retain(|key, object| self.objects.get(key).is_none_or(|had| **had != *object));
        for (key, object) in now {
            let object = Arc::new(object);
            self.objects.insert(key.clone(), Arc::clone(&object));
            self.push(Delta { key, value: Some(object) });
        }
    }

    /// Returns the change after `revision`; none where there is none yet.
    ///
    /// *Errors*: [`Expired`] where the log does not reach back so far, and for a revision that is still to come.
    pub(crate) fn after(&self, revision: u64) -> Result<Option<Arc<Delta>>, Expired> {
        let behind = self.head.checked_sub(revision).ok_or(Expired)?;
        let Some(position) = usize::try_from(behind).ok().and_then(|behind| self.deltas.len().checked_sub(behind))
        else {
            return Err(Expired);
        };
        Ok(self.deltas.get(position).cloned())
    }

    fn push(&mut self, delta: Delta) {
        if self.deltas.len() == self.limit {
            self.deltas.pop_front();
        }
        self.deltas.push_back(Arc::new(delta));
        self.head += 1;
    }
}

#[cfg(test)]
mod tests {
    use trestle_model::{TransactionId, TransactionStage, TransactionState};
    use uuid::Uuid;

    use super::*;

    /// Makes objects with the given numbers, each in one of two forms.
    fn objects(wanted: &[(u128, bool)]) -> BTreeMap<ObjectKey, HostObject> {
        let object = |(number, form): &(u128, bool)| {
            let stage = if *form { TransactionStage::Applying } else { TransactionStage::Undoing };
            HostObject::Transaction(Box::new(TransactionState {
                transaction: TransactionId(Uuid::from_u128(*number)),
                actor: "local".to_owned(),
                stage,
            }))
        };
        wanted.iter().map(object).map(|object| (object.key(), object)).collect()
    }

    /// Replays what a log remembers after `revision` on what was known by then.
    fn replay(log: &Log, mut known: BTreeMap<ObjectKey, Arc<HostObject>>, mut revision: u64) -> Result<bool, Expired> {
        while let Some(delta) = log.after(revision)? {
            revision += 1;
            match &delta.value {
                Some(value) => known.insert(delta.key.clone(), Arc::clone(value)),
                None => known.remove(&delta.key),
            };
        }
        Ok(known == *log.objects())
    }

    #[test]
    fn tells_what_is_gone_came_and_changed_and_nothing_else() {
        let mut log = Log::new(10);
        log.update(objects(&[(1, true), (2, true), (3, true)]));
        assert_eq!(log.head(), 3);
        log.update(objects(&[(1, true), (2, true), (3, true)]));
        assert_eq!(log.head(), 3, "nothing has changed");
        log.update(objects(&[(2, true), (3, false), (4, true)]));
        let told: Vec<bool> = (3..log.head()).map(|at| log.after(at).unwrap().unwrap().value.is_some()).collect();
        assert_eq!(told, [false, true, true]);
        assert_eq!(log.after(log.head()), Ok(None));
    }

    #[test]
    fn every_revision_that_is_remembered_leads_to_what_is_there() {
        let mut log = Log::new(7);
        let mut past = vec![(0, BTreeMap::new())];
        let mut seed = 1_u128;
        for _ in 0..200 {
            // A linear congruential generator: the same objects in every run.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) % (1 << 64);
            let some: Vec<_> = (0..6).filter(|bit| seed >> (bit + 20) & 1 == 1).collect();
            log.update(objects(&some.iter().map(|bit| (*bit, seed >> (bit + 30) & 1 == 1)).collect::<Vec<_>>()));
            past.push((log.head(), log.objects().clone()));
            for (revision, known) in &past {
                let remembered = log.head() - revision <= 7;
                let expected = if remembered { Ok(true) } else { Err(Expired) };
                assert_eq!(replay(&log, known.clone(), *revision), expected, "seed {seed}, revision {revision}");
            }
        }
        assert_eq!(log.after(log.head() + 1), Err(Expired), "another run's revision");
    }
}
