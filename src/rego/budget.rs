//! What evaluations may spend: processor time of one policy and of one review, within a deadline.
//!
//! The engine stops at a wall clock. On a loaded machine that clock also runs while the thread waits for a processor, so
//! a stop is checked against the thread's processor time, and what has some left is evaluated again with twice the time.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::{EvalError, Interrupted, Value};

/// Below this the wall clock stands for processor time: reading the latter is a system call.
const EXACT_FROM: Duration = Duration::from_millis(1);

/// How much evaluations may spend before they are stopped as an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Processor time of one policy in one review, all its rules together.
    pub time: Duration,
    /// Processor time of all policies of one review together.
    pub review: Duration,
    /// Wall clock of one review, waiting included: what the caller waits for the answer.
    pub deadline: Duration,
    /// Instructions of one rule on the register machine. Its own default, 25,000, is less than a Pod of 500
    /// containers needs.
    pub instructions: usize,
}

impl Default for Budget {
    /// A healthy policy needs microseconds, and the shorter of the two webhook calls waits 2 s.
    fn default() -> Self {
        Self {
            time: Duration::from_millis(50),
            review: Duration::from_millis(500),
            deadline: Duration::from_secs(2),
            instructions: 10_000_000,
        }
    }
}

/// Counts what one review spends. Stays on one thread.
#[derive(Debug)]
pub struct Meter {
    budget: Budget,
    deadline: Instant,
    /// The same moment on both clocks.
    mark: (Instant, Duration),
    all: Duration,
    /// By index of the policy.
    spent: Vec<Duration>,
    current: usize,
}

impl Meter {
    /// Starts to count.
    pub fn new(budget: Budget) -> Self {
        let now = Instant::now();
        Self {
            budget,
            deadline: now + budget.deadline,
            mark: (now, processor_time()),
            all: Duration::ZERO,
            spent: Vec::new(),
            current: 0,
        }
    }

    /// What is spent from here on counts for the policy of this index.
    pub fn enter(&mut self, policy: usize) {
        self.current = policy;
    }

    /// That the review's time is not over.
    ///
    /// # Errors
    /// The deadline has passed, or all policies together have spent the review's processor time.
    pub fn check(&self) -> Result<(), EvalError> {
        if self.all >= self.budget.review {
            return Err(EvalError::Budget(format!(
                "all policies together had their {:?} of processor time",
                self.budget.review
            )));
        }
        if self.left().is_zero() {
            return Err(EvalError::Budget(format!(
                "the caller waits no longer than {}ms",
                self.budget.deadline.as_millis()
            )));
        }
        Ok(())
    }

    /// Evaluates within what is left, of which `own` is the policy's own bound. `evaluate` takes the wall clock after
    /// which it stops, and the instructions.
    pub(super) fn run(
        &mut self,
        own: Option<Duration>,
        evaluate: impl Fn(Duration, usize) -> Result<Value, Interrupted>,
    ) -> Result<Value, EvalError> {
        let time = own.map_or(self.budget.time, |own| own.min(self.budget.time));
        // The engine looks at its clock now and then; what is left below an eighth counts as spent.
        let nothing = time / 8;
        let mut wall = time;
        loop {
            self.check()?;
            let left = time.saturating_sub(self.spent());
            if left <= nothing {
                return Err(EvalError::Budget(format!(
                    "it had its {time:?} of processor time (--policy-budget, budget_us)"
                )));
            }
            let started = Instant::now();
            let limit = wall.max(left).min(self.left());
            match evaluate(limit, self.budget.instructions) {
                Err(Interrupted::Clock) => self.count(started, EXACT_FROM),
                answer => {
                    self.count(started, started.elapsed());
                    return answer.map_err(|error| match error {
                        Interrupted::Clock => EvalError::Budget(format!("{limit:?}")),
                        Interrupted::Failed(error) => error,
                    });
                }
            }
            wall = limit * 2;
        }
    }

