//! The reference page at `/docs`: the OpenAPI document as plain HTML, made once at the start.
//!
//! It holds no script and loads nothing, so it works offline and under a policy that forbids everything but its own style.

use std::fmt::Write as _;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::problem::Code;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8881}\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
code,pre{font:13px/1.45 ui-monospace,monospace}pre{background:var(--soft);padding:.6rem;overflow:auto}\
h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}details{border:1px solid var(--line);border-radius:6px;margin:.4rem 0}\
summary{cursor:pointer;padding:.4rem .6rem}details>div{padding:0 .8rem .6rem}\
b.m{display:inline-block;min-width:4.2rem}table{border-collapse:collapse;width:100%}\
td,th{border-bottom:1px solid var(--line);padding:.25rem .5rem;text-align:left;vertical-align:top}\
nav a{margin-right:.8rem}";

/// The page, and the policy it is served under.
#[derive(Debug, Clone)]
pub struct Page {
    html: String,
    policy: String,
}

// === impl Page ===

impl Page {
    /// Renders a document.
    pub fn render(document: &Value) -> Self {
        let digest = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        let mut html = String::new();
        // Writing into a text does not fail.
        let _ = write(document, &mut html);
        Self { html, policy }
    }

    /// The answer.
    pub fn answer(&self) -> Response {
        let mut response = self.html.clone().into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        if let Ok(policy) = HeaderValue::from_str(&self.policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

fn write(document: &Value, out: &mut String) -> std::fmt::Result {
    let info = text(document, "/info/description");
    write!(
        out,
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Portcullis API</title><style>{STYLE}</style></head><body><h1>Portcullis API <small>{}</small></h1>\
         <p>{}</p><p>The same for programs: <a href=\"/openapi.json\">/openapi.json</a>.</p><nav>",
        escape(text(document, "/info/version")),
        escape(info)
    )?;
    let tags = list(document, "/tags");
    for tag in tags {
        let name = escape(text(tag, "/name"));
        write!(out, "<a href=\"#{name}\">{name}</a>")?;
    }
    out.push_str("<a href=\"#errors\">errors</a> <a href=\"#schemas\">schemas</a></nav>");
    for tag in tags {
        let name = text(tag, "/name");
        write!(out, "<h2 id=\"{0}\">{1}</h2>", escape(name), escape(text(tag, "/description")))?;
        for (path, item) in object(document, "/paths") {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if list(operation, "/tags").iter().any(|tag| tag == name) {
                    write_operation(method, path, operation, out)?;
                }
            }
        }
    }
    errors(out)?;
    out.push_str("<h2 id=schemas>Schemas</h2>");
    for (name, schema) in object(document, "/components/schemas") {
        let name = escape(name);
        write!(out, "<details id=\"schema-{name}\"><summary><code>{name}</code></summary><div><pre>")?;
        write!(out, "{}</pre></div></details>", escape(&pretty(schema)))?;
    }
    out.push_str("</body></html>");
    Ok(())
}

fn write_operation(method: &str, path: &str, operation: &Value, out: &mut String) -> std::fmt::Result {
    write!(
        out,
        "<details id=\"{}\"><summary><b class=m>{}</b> <code>{}</code> {}</summary><div><p>{}</p>",
        escape(text(operation, "/operationId")),
        method.to_ascii_uppercase(),
        escape(path),
        escape(text(operation, "/summary")),
        escape(text(operation, "/description")),
    )?;
    let parameters = list(operation, "/parameters");
    if !parameters.is_empty() {
        out.push_str("<table><tr><th>parameter<th>in<th>type<th>meaning</tr>");
        for parameter in parameters {
            let required =
                if parameter.pointer("/required") == Some(&Value::Bool(true)) { ", required" } else { "" };
            write!(
                out,
                "<tr><td><code>{}</code><td>{}{required}<td>{}<td>{}</tr>",
                escape(text(parameter, "/name")),
                escape(text(parameter, "/in")),
                kind(parameter.pointer("/schema").unwrap_or(&Value::Null)),
                escape(text(parameter, "/description")),
            )?;
        }
        out.push_str("</table>");
    }
    if let Some(body) = operation.pointer("/requestBody/content/application~1json/schema") {
        write!(out, "<p>Takes {}.</p>", kind(body))?;
    }
    out.push_str("<table><tr><th>answer<th>body<th>when</tr>");
    for (status, response) in object(operation, "/responses") {
        let content = object(response, "/content").next().and_then(|(_, content)| content.get("schema"));
        let codes = text(response, "/description").split("\n\n").map(|line| linked(&escape(line)));
        write!(
            out,
            "<tr><td>{}<td>{}<td>{}</tr>",
            escape(status),
            content.map(kind).unwrap_or_default(),
            codes.collect::<Vec<_>>().join("<br>"),
        )?;
    }
    out.push_str("</table></div></details>");
    Ok(())
}

fn errors(out: &mut String) -> std::fmt::Result {
    out.push_str("<h2 id=errors>Errors</h2><table><tr><th>code<th>status<th>meaning</tr>");
    for code in Code::ALL {
        let (word, status) = (code.as_str(), code.status().as_u16());
        write!(
            out,
            "<tr id=\"{word}\"><td><code>{word}</code><td>{status}<td>{}</tr>",
            escape(code.meaning())
        )?;
    }
    out.push_str("</table>");
    Ok(())
}

/// A line that begins with a code refers to it.
fn linked(line: &str) -> String {
    match line.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
        Some((word, rest)) if Code::parse(word).is_some() => {
            format!("<a href=\"#{word}\"><code>{word}</code></a>{rest}")
        }
        _ => line.to_owned(),
    }
}

/// A schema in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#schema-{name}\"><code>{name}</code></a>");
    }
    let Some(object) = schema.as_object() else { return String::new() };
    let words = object.iter().filter(|(key, _)| *key != "description" && *key != "example");
    let words = words.map(|(key, value)| match value {
        Value::String(text) => format!("{key} {text}"),
        value => format!("{key} {value}"),
    });
    format!("<code>{}</code>", escape(&words.collect::<Vec<_>>().join(", ")))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn object<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
