//! What there is of every kind, page by page, as the text in which it came: whoever wants objects reads them himself.

use kube::api::ListParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::Cluster;
use super::error::cause;

/// How often a list is begun anew whose continuation the API server has forgotten.
const AGAIN: usize = 5;

/// A kind in a namespace, or Namespaces themselves, that can be listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Empty for the core.
    pub group: String,
    /// `apps/v1`, `v1`
    pub api_version: String,
    /// Plural.
    pub resource: String,
    /// `Deployment`
    pub kind: String,
    /// Whether it lies in a namespace.
    pub namespaced: bool,
}

/// One object of a page.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Empty for what has none.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its JSON, without kind and version.
    pub text: &'a str,
}

/// Why something is not among what was listed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct NotListed {
    /// `secrets`, `deployments.apps`, or a group.
    pub what: String,
    /// What the API server says.
    pub why: String,
    /// Whether whoever asks may not; else it failed.
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

/// Names of objects need no escapes in JSON, so they can be read where they stand; what has one is none.
#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(default, borrow)]
    namespace: &'a str,
    #[serde(default, borrow)]
    name: &'a str,
}

impl Listed {
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
    /// Everything that can be listed, in order of group and name; of each group the version that the API server prefers.
    /// A group whose own API server is away is in the second list.
    ///
    /// # Errors
    /// The groups themselves cannot be asked for.
    pub async fn listed(&self) -> Result<(Vec<Listed>, Vec<NotListed>), NotListed> {
        let failed = |what: &str, error: &kube::Error| NotListed {
            what: what.to_owned(),
            why: cause(error),
            forbidden: matches!(error, kube::Error::Api(status) if status.is_forbidden()),
        };
        let (mut all, mut missing) = (Vec::new(), Vec::new());
        let core = self.client.list_core_api_resources("v1").await.map_err(|error| failed("v1", &error))?;
        let groups = self.client.list_api_groups().await.map_err(|error| failed("the API groups", &error))?;
        let mut lists = vec![(String::new(), "v1".to_owned(), core)];
        for group in groups.groups {
            let Some(version) = group.preferred_version.or_else(|| group.versions.into_iter().next()) else {
                continue;
            };
            match self.client.list_api_group_resources(&version.group_version).await {
                Ok(list) => lists.push((group.name, version.group_version, list)),
                Err(error) => missing.push(failed(&version.group_version, &error)),
            }
        }
        for (group, version, list) in lists {
            let fits = list.resources.into_iter().filter(|resource| {
                resource.verbs.iter().any(|verb| verb == "list") && !resource.name.contains('/')
            });
            all.extend(fits.map(|resource| Listed {
                group: group.clone(),
                api_version: version.clone(),
                resource: resource.name,
                kind: resource.kind,
                namespaced: resource.namespaced,
            }));
        }
        all.sort();
        Ok((all, missing))
    }

    /// Lists a kind in all namespaces, `page` objects an answer, and gives each object once. Where the API server has
    /// forgotten the place (410), it goes on from what the server offers, or begins anew and passes over what was given.
    ///
    /// # Errors
    /// It may not or cannot be listed; the error of `give`, which ends it, is the inner one.
    pub async fn each<E>(
        &self,
        listed: &Listed,
        page: u32,
        mut give: impl FnMut(Item<'_>) -> Result<(), E>,
    ) -> Result<Result<(), E>, NotListed> {
        let mut params = ListParams::default().limit(page);
        let (mut last, mut again) = (None::<(String, String)>, 0);
        loop {
            let text = match self.page(listed, &params).await {
                Ok(text) => text,
                Err(kube::Error::Api(status)) if status.code == 410 && again < AGAIN => {
                    again += 1;
                    params.continue_token = status.metadata.and_then(|meta| meta.continue_);
                    continue;
                }
                Err(error) => return Err(not_listed(listed, &error)),
            };
            let page: Page<'_> = serde_json::from_str(&text).map_err(|error| unread(listed, &error))?;
            for raw in page.items.unwrap_or_default() {
                let object: Object<'_> =
                    serde_json::from_str(raw.get()).map_err(|error| unread(listed, &error))?;
                let Meta { namespace, name } = object.metadata;
                // Lists come in the order of etcd's keys, so what is not behind the last one was given before.
                let key = (namespace, name);
                if last.as_ref().is_some_and(|(space, last)| again > 0 && key <= (space, last)) {
                    continue;
                }
                if let Err(error) = give(Item { namespace, name, text: raw.get() }) {
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

    async fn page(&self, listed: &Listed, params: &ListParams) -> Result<String, kube::Error> {
        let request = Request::new(listed.path()).list(params).map_err(kube::Error::BuildRequest)?;
        self.client.request_text(request).await
    }
}

fn not_listed(listed: &Listed, error: &kube::Error) -> NotListed {
    let forbidden = matches!(error, kube::Error::Api(status) if status.is_forbidden());
    let why = match error {
        _ if forbidden => format!("RBAC forbids what is needed; grant: list {}", listed.notation()),
        kube::Error::Api(status) => format!("the API server answers {}: {}", status.code, status.message),
        other => cause(other),
    };
    NotListed { what: listed.notation(), why, forbidden }
}

fn unread(listed: &Listed, error: &serde_json::Error) -> NotListed {
    let why = format!("the API server's list cannot be read: {error}");
    NotListed { what: listed.notation(), why, forbidden: false }
}

#[cfg(test)]
mod tests;
