//! What evaluations may spend: processor time of one policy and of one review, within a deadline.
//!
//! The engine stops at a wall clock, which on a loaded machine also runs while the thread waits for a processor. So a stop
//! is checked against the thread's processor time, and a policy that has some left is evaluated again with twice the time.

use std::time::{Duration, Instant};

use regorus::Value;
use rustix::time::{ClockId, clock_gettime};

/// Why an evaluation failed. The words of [`EvalError::reason`] are the `reason` label of `portcullis_policy_errors_total`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    #[error("stopped: {0}")]
    Budget(String),
    /// A builtin failed, two complete rules conflict, or another error of the engine.
    #[error("{0}")]
    Engine(String),
    /// Data that the policy reads is missing.
    #[error("{0}")]
    Data(String),
    #[error("panicked: {0}")]
    Panic(String),
}

impl EvalError {
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Budget(_) => "budget",
            Self::Engine(_) => "evaluation",
            Self::Data(_) => "data",
            Self::Panic(_) => "panic",
        }
    }
}

pub(crate) enum Interrupted {
    /// The wall-clock limit of this run has passed.
    Clock,
    Failed(EvalError),
}

impl From<EvalError> for Interrupted {
    fn from(error: EvalError) -> Self {
        Self::Failed(error)
    }
}

/// Below this, wall-clock time counts as processor time: reading the latter is a system call.
const EXACT_FROM: Duration = Duration::from_millis(1);

/// Limits on evaluations; beyond one, an evaluation is stopped with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Processor time of one policy in one review, all its rules together.
    pub time: Duration,
    /// Processor time of all policies of one review together.
    pub review: Duration,
    /// Wall-clock time of one review, waiting included.
    pub deadline: Duration,
    /// Instructions of one rule on the register machine. Its default, 25,000, is too low for a Pod of 500 containers.
    pub instructions: usize,
}

impl Default for Budget {
    /// A usual policy needs microseconds, and the shorter of the two webhook timeouts is 2 s.
    fn default() -> Self {
        Self {
            time: Duration::from_millis(50),
            review: Duration::from_millis(500),
            deadline: Duration::from_secs(2),
            instructions: 10_000_000,
        }
    }
}

/// Counts the time that one review spends. Not for use across threads.
#[derive(Debug)]
pub struct Meter {
    budget: Budget,
    deadline: Instant,
    /// The last reading of both clocks.
    mark: (Instant, Duration),
    all: Duration,
    /// Time spent, by index of the policy.
    spent: Vec<Duration>,
    current: usize,
}

impl Meter {
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

    /// Time from here on counts for the policy at this index.
    pub fn enter(&mut self, policy: usize) {
        self.current = policy;
    }

    /// Checks that the review has time left.
    pub fn check(&self) -> Result<(), EvalError> {
        if self.all >= self.budget.review {
            return Err(EvalError::Budget(format!(
                "all policies together used their {:?} of processor time",
                self.budget.review
            )));
        }
        if self.left().is_zero() {
            return Err(EvalError::Budget(format!(
                "the review's deadline of {}ms has passed",
                self.budget.deadline.as_millis()
            )));
        }
        Ok(())
    }

    /// Evaluates within the time that is left; `own` is the policy's own limit. `evaluate` gets a wall-clock limit and the
    /// number of instructions.
    pub(crate) fn run(
        &mut self,
        own: Option<Duration>,
        evaluate: impl Fn(Duration, usize) -> Result<Value, Interrupted>,
    ) -> Result<Value, EvalError> {
        let time = own.map_or(self.budget.time, |own| own.min(self.budget.time));
        // The engine reads its clock only now and then; a rest below an eighth counts as spent.
        let nothing = time / 8;
        let mut wall = time;
        loop {
            self.check()?;
            let left = time.saturating_sub(self.spent());
            if left <= nothing {
                return Err(EvalError::Budget(format!(
                    "the policy used its {time:?} of processor time (--policy-budget, budget_us)"
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

    /// Counts the time since `started`, exactly if `wall` is at least [`EXACT_FROM`].
    fn count(&mut self, started: Instant, wall: Duration) {
        let spent = if wall < EXACT_FROM {
            wall
        } else {
            let (then, before) = self.mark;
            self.mark = (Instant::now(), processor_time());
            // Time between `then` and `started` was not spent on this evaluation.
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

pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
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

    fn message(answer: Result<Value, EvalError>) -> String {
        answer.unwrap_err().to_string()
    }

    #[test]
    fn waiting_for_a_processor_is_not_counted() {
        let mut meter = Meter::new(SMALL);
        let tries = std::cell::Cell::new(0);
        let answer = meter.run(None, |limit, _| {
            tries.set(tries.get() + 1);
            // The thread sleeps past the engine's clock twice, as on a loaded machine.
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
    fn policy_is_stopped_at_its_processor_time() {
        let mut meter = Meter::new(SMALL);
        let half = |_, _| {
            spin(SMALL.time / 2);
            Ok(Value::from(true))
        };
        assert!(meter.run(None, half).is_ok());
        assert!(meter.run(None, half).is_ok());
        assert_eq!(
            message(meter.run(None, half)),
            "stopped: the policy used its 20ms of processor time (--policy-budget, budget_us)"
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
            (message(runaway).as_str(), tries),
            ("stopped: the policy used its 5ms of processor time (--policy-budget, budget_us)", 1)
        );
    }

    #[test]
    fn review_is_stopped_at_its_processor_time() {
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
        assert_eq!(error, "stopped: all policies together used their 60ms of processor time");
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
        assert_eq!(message(slept), "stopped: the review's deadline of 30ms has passed");
        let after = meter.run(None, |_, _| unreachable!("the deadline has passed"));
        assert_eq!(message(after), "stopped: the review's deadline of 30ms has passed");
    }
}
