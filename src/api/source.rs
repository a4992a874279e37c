//! The source of an app or a catalog item, checked as a whole before any of it is stored.
//!
//! [`schema`] holds every bound of a field; these checks are what a schema cannot say.

pub(crate) mod forbidden;
mod image_policy;
mod images;
mod namespaces;
#[expect(dead_code, reason = "these types only describe a schema; no value of them is built")]
pub(crate) mod schema;
pub(crate) mod structure;

use serde_json::Value;

use self::image_policy::AppIdentity;
use self::images::ImageReference;
use self::structure::{bounds, kind};
use super::Api;
use super::problem::{Code, Fault, Problem};
use super::projects::ProjectInTenant;
use portcullis_admission::PreparedSnapshot;
use portcullis_store::apps::{Content, Origin, Spec};
use portcullis_store::{Tx, namespaces as stored_namespaces};
use portcullis_tenancy::source::SourceKind;

/// Pointer of the source in the body that creates or replaces an app.
pub const SOURCE: &str = "/spec/source";

/// Which app it is for.
#[derive(Debug, Clone, Copy)]
pub struct TargetApp<'a> {
    /// Its project.
    pub parent: &'a ProjectInTenant,
    /// Its UUID.
    pub id: &'a str,
    /// Its slug.
    pub name: &'a str,
}

/// Checks the content of an app and returns it. Pointers are those of the body of `POST …/apps`.
///
/// # Errors
/// 400 for size and depth; 422 for the kind, credentials, foreign Secrets and denied images; 503 without policies.
pub async fn content(
    api: &Api,
    tx: &mut Tx,
    app: TargetApp<'_>,
    spec: Spec,
    origin: Option<Origin>,
) -> Result<Content, Problem> {
    let lists = [("/components", &spec.components), ("/traits", &spec.traits), ("/policies", &spec.policies)];
    let lists = lists.map(|(at, list)| (at, Value::Array(list.clone())));
    let source = &spec.spec.source;
    let mut shape = bounds(source, SOURCE);
    shape.extend(lists.iter().flat_map(|(at, list)| bounds(list, at)));
    if !shape.is_empty() {
        return Err(Problem::invalid(shape));
    }
    let mut faults = forbidden::credentials(source, SOURCE);
    faults.extend(lists.iter().flat_map(|(at, list)| forbidden::credentials(list, at)));
    faults.extend(forbidden::cluster_scoped(source, SOURCE));
    faults.extend(lists.iter().flat_map(|(at, list)| forbidden::cluster_scoped(list, at)));
    let kind = match kind(source, SOURCE) {
        Ok(kind) => kind,
        Err(wrong) => {
            faults.splice(..0, wrong);
            return Err(Problem::faults(Code::UnprocessableEntity, faults));
        }
    };
    let subject = AppIdentity {
        tenant: &app.parent.tenant.name,
        project: &app.parent.project.name,
        id: app.id,
        app: app.name,
    };
    let (prepared, namespace) = image_policy::tenancy_with_app(tx, &subject).await?;
    if let Some((named, at)) = namespaces::secret_namespace(source, kind, SOURCE)
        && named != namespace
        && !stored_namespaces::is_app_of(tx, &app.parent.tenant.id, &named).await?
    {
        faults.push(Fault::new(at, namespaces::NOT_AN_APP_NAMESPACE));
    }
    let documents = lists.iter().map(|(at, list)| (*at, list)).chain([(SOURCE, source)]);
    let own = (app.parent.tenant.id.as_str(), app.parent.tenant.name.as_str());
    // A reference that is rejected above is not reported twice.
    let elsewhere =
        namespaces::of_other_projects(tx, own, &namespace, &documents.collect::<Vec<_>>()).await?;
    let reported: Vec<String> = faults.iter().map(|fault| fault.pointer.clone()).collect();
    faults.extend(elsewhere.into_iter().filter(|fault| !reported.contains(&fault.pointer)));
    let mut images = images::of_source(source, kind, SOURCE);
    images.extend(lists.iter().flat_map(|(at, list)| images::anywhere(list, at)));
    refuse(faults, image_faults(api, &prepared, &namespace, &images)?)?;
    Ok(Content { kind, spec, origin })
}

/// Checks the source of a catalog item at this pointer of the body. `tenant` is the slug of the item's tenant.
///
/// # Errors
/// As [`content`].
pub async fn item(
    api: &Api,
    tx: &mut Tx,
    tenant: Option<&str>,
    source: &Value,
    at: &str,
) -> Result<SourceKind, Problem> {
    let shape = bounds(source, at);
    if !shape.is_empty() {
        return Err(Problem::invalid(shape));
    }
    let mut faults = forbidden::credentials(source, at);
    if tenant.is_some() {
        faults.extend(forbidden::cluster_scoped(source, at));
    }
    let kind = match kind(source, at) {
        Ok(kind) => kind,
        Err(wrong) => {
            faults.splice(..0, wrong);
            return Err(Problem::faults(Code::UnprocessableEntity, faults));
        }
    };
    let (prepared, namespace) = image_policy::tenancy_with_item(tx, tenant).await?;
    let images = images::of_source(source, kind, at);
    refuse(faults, image_faults(api, &prepared, &namespace, &images)?)?;
    Ok(kind)
}

fn image_faults(
    api: &Api,
    prepared: &PreparedSnapshot,
    namespace: &str,
    images: &[ImageReference],
) -> Result<Vec<Fault>, Problem> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let policies = api.gate()?.policies.load();
    image_policy::evaluate_images(&policies, prepared, namespace, images).map_err(|error| {
        tracing::warn!(%error, "the images of a source could not be evaluated");
        Problem::new(Code::ServiceUnavailable, "the images could not be evaluated; retry later")
    })
}

/// One code for all: that of images only where nothing else is wrong.
fn refuse(faults: Vec<Fault>, images: Vec<Fault>) -> Result<(), Problem> {
    let code = if faults.is_empty() { Code::RegistryNotAllowed } else { Code::UnprocessableEntity };
    let all: Vec<Fault> = faults.into_iter().chain(images).collect();
    if all.is_empty() { Ok(()) } else { Err(Problem::faults(code, all)) }
}

#[cfg(test)]
mod tests;
