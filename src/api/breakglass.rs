//! Break-glass documents. The API stores and distributes them; each gate verifies the signature with its own key.

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Created};
use super::caller::Caller;
use super::exceptions::{Name, expiry};
use super::extract::{Body, Path, Query};
use super::page::{Page, PageQuery, no_labels};
use super::problem::{Code, Fault, Problem};
use portcullis_store::breakglass::{self, Breakglass};
use portcullis_tenancy::breakglass::Document;

/// The longest validity of a document, in milliseconds: eight hours.
const VALIDITY_MAX: i64 = 8 * 60 * 60 * 1000;

const SIGNATURE_BYTES: usize = 64;

/// A document and its signature.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakglassNew {
    /// The document.
    document: BreakglassDocument,
    /// Ed25519 over the document's JSON in the order of its fields without spaces, base64.
    #[schema(min_length = 88, max_length = 88, pattern = "^[A-Za-z0-9+/]+={0,2}$")]
    signature: String,
}

/// Bypasses policies for named users in named namespaces, for a limited time.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BreakglassDocument {
    /// UUID.
    #[schema(
        format = "uuid",
        min_length = 36,
        max_length = 36,
        pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
    )]
    id: String,
    /// Exact usernames.
    #[schema(min_items = 1, max_items = 20, inline)]
    users: Vec<Name>,
    /// Exact namespaces.
    #[schema(min_items = 1, max_items = 100, inline)]
    namespaces: Vec<Name>,
    /// Ids of the policies to bypass.
    #[schema(min_items = 1, max_items = 50, inline)]
    policies: Vec<Name>,
    /// The reason, for the audit log.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// Start of validity, RFC 3339.
    #[schema(format = DateTime, min_length = 20, max_length = 40)]
    not_before: String,
    /// End of validity, RFC 3339; at most eight hours from now.
    #[schema(format = DateTime, min_length = 20, max_length = 40)]
    expires: String,
}

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Answer<Page<Breakglass>>, Problem> {
    let mut builder = query.window()?.builder();
    let mut tx = api.read(&caller).await?;
    while let Some((after, limit)) = builder.next_query() {
        let rows = breakglass::list(&mut tx, after.as_deref(), limit).await?;
        builder.add(rows, |row| &row.id, no_labels);
    }
    Ok(Answer::new(builder.build()))
}

pub async fn open(
    State(api): State<Api>,
    caller: Caller,
    Body(BreakglassNew { document, signature }): Body<BreakglassNew>,
) -> Result<Created<Breakglass>, Problem> {
    let bytes = STANDARD.decode(&signature).ok().filter(|bytes| bytes.len() == SIGNATURE_BYTES);
    if bytes.is_none() {
        return Err(Problem::invalid(vec![Fault::new("/signature", "must be 64 bytes in base64")]));
    }
    let mut tx = api.write(&caller).await?;
    let expires = expiry(&document.expires, tx.now(), VALIDITY_MAX, "/document/expires")?;
    let begins: Result<jiff::Timestamp, _> = document.not_before.parse();
    match begins {
        Ok(begins) if begins.as_millisecond() < expires.0 => {}
        Ok(_) => {
            let detail = "must be before `expires`";
            return Err(Problem::meaning(Code::UnprocessableEntity, "/document/notBefore", detail));
        }
        Err(_) => {
            return Err(Problem::invalid(vec![Fault::new("/document/notBefore", "is not an RFC 3339 time")]));
        }
    }
    let signed: Document = serde_json::from_value(json!(document))
        .map_err(|error| Problem::invalid(vec![Fault::new("/document", error.to_string())]))?;
    if let Err(error) = signed.window() {
        return Err(Problem::meaning(Code::UnprocessableEntity, "/document", error.to_string()));
    }
    let made = breakglass::open(&mut tx, &document.id, &json!(document), &signature, expires).await?;
    let at = format!("/api/v1/breakglass/{}", made.id);
    caller.commit(tx, Created::fixed_at(at, made)).await
}

pub async fn close(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer<Breakglass>, Problem> {
    let mut tx = api.write(&caller).await?;
    let was = breakglass::get(&mut tx, &id).await?;
    let is = breakglass::close(&mut tx, was).await?;
    caller.commit(tx, Answer::new(is)).await
}
