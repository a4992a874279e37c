//! Three replicas, the registration, and an API server, each of which learns of changes late; the steps are taken by
//! whichever replica comes first.

use std::collections::BTreeMap;

use super::super::secret::verify;
use super::*;

/// How late a follower may be, in seconds, counted from when it could have seen a change, which is up to a moment later.
/// With that, less than a third of the time to settle, for there are three on the way.
const LATE: i64 = 20;

/// Seconds from one moment to the next, at most.
const MOMENT: i64 = 5;

/// More than two lifetimes of a CA.
const END: i64 = 3 * 3600;

/// Somebody who learns late: which version is known, since when a newer one is there.
#[derive(Clone, Copy, Default)]
struct Follower {
    known: usize,
    behind_since: Option<i64>,
}

impl Follower {
    /// Learns the newest if it is in the mood, or can be late no longer.
    fn learn(&mut self, newest: usize, now: i64, mood: bool) {
        if self.known == newest {
            self.behind_since = None;
            return;
        }
        let since = *self.behind_since.get_or_insert(now);
        if mood || now - since >= LATE {
            (self.known, self.behind_since) = (newest, None);
        }
    }
}

/// What happens in one moment: seconds since the last, who acts, who learns.
type Moment = (i64, usize, [bool; 6]);

struct Story {
    versions: Vec<State>,
    replicas: [Follower; 3],
    registration: Follower,
    api: Follower,
    good: BTreeMap<(usize, usize), bool>,
    steps: Vec<Step>,
}

impl Story {
    fn begin() -> Self {
        let (follower, good) = (Follower::default(), BTreeMap::new());
        let versions = vec![new_state()];
        Self {
            versions,
            replicas: [follower; 3],
            registration: follower,
            api: follower,
            good,
            steps: Vec::new(),
        }
    }

    fn moment(&mut self, now: i64, who: usize, moods: [bool; 6], frozen: bool) {
        let newest = self.versions.len() - 1;
        for (at, replica) in self.replicas.iter_mut().enumerate() {
            if !(frozen && at == 2) {
                replica.learn(newest, now, moods[at]);
            }
        }
        // A replica that lags may put back what it knows.
        let writer = self.replicas[who % 2].known;
        self.registration.learn(writer, now, moods[3]);
        self.api.learn(self.registration.known, now, moods[4]);
        if moods[5] {
            self.act(now, who % 2);
        }
        self.check(now);
    }

    /// With the lock: a writer has read the current Secret.
    fn act(&mut self, now: i64, who: usize) {
        loop {
            let state = self.versions.last().unwrap();
            let trust = seen(&self.versions[self.registration.known]);
            let now = at(0) + jiff::SignedDuration::from_secs(now);
            let step = next_step(state, &usual(), &trust, None, now);
            if matches!(step, Step::Idle(_) | Step::WaitForTrust(_)) {
                return;
            }
            let state = state.take(step, &usual(), now).unwrap();
            self.versions.push(state);
            self.replicas[who].known = self.versions.len() - 1;
            self.steps.push(step);
        }
    }

    fn check(&mut self, now: i64) {
        let time = at(0) + jiff::SignedDuration::from_secs(now);
        let trusted = self.api.known;
        for (who, replica) in self.replicas.iter().enumerate() {
            let leaf = self.versions[replica.known].server_certificate();
            // Whoever is frozen for longer than a leaf's life serves one that is over, and is no measure.
            if leaf.not_after() <= time {
                assert_eq!(who, 2, "a leaf that is over is served at {now}");
                continue;
            }
            let bundle = || self.versions[trusted].bundle();
            let good = self
                .good
                .entry((replica.known, trusted))
                .or_insert_with(|| verify(&bundle(), leaf.der(), &leaf.names()[0], time).is_ok());
            assert!(*good, "replica {who} is not trusted at {now} s after {:?}", self.steps);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn served_certificate_is_always_trusted(
        moments in proptest::collection::vec((1..=MOMENT, 0..2usize, any::<[bool; 6]>()), 4000..4001usize),
        frozen in (0..END, 0..END),
    ) {
        let mut story = Story::begin();
        let mut now = 0;
        for (seconds, who, moods) in moments as Vec<Moment> {
            now += seconds;
            story.moment(now, who, moods, (frozen.0..frozen.0 + frozen.1).contains(&now));
        }
        prop_assert!(story.steps.iter().filter(|step| **step == Step::SwitchCa).count() >= 2, "{now}: {:?}", story.steps);
        prop_assert!(story.steps.contains(&Step::RemovePreviousCas), "{:?}", story.steps);
    }
}
