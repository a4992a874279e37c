//! What handlers are given: the parts of the API, behind what a handler may ask of them.

use std::sync::Arc;

use super::caller::Caller;
use super::door::Door;
use super::in_flight::InFlight;
use super::limit::Limits;
use super::problem::{Code, Problem};
use super::route::Route;
use super::schema::Schemas;
use super::{Api, ApiError, Inner, Parts, docs, openapi};
use portcullis_access::Identity;
use portcullis_access::matrix::Rule;
use portcullis_admission::Gate;
use portcullis_policy::layers::Layers;
use portcullis_store::audit::Denial;
use portcullis_store::mirror::Mirror;
use portcullis_store::seal::MasterKey;
use portcullis_store::{Ledger, Tx};

impl Api {
    pub(super) fn new(parts: Parts, routes: &[Route]) -> Result<Self, ApiError> {
        let schemas = Schemas::compile(routes)?;
        let document = openapi::text(routes).map_err(ApiError::Document)?;
        let value = serde_json::from_str(&document).map_err(ApiError::Document)?;
        let page = docs::Page::render(&value);
        Ok(Self(Arc::new(Inner { parts, schemas, document, page, in_flight: InFlight::default() })))
    }

    /// A transaction that reads, as far as the caller may.
    ///
    /// # Errors
    /// 503 where the ledger cannot be reached.
    pub async fn read(&self, caller: &Caller) -> Result<Tx, Problem> {
        self.ledger().read(caller.scope()).await.map_err(Problem::from)
    }

    /// A transaction that may change things, as far as the caller may. Committed with [`Caller::commit`].
    ///
    /// # Errors
    /// 503 where the ledger cannot be reached.
    pub async fn write(&self, caller: &Caller) -> Result<Tx, Problem> {
        self.ledger().write(caller.scope()).await.map_err(Problem::from)
    }

    /// The ledger, for scopes other than the caller's own.
    pub fn ledger(&self) -> &Ledger {
        &self.0.parts.ledger
    }

    /// Who is believed.
    pub fn door(&self) -> &Door {
        &self.0.parts.door
    }

    /// The gate of this process.
    ///
    /// # Errors
    /// 503 where this process is none.
    pub fn gate(&self) -> Result<&Arc<Gate>, Problem> {
        let none = || Problem::new(Code::ServiceUnavailable, "this server runs without a gate");
        self.0.parts.gate.as_ref().ok_or_else(none)
    }

    /// What secrets are sealed with, if they may be kept.
    pub fn master_key(&self) -> Option<&MasterKey> {
        self.0.parts.master_key.as_ref()
    }

    /// The layers of this process' law.
    ///
    /// # Errors
    /// 503 where this process has none.
    pub fn layers(&self) -> Result<&Layers, Problem> {
        let none = || Problem::new(Code::ServiceUnavailable, "this server runs without a law");
        self.0.parts.layers.as_ref().ok_or_else(none)
    }

    /// What gates of others wait on.
    ///
    /// # Errors
    /// 503 where this process has none.
    pub fn mirror(&self) -> Result<&Mirror, Problem> {
        let none = || Problem::new(Code::ServiceUnavailable, "this server does not follow the ledger");
        self.0.parts.mirror.as_ref().ok_or_else(none)
    }

    /// Whether a gate's token is worth nothing without a client certificate.
    pub(super) fn gates_show_certificates(&self) -> bool {
        self.0.parts.gates_show_certificates
    }

    /// The OpenAPI document, as text.
    pub fn document(&self) -> &str {
        &self.0.document
    }

    /// The reference page.
    pub fn page(&self) -> &docs::Page {
        &self.0.page
    }

    pub(crate) fn schemas(&self) -> &Schemas {
        &self.0.schemas
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.0.parts.limits
    }

    pub(super) fn in_flight(&self) -> &InFlight {
        &self.0.in_flight
    }

    /// Records that somebody was turned away. It is counted here and written by and by, so nobody waits for it.
    pub(super) fn turned_away(&self, who: Option<&Identity>, rule: &'static Rule, id: &str, code: Code) {
        let (action, resource_type) = match who {
            None => ("auth.failed", "token"),
            Some(_) => (rule.action.as_str(), rule.action.as_str().split('.').next().unwrap_or_default()),
        };
        let denial = Denial {
            actor: who.map_or_else(|| "anonymous".to_owned(), Identity::name),
            tenant_id: who.and_then(|who| who.tenant.as_ref()).map(|tenant| tenant.id.clone()),
            action,
            resource_type,
            reason: code.as_str(),
        };
        self.ledger().denied(denial, id);
    }
}
