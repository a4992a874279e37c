//! The state that every handler gets: the ledger, the authenticator, the limits and the generated documents.

use std::sync::Arc;

use axum::http::HeaderValue;

use super::authenticator::Authenticator;
use super::caller::Caller;
use super::in_flight::InFlight;
use super::problem::{Code, Problem};
use super::rate_limit::Limits;
use super::route::Route;
use super::schema::Schemas;
use super::{ApiError, docs, openapi};
use portcullis_access::Identity;
use portcullis_access::matrix::Rule;
use portcullis_admission::Gate;
use portcullis_policy::layers::Layers;
use portcullis_store::audit::Denial;
use portcullis_store::change_buffer::ChangeBuffer;
use portcullis_store::envelope::MasterKey;
use portcullis_store::{Ledger, Tx};

/// What the API is built from.
pub struct ApiConfig {
    pub ledger: Ledger,
    pub authenticator: Authenticator,
    pub limits: Limits,
    /// The gate of this process. Without it, routes that evaluate policies answer 503.
    pub gate: Option<Arc<Gate>>,
    /// The key that encrypts secrets. Without it, requests with secrets are rejected.
    pub master_key: Option<MasterKey>,
    /// The policy layers of this process, which uploads are compiled with. Without them uploads answer 503.
    pub layers: Option<Layers>,
    /// What gates of other processes wait on. Without it they get 503.
    pub change_buffer: Option<ChangeBuffer>,
    /// Origins of web pages that may call the API; none by default.
    pub cors: Vec<HeaderValue>,
    /// Whether a gate's token is rejected without a client certificate (`--api-client-ca`).
    pub require_gate_certificates: bool,
}

#[derive(Clone)]
pub struct Api(Arc<ApiState>);

struct ApiState {
    config: ApiConfig,
    schemas: Schemas,
    document: String,
    page: docs::Page,
    in_flight: InFlight,
}

impl Api {
    pub(crate) fn new(config: ApiConfig, routes: &[Route]) -> Result<Self, ApiError> {
        let schemas = Schemas::compile(routes)?;
        let document = openapi::text(routes).map_err(ApiError::Document)?;
        let value = serde_json::from_str(&document).map_err(ApiError::Document)?;
        let page = docs::Page::render(&value);
        Ok(Self(Arc::new(ApiState { config, schemas, document, page, in_flight: InFlight::default() })))
    }

    /// A transaction that reads in the caller's scope.
    pub(crate) async fn read(&self, caller: &Caller) -> Result<Tx, Problem> {
        self.ledger().read(caller.scope()).await.map_err(Problem::from)
    }

    /// A transaction that writes in the caller's scope. Commit it with [`Caller::commit`].
    pub(crate) async fn write(&self, caller: &Caller) -> Result<Tx, Problem> {
        self.ledger().write(caller.scope()).await.map_err(Problem::from)
    }

    /// The ledger, for scopes other than the caller's own.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.0.config.ledger
    }

    pub(crate) fn authenticator(&self) -> &Authenticator {
        &self.0.config.authenticator
    }

    /// # Errors
    /// 503 if this process has no gate.
    pub(crate) fn gate(&self) -> Result<&Arc<Gate>, Problem> {
        let none = || Problem::new(Code::ServiceUnavailable, "this server runs without a gate");
        self.0.config.gate.as_ref().ok_or_else(none)
    }

    pub(crate) fn master_key(&self) -> Option<&MasterKey> {
        self.0.config.master_key.as_ref()
    }

    /// # Errors
    /// 503 if this process has no policies.
    pub(crate) fn layers(&self) -> Result<&Layers, Problem> {
        let none = || Problem::new(Code::ServiceUnavailable, "this server runs without policies");
        self.0.config.layers.as_ref().ok_or_else(none)
    }

    /// # Errors
    /// 503 if this process does not follow the ledger.
    pub(crate) fn change_buffer(&self) -> Result<&ChangeBuffer, Problem> {
        let none = || Problem::new(Code::ServiceUnavailable, "this server does not follow the ledger");
        self.0.config.change_buffer.as_ref().ok_or_else(none)
    }

    pub(crate) fn require_gate_certificates(&self) -> bool {
        self.0.config.require_gate_certificates
    }

    /// The OpenAPI document, as text.
    pub(crate) fn document(&self) -> &str {
        &self.0.document
    }

    /// The reference page.
    pub(crate) fn page(&self) -> &docs::Page {
        &self.0.page
    }

    pub(crate) fn schemas(&self) -> &Schemas {
        &self.0.schemas
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.config.limits
    }

    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.0.in_flight
    }

    /// Records a rejected request for the audit log. A background task writes it, so the request does not wait.
    pub(crate) fn record_denial(&self, who: Option<&Identity>, rule: &'static Rule, id: &str, code: Code) {
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
