//! One look at the Secret, and what is done about it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;

use super::{Certificates, Ends, needs, secret};
use crate::error::{ClusterError, Need};
use portcullis_certs::CertError;
use portcullis_certs::managed::{Damage, State, Step, Wish, next_step};
use portcullis_telemetry::metrics;

/// Looks in a row before what others do in between is left to the next change.
const TURNS_MAX: usize = 16;

/// How long who holds nothing waits for a replica that does to mend a damaged Secret.
const PATIENCE: Duration = Duration::from_secs(5);

const MANAGER: &str = "portcullis";

/// What is held, and where it goes.
pub(super) struct Keeper {
    about: Certificates,
    api: Api<Secret>,
    ends: Ends,
    held: Option<State>,
    damaged_since: Option<Instant>,
}

/// What came of looking.
pub(super) enum Outcome {
    /// Nothing is due before this time.
    Rest(Timestamp),
    /// Something is wrong, and told.
    Trouble,
}

enum Turn {
    /// Something was written, here or by another.
    Again,
    Rest(Timestamp, Option<String>),
}

/// Why the Secret is not as it should be, or not known to be.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the Secret is damaged: {0}; another replica that holds a good one is given a moment to mend it")]
    Damaged(Damage),
    #[error(transparent)]
    Cert(#[from] CertError),
}

impl Keeper {
    pub(super) fn new(about: Certificates, api: Api<Secret>, ends: Ends) -> Self {
        Self { about, api, ends, held: None, damaged_since: None }
    }

    /// Looks until nothing is left to do.
    pub(super) async fn tend(&mut self) -> Outcome {
        for _ in 0..TURNS_MAX {
            match self.turn().await {
                Ok(Turn::Again) => {}
                Ok(Turn::Rest(until, detail)) => {
                    let news = match &detail {
                        Some(detail) => self.about.condition.good_but(detail.clone()),
                        None => self.about.condition.good(),
                    };
                    if let Some(detail) = detail.filter(|_| news) {
                        tracing::info!(secret = %self.shown(), "{detail}");
                    }
                    return Outcome::Rest(until);
                }
                Err(trouble) => {
                    self.tell(self.whole(trouble).await);
                    return Outcome::Trouble;
                }
            }
        }
        Outcome::Trouble
    }

    async fn turn(&mut self) -> Result<Turn, Trouble> {
        let now = Timestamp::now();
        let name = &self.about.name;
        let there = self.api.get_opt(name).await.map_err(|error| self.need("get").failed(&error))?;
        let Some(there) = there else {
            let state = self.good_one(now, None)?;
            return self.create(state).await;
        };
        let state = match self.read(&there, now) {
            Ok(state) => state,
            Err(damage) => {
                let state = self.good_one(now, Some((&there, &damage)))?;
                tracing::warn!(secret = %self.shown(), %damage, "the Secret is damaged, and is made good");
                return self.replace(secret::filled(there, &state), state, "mended").await;
            }
        };
        self.damaged_since = None;
        let (wish, detail) = match secret::wish(&there) {
            Ok(wish) => (wish, None),
            Err(why) => (None, Some(why)),
        };
        let trust = self.ends.trust.borrow().clone();
        let step = next_step(&state, &self.about.order, &trust, wish, now);
        match step {
            Step::Rest(until) => {
                self.adopt(state)?;
                Ok(Turn::Rest(until, detail))
            }
            Step::Wait(until) => {
                self.adopt(state)?;
                Ok(Turn::Rest(until, Some(waiting(until, now))))
            }
            step => {
                let next = state.take(step, &self.about.order, now)?;
                let done = secret::filled(there, &next);
                let done =
                    if wish.is_some_and(|wish| fulfils(step, wish)) { secret::fulfilled(done) } else { done };
                self.replace(done, next, what(step)).await
            }
        }
    }

    /// What is in the Secret; something that is over is no better than garbage where something better is held.
    fn read(&self, there: &Secret, now: Timestamp) -> Result<State, Damage> {
        let state = State::read(&secret::parts(there))?;
        let over = |state: &State| state.signing().ends() <= now;
        if over(&state) && self.held.as_ref().is_some_and(|held| !over(held)) {
            return Err(Damage { key: "ca.crt", why: "has expired".to_owned() });
        }
        Ok(state)
    }

