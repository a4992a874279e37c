//! `Idempotency-Key`: a POST that is sent twice takes effect once.
//!
//! The response is stored for 24 hours in the transaction of the change, under the caller, the key and the route. The same
//! request gets the stored response; another request with the same key is rejected. Errors are not stored.

use axum::http::{HeaderMap, HeaderName, Uri};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::answer::StoredAnswer;
use super::problem::{Code, Fault, Problem};
use portcullis_access::matrix::Method;
use portcullis_access::{Identity, Scope};
use portcullis_store::{Ledger, Tx, idempotency};

/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Marks a replayed response.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A request under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentRequest {
    key: String,
    subject: String,
    route: String,
    hash: String,
}

#[derive(Serialize, Deserialize)]
struct StoredBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    body: String,
}

impl IdempotentRequest {
    /// The ticket of a request, where it has a key. Path and query are as they were sent, so that the same body for another
    /// tenant is another request; and where the caller is of several tenants, so is the same request in another of them.
    ///
    /// # Errors
    /// 400 for a key that is none.
    pub fn of(
        headers: &HeaderMap,
        who: &Identity,
        method: Method,
        uri: &Uri,
        body: &[u8],
    ) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(&HEADER).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let key = value.to_str().unwrap_or_default();
        let graphic = key.bytes().all(|byte| byte.is_ascii_graphic());
        if !graphic || !(1..=255).contains(&key.len()) || values.next().is_some() {
            let detail = "must be one word of 1 to 255 printable ASCII characters";
            return Err(Problem::invalid(vec![Fault::new(format!("{HEADER}:"), detail)]));
        }
        let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
        let mut hash = Sha256::new();
        hash.update(uri.query().unwrap_or_default());
        hash.update([0]);
        hash.update(body);
        // Keys are per tenant: a stored response must not affect requests in another tenant.
        let tenant = who.tenant.as_ref().map_or_else(String::new, |tenant| format!(" in {}", tenant.id));
        Ok(Some(Self {
            key: key.to_owned(),
            subject: format!("{}{tenant}", who.name()),
            route: format!("{} {}{query}", method.as_str(), uri.path()),
            hash: hex::encode(hash.finalize()),
        }))
    }

    /// The stored response to this request.
    ///
    /// # Errors
    /// 422 where the key was used for another request.
    pub async fn find(&self, ledger: &Ledger, scope: &Scope) -> Result<Option<StoredAnswer>, Problem> {
        let mut tx = ledger.read(scope).await?;
        let row = idempotency::find(&mut tx, &self.key, &self.subject).await?;
        tx.rollback().await?;
        let Some(row) = row else { return Ok(None) };
        if row.route != self.route || row.request_hash != self.hash {
            let detail = "was used for another request within the last 24 hours";
            return Err(Problem::meaning(Code::UnprocessableEntity, format!("{HEADER}:"), detail));
        }
        let stored: StoredBody =
            serde_json::from_str(&row.response).map_err(|error| Problem::internal(&error))?;
        let StoredBody { location, etag, body } = stored;
        Ok(Some(StoredAnswer { status: row.status, location, etag, body }))
    }

    /// Keeps the answer, in the transaction that does what it tells of. Where another request under this key came
    /// first, that one has done it, and this transaction comes to nothing.
    pub(super) async fn keep(&self, tx: &mut Tx, answer: &StoredAnswer) -> Result<(), Problem> {
        let StoredAnswer { status, location, etag, body } = answer.clone();
        let response = serde_json::to_string(&StoredBody { location, etag, body });
        let row = idempotency::StoredResponse {
            route: self.route.clone(),
            request_hash: self.hash.clone(),
            status,
            response: response.map_err(|error| Problem::internal(&error))?,
        };
        if idempotency::store(tx, &self.key, &self.subject, &row).await? {
            return Ok(());
        }
        Err(Problem::new(
            Code::Conflict,
            "another request with this `Idempotency-Key` was processed at the same time; send it again",
        ))
    }
}
