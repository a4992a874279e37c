//! Break-glass documents on their way to the gates. The signature is the gates' to verify, by the key they were given.

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Created};
use super::body::{Body, Path, Query};
use super::caller::Caller;
use super::exceptions::{Name, expiry};
use super::page::Page;
use super::policysets::{NO_LABELS, PlainQuery};
use super::problem::{Code, Fault, Problem};
use portcullis_store::breakglass::{self, Breakglass};
use portcullis_tenancy::breakglass::Document;

/// The longest that a document holds, in milliseconds: eight hours.
const LONGEST: i64 = 8 * 60 * 60 * 1000;

/// Length of a signature of Ed25519.
const SIGNATURE_BYTES: usize = 64;

/// A document and its signature.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakglassNew {
    /// What is opened.
    document: BreakglassDocument,
    /// Ed25519 over the document's JSON in the order of its fields without spaces, base64.
    #[schema(min_length = 88, max_length = 88, pattern = "^[A-Za-z0-9+/]+={0,2}$")]
    signature: String,
}

/// Who may do what, where, until when, and why.
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
    /// Usernames, exact.
    #[schema(min_items = 1, max_items = 20, inline)]
    people: Vec<Name>,
    /// Namespaces, exact.
    #[schema(min_items = 1, max_items = 100, inline)]
    namespaces: Vec<Name>,
    /// Ids of the policies that do not hold.
    #[schema(min_items = 1, max_items = 50, inline)]
    laws: Vec<Name>,
    /// Why.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// From when on, RFC 3339.
    #[schema(format = DateTime, min_length = 20, max_length = 40)]
    not_before: String,
    /// Until when, RFC 3339; eight hours from now at most.
    #[schema(format = DateTime, min_length = 20, max_length = 40)]
    expires: String,
}

/// Lists documents.
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<PlainQuery>,
) -> Result<Answer<Page<Breakglass>>, Problem> {
    let mut filling = query.window()?.filling();
    let mut tx = api.read(&caller).await?;
    while let Some((after, limit)) = filling.wants() {
        let rows = breakglass::list(&mut tx, after.as_deref(), limit).await?;
        filling.take(rows, |row| &row.id, |_| &NO_LABELS);
    }
    Ok(Answer::new(filling.page()))
}

/// Delivers a document.
pub async fn open(
    State(api): State<Api>,
    caller: Caller,
    Body(BreakglassNew { document, signature }): Body<BreakglassNew>,
) -> Result<Created<Breakglass>, Problem> {
    let bytes = STANDARD.decode(&signature).ok().filter(|bytes| bytes.len() == SIGNATURE_BYTES);
    if bytes.is_none() {
        return Err(Problem::invalid(vec![Fault::new("/signature", "is not 64 bytes in base64")]));
    }
    let mut tx = api.write(&caller).await?;
    let expires = expiry(&document.expires, tx.now(), LONGEST, "/document/expires")?;
    let begins: Result<jiff::Timestamp, _> = document.not_before.parse();
    match begins {
        Ok(begins) if begins.as_millisecond() < expires.0 => {}
        Ok(_) => {
            let detail = "is not before `expires`";
            return Err(Problem::meaning(Code::UnprocessableEntity, "/document/notBefore", detail));
        }
        Err(_) => {
            return Err(Problem::invalid(vec![Fault::new("/document/notBefore", "is no time of RFC 3339")]));
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

/// Closes a document before its time.
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