    /// What a Secret that is gone or damaged should hold: what is held here, or what can be saved, or all anew.
    fn good_one(&mut self, now: Timestamp, damaged: Option<(&Secret, &Damage)>) -> Result<State, Trouble> {
        if let Some(held) = self.held.as_ref().filter(|held| held.signing().ends() > now) {
            return Ok(held.clone());
        }
        let order = &self.about.order;
        let Some((there, damage)) = damaged else { return Ok(State::make(order, now)?) };
        if self.damaged_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
            return Err(Trouble::Damaged(damage.clone()));
        }
        match State::salvage(&secret::parts(there), order, now) {
            Ok(saved) => Ok(saved),
            Err(_) => Ok(State::make(order, now)?),
        }
    }

    async fn create(&mut self, state: State) -> Result<Turn, Trouble> {
        let secret = secret::new(&self.about.namespace, &self.about.name, &state);
        match self.api.create(&writer(), &secret).await {
            Ok(_) => self.wrote(state, "made"),
            Err(error) if is_conflict(&error) => Ok(Turn::Again),
            Err(error) => {
                let need = Need::new("create", "", "secrets").within(&self.about.namespace);
                Err(need.failed(&error).into())
            }
        }
    }

    /// Writes over what was read, and over nothing else.
    async fn replace(&mut self, secret: Secret, state: State, what: &str) -> Result<Turn, Trouble> {
        match self.api.replace(&self.about.name, &writer(), &secret).await {
            Ok(_) => self.wrote(state, what),
            Err(error) if is_conflict(&error) => Ok(Turn::Again),
            Err(error) => Err(self.need("update").failed(&error).into()),
        }
    }

    fn wrote(&mut self, state: State, what: &str) -> Result<Turn, Trouble> {
        tracing::info!(secret = %self.shown(), "{what}");
        self.adopt(state)?;
        Ok(Turn::Again)
    }

    /// Serves it from now on, and tells who registers.
    fn adopt(&mut self, state: State) -> Result<(), CertError> {
        if self.held.as_ref() == Some(&state) {
            return Ok(());
        }
        let served = self.held.as_ref().is_some_and(|held| held.leaf() == state.leaf());
        if !served {
            let pair = state.pair()?;
            let _ = self.ends.pairs.send(Some(pair));
        }
        let bundle = state.bundle();
        self.ends.bundles.send_if_modified(|known| {
            let news = known.as_deref() != Some(&bundle);
            *known = Some(bundle.into());
            news
        });
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 s, and a metric is a float")]
        metrics::certificate_expiry("authority", state.signing().ends().as_second() as f64);
        self.held = Some(state);
        Ok(())
    }

    /// Where something is forbidden, everything that is.
    async fn whole(&self, trouble: Trouble) -> Trouble {
        let Trouble::Cluster(ClusterError::Forbidden(_)) = &trouble else { return trouble };
        let needs = needs(&self.about.namespace, &self.about.name);
        match self.about.cluster.may(&needs).await {
            Err(error @ ClusterError::Forbidden(_)) => error.into(),
            // It may be asked differently than it is done; what was seen first stands.
            _ => trouble,
        }
    }

    fn tell(&self, trouble: Trouble) {
        let secret = self.shown();
        let condition = &self.about.condition;
        let news = if self.held.is_some() {
            condition.good_but(format!("Secret {secret}: {trouble}; the certificate that is held is served"))
        } else {
            condition.bad(format!("Secret {secret}: {trouble}"))
        };
        if news {
            tracing::error!(%secret, error = %trouble, served = self.held.is_some(), "the Secret of certificates");
        }
    }

    fn need(&self, verb: &'static str) -> Need {
        Need::new(verb, "", "secrets").within(&self.about.namespace).of(&self.about.name)
    }

    fn shown(&self) -> String {
        format!("{}/{}", self.about.namespace, self.about.name)
    }
}

const fn fulfils(step: Step, wish: Wish) -> bool {
    match step {
        Step::Switch | Step::MakeAll => true,
        Step::RenewLeaf => matches!(wish, Wish::Leaf),
        Step::AddAuthority => matches!(wish, Wish::Authority),
        Step::Rest(_) | Step::Wait(_) | Step::Forget => false,
    }
}

fn writer() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

/// Somebody else was there first.
fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

fn waiting(settled: Timestamp, now: Timestamp) -> String {
    if now < settled {
        return format!("a new authority is trusted, and signs from {settled} on");
    }
    "a new authority is ready to sign, and waits until every webhook configuration is seen to trust it"
        .to_owned()
}

const fn what(step: Step) -> &'static str {
    match step {
        Step::Rest(_) | Step::Wait(_) => "nothing changed",
        Step::MakeAll => "everything had expired; a new authority and a new certificate",
        Step::RenewLeaf => "a new certificate",
        Step::AddAuthority => "a new authority, which is trusted and does not sign yet",
        Step::Switch => "the new authority signs, and its first certificate is served",
        Step::Forget => "an authority of before is no longer trusted",
    }
}
