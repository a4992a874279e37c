//! A client of the API: one agent, one token, problems as errors.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value as Json;
use ureq::http::{Method, Request};

use super::ApiArgs;
use super::path::{self, ProjectPath};
use super::problem::Refused;
use super::show::Format;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Pages of a list that are followed; 200 things a page.
const PAGES_MAX: usize = 10_000;

/// Asks the API.
pub struct Client {
    agent: ureq::Agent,
    url: String,
    token: Option<String>,
    cluster: String,
    as_tenant: Option<String>,
    /// How to print what it answers.
    pub format: Format,
}

/// An answer that is a success.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body; null where there is none.
    pub body: Json,
    /// What to send as `If-Match`.
    pub etag: Option<String>,
}

impl Client {
    /// A client for what the flags name.
    ///
    /// # Errors
    /// A file that cannot be read, or a token that would leave this machine in plain text.
    pub fn new(args: &ApiArgs) -> anyhow::Result<Self> {
        let url = args.api_url.trim_end_matches('/').to_owned();
        let token = super::client::token(args, &url)?;
        if token.is_some() && url.starts_with("http://") && !is_loopback(&url) {
            bail!("--api-url `{url}`: a token is not sent over plain HTTP to another machine; use https://");
        }
        let mut tls = ureq::tls::TlsConfig::builder();
        if let Some(file) = &args.ca {
            tls = tls.root_certs(ureq::tls::RootCerts::new_with_certs(&authority(file)?));
        }
        let config = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false);
        Ok(Self {
            agent: config.build().into(),
            url,
            token,
            cluster: args.cluster.clone(),
            as_tenant: args.as_tenant.clone(),
            format: args.output,
        })
    }

    /// Path of a tenant's things: `["projects"]` → `/api/v1/clusters/C/tenants/T/projects`.
    pub fn tenant(&self, tenant: &str, more: &[&str]) -> String {
        let mut parts = vec!["clusters", &self.cluster, "tenants", tenant];
        parts.extend(more);
        path::url(&parts)
    }

    /// Path of a project's things.
    pub fn project(&self, at: &ProjectPath, more: &[&str]) -> String {
        let mut parts = vec!["projects", at.project.as_str()];
        parts.extend(more);
        self.tenant(&at.tenant, &parts)
    }

    /// Path of the cluster's things.
    pub fn cluster(&self, more: &[&str]) -> String {
        let mut parts = vec!["clusters", self.cluster.as_str()];
        parts.extend(more);
        path::url(&parts)
    }

    /// Name of the cluster that is meant.
    pub fn cluster_name(&self) -> &str {
        &self.cluster
    }

    /// One thing.
    ///
    /// # Errors
    /// See [`Client::send`].
    pub fn get(&self, path: &str) -> anyhow::Result<Json> {
        Ok(self.send(&Method::GET, path, None, None)?.body)
    }

    /// One thing, or nothing where the API says 404.
    ///
    /// # Errors
    /// See [`Client::send`].
    pub fn find(&self, path: &str) -> anyhow::Result<Option<Answer>> {
        match self.send(&Method::GET, path, None, None) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => match error.downcast_ref::<Refused>() {
                Some(refused) if refused.status == 404 => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Every item of a list, page by page.
    ///
    /// # Errors
    /// See [`Client::send`].
    pub fn list(&self, path: &str) -> anyhow::Result<Vec<Json>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mark = if path.contains('?') { '&' } else { '?' };
            let more = cursor.as_deref().map(|cursor| format!("&cursor={}", path::escape(cursor)));
            let mut page = self.get(&format!("{path}{mark}limit=200{}", more.unwrap_or_default()))?;
            if let Some(Json::Array(found)) = page.get_mut("items").map(Json::take) {
                items.extend(found);
            }
            cursor = page.get("nextCursor").and_then(Json::as_str).map(str::to_owned);
            if cursor.is_none() {
                return Ok(items);
            }
        }
        bail!("`{path}` has more than {PAGES_MAX} pages");
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The API cannot be reached; or a [`Refused`] that says why it does not do it.
    pub fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Json>,
        etag: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.url);
        let mut request = Request::builder().method(method).uri(&url).header("accept", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(tenant) = &self.as_tenant {
            request = request.header("x-portcullis-tenant", tenant);
        }
        if let Some(etag) = etag {
            request = request.header("if-match", etag);
        }
        if method == Method::POST {
            // A retry of this very call does nothing twice.
            request = request.header("idempotency-key", uuid::Uuid::now_v7().to_string());
        }
        let unreachable =
            || format!("--api-url `{}` does not answer; is `portcullis serve` running there?", self.url);
        let sent = match body {
            Some(body) => {
                let request =
                    request.header("content-type", "application/json").body(serde_json::to_vec(body)?)?;
                self.agent.run(request)
            }
            None => self.agent.run(request.body(())?),
        };
        let mut response = sent.with_context(unreachable)?;
        let status = response.status().as_u16();
        let etag = response.headers().get("etag").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = response.body_mut().read_to_string().with_context(unreachable)?;
        if !(200..300).contains(&status) {
            return Err(Refused::read(status, &text).into());
        }
        let body = if text.trim().is_empty() { Json::Null } else { serde_json::from_str(&text)? };
        Ok(Answer { status, body, etag })
    }
}

/// The token that the flags and the environment name; on loopback, one by this user's own keys.
fn token(args: &ApiArgs, url: &str) -> anyhow::Result<Option<String>> {
    if let Some(file) = &args.token_file {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("--token-file `{}`", file.display()))?;
        return Ok(Some(text.trim().to_owned()));
    }
    if let Ok(token) = std::env::var("PORTCULLIS_TOKEN") {
        return Ok(Some(token.trim().to_owned()).filter(|token| !token.is_empty()));
    }
    if !is_loopback(url) {
        return Ok(None);
    }
    if let Err(user) = super::listener::is_ours(port(url)) {
        bail!(
            "--api-url `{url}`: user {user} listens there, who is not you, so a token made of your keys is not shown; \
             is it the right port? --token-file names a token that may be"
        );
    }
    // Whoever can read the keys can be anybody; asking for a token first would be a ceremony.
    Ok(crate::cli::token::own().ok())
}

fn port(url: &str) -> u16 {
    let uri = url.parse::<ureq::http::Uri>().ok();
    let default = if url.starts_with("https:") { 443 } else { 80 };
    uri.and_then(|uri| uri.port_u16()).unwrap_or(default)
}

fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<ureq::http::Uri>() else { return false };
    let Some(host) = uri.host() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn authority(file: &Path) -> anyhow::Result<Vec<ureq::tls::Certificate<'static>>> {
    let pem = std::fs::read(file).with_context(|| format!("--ca `{}`", file.display()))?;
    let roots: Vec<_> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if roots.is_empty() {
        bail!("--ca `{}` holds no certificate; it begins with -----BEGIN CERTIFICATE-----", file.display());
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for url in ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["http://10.0.0.1", "http://127.0.0.1.evil.io", "http://localhost.evil.io", "nonsense"] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