    /// Counts what was spent since `started`, exactly where it is worth it.
    fn count(&mut self, started: Instant, wall: Duration) {
        let spent = if wall < EXACT_FROM {
            wall
        } else {
            let (then, before) = self.mark;
            self.mark = (Instant::now(), processor_time());
            // Less what the thread can have spent before `started`.
            self.mark.1.saturating_sub(before).saturating_sub(started.duration_since(then))
        };
        self.all += spent;
        if self.spent.len() <= self.current {
            self.spent.resize(self.current + 1, Duration::ZERO);
        }
        if let Some(policy) = self.spent.get_mut(self.current) {
            *policy += spent;
        }
    }

    fn spent(&self) -> Duration {
        self.spent.get(self.current).copied().unwrap_or_default()
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Processor time of this thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Neither is ever negative.
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Budget = Budget {
        time: Duration::from_millis(20),
        review: Duration::from_millis(60),
        deadline: Duration::from_secs(5),
        instructions: 1,
    };

    fn spin(until: Duration) -> Interrupted {
        let started = processor_time();
        while processor_time().saturating_sub(started) < until {}
        Interrupted::Clock
    }

    fn sleep(time: Duration) {
        let (_sender, receiver) = std::sync::mpsc::channel::<()>();
        assert!(receiver.recv_timeout(time).is_err());
    }

    fn said(answer: Result<Value, EvalError>) -> String {
        answer.unwrap_err().to_string()
    }

    #[test]
    fn waiting_for_a_processor_is_not_spending() {
        let mut meter = Meter::new(SMALL);
        let tries = std::cell::Cell::new(0);
        let answer = meter.run(None, |limit, _| {
            tries.set(tries.get() + 1);
            // The thread sleeps past the engine's clock twice, as it does where others have the processors.
            if tries.get() < 3 {
                sleep(limit);
                return Err(Interrupted::Clock);
            }
            Ok(Value::from(true))
        });
        assert_eq!(answer, Ok(Value::from(true)));
        assert!(meter.spent() < SMALL.time / 2, "{:?}", meter.spent());
    }

    #[test]
    fn a_policy_is_stopped_at_its_processor_time_over_all_its_rules() {
        let mut meter = Meter::new(SMALL);
        let half = |_, _| {
            spin(SMALL.time / 2);
            Ok(Value::from(true))
        };
        assert!(meter.run(None, half).is_ok());
        assert!(meter.run(None, half).is_ok());
        assert_eq!(
            said(meter.run(None, half)),
            "stopped: it had its 20ms of processor time (--policy-budget, budget_us)"
        );
        meter.enter(7);
        assert!(meter.run(None, half).is_ok(), "another policy has its own");
        let own = Some(Duration::from_millis(5));
        meter.enter(8);
        let mut tries = 0;
        let runaway = meter.run(own, |limit, _| {
            assert!(limit <= SMALL.deadline);
            Err(spin(limit.min(Duration::from_millis(10))))
        });
        tries += 1;
        assert_eq!(
            (said(runaway).as_str(), tries),
            ("stopped: it had its 5ms of processor time (--policy-budget, budget_us)", 1)
        );
    }

    #[test]
    fn a_review_is_stopped_at_the_processor_time_of_all_policies() {
        let mut meter = Meter::new(SMALL);
        let mut done = 0;
        let error = loop {
            meter.enter(done);
            match meter.run(None, |_, _| {
                spin(SMALL.time * 3 / 4);
                Ok(Value::Null)
            }) {
                Ok(_) => done += 1,
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(error, "stopped: all policies together had their 60ms of processor time");
        assert!((4..=5).contains(&done), "{done}");
    }

    #[test]
    fn nothing_is_evaluated_after_the_deadline() {
        let mut meter = Meter::new(Budget { deadline: Duration::from_millis(30), ..SMALL });
        let slept = meter.run(None, |limit, _| {
            assert!(limit <= Duration::from_millis(30));
            sleep(limit);
            Err(Interrupted::Clock)
        });
        assert_eq!(said(slept), "stopped: the caller waits no longer than 30ms");
        let after = meter.run(None, |_, _| unreachable!("the deadline has passed"));
        assert_eq!(said(after), "stopped: the caller waits no longer than 30ms");
    }
}
