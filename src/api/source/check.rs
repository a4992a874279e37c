//! All that is asked of what an app is made of, before any of it is written down.

use super::images::{self, Found};
use super::world::{self, Subject};
use super::{bounds, cluster_scoped, kind, law, neighbours, reference, secrets};
use crate::Api;
use crate::place::Place;
use crate::problem::{Code, Fault, Problem};
use portcullis_admission::World;
use portcullis_store::apps::{Content, Origin, Spec};
use portcullis_store::{Tx, namespaces};
use portcullis_tenancy::source::SourceKind;
use serde_json::Value;

/// Where a source stands in the body of whoever makes or replaces an app.
pub const SOURCE: &str = "/spec/source";

/// Which app it is for.
#[derive(Debug, Clone, Copy)]
pub struct For<'a> {
    /// Its project.
    pub place: &'a Place,
    /// Its UUID.
    pub id: &'a str,
    /// Its slug.
    pub name: &'a str,
}

/// Everything that can be said against what an app is to be made of, and else the content itself. Pointers are those of
/// the body of `POST …/apps`.
///
/// # Errors
/// 400 for what is too long or too deep; 422 for two kinds or none, for credentials, for Secrets of others and for images
/// that the law does not admit; 503 where there is no law to ask.
pub async fn content(
    api: &Api,
    tx: &mut Tx,
    app: For<'_>,
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
    let mut faults = secrets::scan(source, SOURCE);
    faults.extend(lists.iter().flat_map(|(at, list)| secrets::scan(list, at)));
    faults.extend(cluster_scoped::scan(source, SOURCE));
    faults.extend(lists.iter().flat_map(|(at, list)| cluster_scoped::scan(list, at)));
    let kind = match kind(source, SOURCE) {
        Ok(kind) => kind,
        Err(wrong) => {
            faults.splice(..0, wrong);
            return Err(Problem::faults(Code::UnprocessableEntity, faults));
        }
    };
    let subject = Subject {
        tenant: &app.place.tenant.name,
        project: &app.place.project.name,
        id: app.id,
        app: app.name,
    };
    let (world, namespace) = world::of(tx, &subject).await?;
    if let Some((named, at)) = reference::namespace(source, kind, SOURCE)
        && named != namespace
        && !namespaces::is_app_of(tx, &app.place.tenant.id, &named).await?
    {
        faults.push(Fault::new(at, reference::ELSEWHERE));
    }
    let documents = lists.iter().map(|(at, list)| (*at, list)).chain([(SOURCE, source)]);
    let own = (app.place.tenant.id.as_str(), app.place.tenant.name.as_str());
    // A reference that was refused above is not told again.
    let elsewhere = neighbours::scan(tx, own, &namespace, &documents.collect::<Vec<_>>()).await?;
    let told: Vec<String> = faults.iter().map(|fault| fault.pointer.clone()).collect();
    faults.extend(elsewhere.into_iter().filter(|fault| !told.contains(&fault.pointer)));
    let mut images = images::of_source(source, kind, SOURCE);
    images.extend(lists.iter().flat_map(|(at, list)| images::anywhere(list, at)));
    refuse(faults, judged(api, &world, &namespace, &images)?)?;
    Ok(Content { kind, spec, origin })
}

/// The same for the source of an item of the catalog, at this place of the body. `tenant` is the slug of the item's.
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
    let mut faults = secrets::scan(source, at);
    if tenant.is_some() {
        faults.extend(cluster_scoped::scan(source, at));
    }
    let kind = match kind(source, at) {
        Ok(kind) => kind,
        Err(wrong) => {
            faults.splice(..0, wrong);
            return Err(Problem::faults(Code::UnprocessableEntity, faults));
        }
    };
    let (world, namespace) = world::of_item(tx, tenant).await?;
    let images = images::of_source(source, kind, at);
    refuse(faults, judged(api, &world, &namespace, &images)?)?;
    Ok(kind)
}

fn judged(api: &Api, world: &World, namespace: &str, images: &[Found]) -> Result<Vec<Fault>, Problem> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let law = api.gate()?.law.load();
    law::judge(&law, world, namespace, images).map_err(|error| {
        tracing::warn!(%error, "a source could not be judged");
        Problem::new(Code::ServiceUnavailable, "the law could not judge the images just now")
    })
}

/// One code for all: that of images only where nothing else is wrong.
fn refuse(faults: Vec<Fault>, images: Vec<Fault>) -> Result<(), Problem> {
    let code = if faults.is_empty() { Code::RegistryNotAllowed } else { Code::UnprocessableEntity };
    let all: Vec<Fault> = faults.into_iter().chain(images).collect();
    if all.is_empty() { Ok(()) } else { Err(Problem::faults(code, all)) }
}
