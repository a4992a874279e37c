//! Lists objects of every kind, page by page, as JSON text that the caller parses.

use kube::api::ListParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::Cluster;
use super::error::cause;

/// How often a list whose continue token has expired is started again.
const RESTARTS_MAX: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListableResource {
    /// Empty for the core group.
    pub group: String,
    /// `apps/v1`, `v1`
    pub api_version: String,
    pub resource: String,
    pub kind: String,
    pub namespaced: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct ListedObject<'a> {
    /// Empty for cluster-scoped objects.
    pub namespace: &'a str,
    pub name: &'a str,
    /// Its JSON, without `kind` and `apiVersion`.
    pub text: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct ListError {
    /// A resource (`deployments.apps`), or a group version.
    pub what: String,
    pub why: String,
    /// Whether RBAC is the reason.
    pub forbidden: bool,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: Option<PageMeta>,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
}

/// Names of objects need no escapes in JSON, so they can be borrowed.
#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(default, borrow)]
    namespace: &'a str,
    #[serde(default, borrow)]
    name: &'a str,
}

impl ListableResource {
    /// `deployments.apps`
    pub fn notation(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        format!("{}{dot}{}", self.resource, self.group)
    }

    fn path(&self) -> String {
        let root = if self.group.is_empty() { "api" } else { "apis" };
        format!("/{root}/{}/{}", self.api_version, self.resource)
    }
}

impl Cluster {
    /// All resources with the verb `list`, in the preferred version of each group. Groups whose own API server does not
    /// answer are in the second list.
    pub async fn listable_resources(&self) -> Result<(Vec<ListableResource>, Vec<ListError>), ListError> {
        let failed = |what: &str, error: &kube::Error| ListError {
            what: what.to_owned(),
            why: cause(error),
            forbidden: matches!(error, kube::Error::Api(status) if status.is_forbidden()),
        };
        let (mut all, mut failures) = (Vec::new(), Vec::new());
        let core = self.client.list_core_api_resources("v1").await.map_err(|error| failed("v1", &error))?;
        let groups = self.client.list_api_groups().await.map_err(|error| failed("the API groups", &error))?;
        let mut lists = vec![(String::new(), "v1".to_owned(), core)];
        for group in groups.groups {
            let Some(version) = group.preferred_version.or_else(|| group.versions.into_iter().next()) else {
                continue;
            };
            match self.client.list_api_group_resources(&version.group_version).await {
                Ok(list) => lists.push((group.name, version.group_version, list)),
                Err(error) => failures.push(failed(&version.group_version, &error)),
            }
        }
        for (group, version, list) in lists {
            let listable = list.resources.into_iter().filter(|resource| {
                resource.verbs.iter().any(|verb| verb == "list") && !resource.name.contains('/')
            });
            all.extend(listable.map(|resource| ListableResource {
                group: group.clone(),
                api_version: version.clone(),
                resource: resource.name,
                kind: resource.kind,
                namespaced: resource.namespaced,
            }));
        }
        all.sort();
        Ok((all, failures))
    }

    /// Lists a resource in all namespaces and gives each object once. After 410 Gone it continues with the token that the
    /// server offers, or starts again and skips the objects that were given. The inner error is that of `give`.
    pub async fn list_each<E>(
        &self,
        resource: &ListableResource,
        page: u32,
        mut give: impl FnMut(ListedObject<'_>) -> Result<(), E>,
    ) -> Result<Result<(), E>, ListError> {
        let mut params = ListParams::default().limit(page);
        let (mut last, mut restarts) = (None::<(String, String)>, 0);
        loop {
            let text = match self.page(resource, &params).await {
                Ok(text) => text,
                Err(kube::Error::Api(status)) if status.code == 410 && restarts < RESTARTS_MAX => {
                    restarts += 1;
                    params.continue_token = status.metadata.and_then(|meta| meta.continue_);
                    continue;
                }
                Err(error) => return Err(list_error(resource, &error)),
            };
            let page: Page<'_> = serde_json::from_str(&text).map_err(|error| unparsable(resource, &error))?;
            for raw in page.items.unwrap_or_default() {
                let object: Object<'_> =
                    serde_json::from_str(raw.get()).map_err(|error| unparsable(resource, &error))?;
                let Meta { namespace, name } = object.metadata;
                // Lists come in the order of etcd's keys, so an object that is not after the last one was given before.
                let key = (namespace, name);
                if last.as_ref().is_some_and(|(space, last)| restarts > 0 && key <= (space, last)) {
                    continue;
                }
                if let Err(error) = give(ListedObject { namespace, name, text: raw.get() }) {
                    return Ok(Err(error));
                }
                last = Some((namespace.to_owned(), name.to_owned()));
            }
            match page.metadata.and_then(|meta| meta.next).filter(|next| !next.is_empty()) {
                Some(next) => params.continue_token = Some(next),
                None => return Ok(Ok(())),
            }
        }
    }

    async fn page(&self, resource: &ListableResource, params: &ListParams) -> Result<String, kube::Error> {
        let request = Request::new(resource.path()).list(params).map_err(kube::Error::BuildRequest)?;
        self.client.request_text(request).await
    }
}

fn list_error(resource: &ListableResource, error: &kube::Error) -> ListError {
    let forbidden = matches!(error, kube::Error::Api(status) if status.is_forbidden());
    let why = match error {
        _ if forbidden => format!("permissions are missing in RBAC; grant: list {}", resource.notation()),
        kube::Error::Api(status) => format!("the API server answers {}: {}", status.code, status.message),
        other => cause(other),
    };
    ListError { what: resource.notation(), why, forbidden }
}

fn unparsable(resource: &ListableResource, error: &serde_json::Error) -> ListError {
    let why = format!("the list of the API server cannot be parsed: {error}");
    ListError { what: resource.notation(), why, forbidden: false }
}

#[cfg(test)]
mod tests;
