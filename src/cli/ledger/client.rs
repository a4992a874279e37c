//! The client of the ledger's API: one agent, one token, and problem documents as errors.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value as Json;
use ureq::http::{Method, Request};

use super::ApiArgs;
use super::path::{self, ProjectPath};
use super::show::Format;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Limit of followed pages, with 200 items each.
const PAGES_MAX: usize = 10_000;

pub struct Client {
    agent: ureq::Agent,
    url: String,
    token: Option<String>,
    cluster: String,
    as_tenant: Option<String>,
    pub format: Format,
}

pub struct Answer {
    pub status: u16,
    /// Null if there is none.
    pub body: Json,
    /// For `If-Match`.
    pub etag: Option<String>,
}

impl Client {
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

    /// `["projects"]` becomes `/api/v1/clusters/C/tenants/T/projects`.
    pub fn tenant(&self, tenant: &str, more: &[&str]) -> String {
        let mut parts = vec!["clusters", &self.cluster, "tenants", tenant];
        parts.extend(more);
        path::url(&parts)
    }

    pub fn project(&self, at: &ProjectPath, more: &[&str]) -> String {
        let mut parts = vec!["projects", at.project.as_str()];
        parts.extend(more);
        self.tenant(&at.tenant, &parts)
    }

    pub fn cluster(&self, more: &[&str]) -> String {
        let mut parts = vec!["clusters", self.cluster.as_str()];
        parts.extend(more);
        path::url(&parts)
    }

    pub fn cluster_name(&self) -> &str {
        &self.cluster
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Json> {
        Ok(self.send(&Method::GET, path, None, None)?.body)
    }

    /// `None` if the API answers 404.
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

    /// A rejected request is an error of type [`Refused`].
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
            // A retry of the same request must not be executed twice.
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

/// The token of the flags or the environment; on loopback, one signed with this user's keys.
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
    if let Err(user) = listener_is_ours(port(url)) {
        bail!(
            "--api-url `{url}`: the listener belongs to user {user}, so a token signed with your keys is not sent; \
             check the port, or give --token-file"
        );
    }
    // A user who can read the keys can mint any token, so a login would add no security.
    Ok(crate::cli::token::own_token().ok())
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

/// A problem document (RFC 9457) of the API.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    #[serde(default)]
    pub status: u16,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: Option<String>,
    /// The stable code, as `docs/errors.md` lists them.
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    errors: Vec<FieldError>,
}

#[derive(Debug, Clone, Deserialize)]
struct FieldError {
    #[serde(default)]
    pointer: String,
    #[serde(default)]
    detail: String,
}

impl Refused {
    /// Accepts any other body as the detail.
    pub fn read(status: u16, body: &str) -> Self {
        let plain = || Self {
            status,
            title: format!("the server answered {status}"),
            detail: Some(body.trim().chars().take(500).collect()),
            code: String::new(),
            request_id: None,
            errors: Vec::new(),
        };
        serde_json::from_str(body).map_or_else(|_| plain(), |refused| Self { status, ..refused })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail.as_deref().filter(|detail| !detail.is_empty()).unwrap_or(&self.title))?;
        for field in &self.errors {
            let pointer = if field.pointer.is_empty() { "/" } else { &field.pointer };
            write!(f, "\n  {pointer}: {}", field.detail)?;
        }
        if !self.code.is_empty() {
            write!(f, "\n  {} ({})", self.code, self.status)?;
        }
        if let Some(id) = self.request_id.as_deref().filter(|_| self.status >= 500) {
            write!(f, ", request {id}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// State `LISTEN` in the kernel's tables, see `proc(5)`.
const LISTEN: &str = "0A";

/// On loopback a command sends a token that it signed itself, so a port that another user took over must not receive it.
/// Only Linux can check this.
fn listener_is_ours(port: u16) -> Result<(), u32> {
    let Ok(own) = std::fs::metadata("/proc/self") else { return Ok(()) };
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| owners(table, port)).try_for_each(|owner| {
        // Root can read the keys anyway.
        if owner == own.uid() || owner == 0 { Ok(()) } else { Err(owner) }
    })
}

/// User ids whose sockets listen on a port, from one of the tables.
fn owners(table: &str, port: u16) -> impl Iterator<Item = u32> {
    table.lines().skip(1).filter_map(move |line| {
        let mut fields = line.split_whitespace();
        let (_, local, _, state) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let (_, found) = local.rsplit_once(':')?;
        let listens = state == LISTEN && u16::from_str_radix(found, 16) == Ok(port);
        // Skips queues, timer and retransmits; the next field is the user.
        fields.nth(3)?.parse().ok().filter(|_| listens)
    })
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

    #[test]
    fn a_problem_names_every_place() {
        let body = r#"{"title": "Bad Request", "status": 400, "detail": "two fields are wrong", "code": "VALIDATION_ERROR",
            "requestId": "r1", "errors": [{"pointer": "/name", "detail": "is missing"}, {"pointer": "/x", "detail": "is unknown"}]}"#;
        let said = Refused::read(400, body).to_string();
        assert_eq!(
            said,
            "two fields are wrong\n  /name: is missing\n  /x: is unknown\n  VALIDATION_ERROR (400)"
        );
    }

    #[test]
    fn what_is_no_problem_document_is_told_as_it_is() {
        assert_eq!(Refused::read(502, "bad gateway\n").to_string(), "bad gateway");
    }

    const TABLE: &str = "\
      sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
       0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 41 1 0000000000000000 100 0 0 10 0
       1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 42 1 0000000000000000 100 0 0 10 0
       2: 0100007F:1F90 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000  1001        0 43 1 0000000000000000 20 4 30 10 -1
    ";

    #[test]
    fn only_who_listens_counts() {
        assert_eq!(owners(TABLE, 8080).collect::<Vec<_>>(), [1000]);
        assert_eq!(owners(TABLE, 8081).collect::<Vec<_>>(), [0]);
        assert_eq!(owners(TABLE, 8082).count(), 0);
        assert_eq!(owners("", 8080).count(), 0);
    }

    #[test]
    fn a_socket_of_this_process_is_ours() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener_is_ours(socket.local_addr().unwrap().port()), Ok(()));
    }
}
