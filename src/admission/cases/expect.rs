//! The expected response of a case, compared with the response that the API server would receive.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    Allow,
    /// Status 403.
    Deny,
    /// A failure of the gate: status 500 on `/validate`; on `/mutate` allowed without a patch.
    Error,
}

/// The expected response. An absent field is not compared.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub verdict: Word,
    /// `status.code`.
    #[serde(default)]
    pub code: Option<u16>,
    /// Exactly the policies that deny.
    #[serde(default)]
    pub policies: Option<Vec<String>>,
    /// Each is a substring of `status.message`.
    #[serde(default)]
    pub message: Vec<String>,
    /// Each is a substring of some warning; an empty list means no warning.
    #[serde(default)]
    pub warnings: Option<Vec<String>>,
    /// Audit annotations.
    #[serde(default)]
    pub audit: BTreeMap<String, String>,
    /// Exactly the operations of the patch, in any order.
    #[serde(default)]
    pub patch: Option<Vec<Json>>,
    /// A part of the patched object.
    #[serde(default)]
    pub patched: Option<Json>,
}

/// A parsed AdmissionReview response.
#[derive(Debug, Clone)]
pub struct Answer {
    review: Json,
    patch: Vec<Json>,
}

impl Answer {
    /// # Errors
    /// The API server would reject the response.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let review: Json =
            serde_json::from_slice(bytes).map_err(|error| format!("the response is not JSON: {error}"))?;
        let text = |pointer: &str| review.pointer(pointer).and_then(Json::as_str);
        if (text("/apiVersion"), text("/kind")) != (Some("admission.k8s.io/v1"), Some("AdmissionReview")) {
            return Err("the response is not an admission.k8s.io/v1 AdmissionReview".to_owned());
        }
        if review.pointer("/response/allowed").and_then(Json::as_bool).is_none()
            || text("/response/uid").is_none_or(str::is_empty)
        {
            return Err("the response lacks response.allowed or response.uid".to_owned());
        }
        let patch = match (text("/response/patch"), text("/response/patchType")) {
            (None, None) => Vec::new(),
            (Some(patch), Some("JSONPatch")) => {
                let bytes =
                    STANDARD.decode(patch).map_err(|error| format!("the patch is not base64: {error}"))?;
                serde_json::from_slice(&bytes)
                    .map_err(|error| format!("the patch is not a list of operations: {error}"))?
            }
            (patch, kind) => {
                return Err(format!(
                    "patch is {}, patchType is {kind:?}",
                    if patch.is_some() { "present" } else { "absent" }
                ));
            }
        };
        Ok(Self { review, patch })
    }

    fn text(&self, pointer: &str) -> &str {
        self.review.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
    }

    pub fn uid(&self) -> &str {
        self.text("/response/uid")
    }

    /// `status.message`; empty where allowed.
    pub fn message(&self) -> &str {
        self.text("/response/status/message")
    }

    pub fn warnings(&self) -> Vec<&str> {
        self.review
            .pointer("/response/warnings")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect()
    }

    /// On `/mutate` the audit annotation says it, because nothing is denied there.
    pub fn verdict(&self) -> Word {
        match (
            self.review.pointer("/response/allowed").and_then(Json::as_bool),
            self.text("/response/auditAnnotations/verdict"),
        ) {
            (Some(true), "error") => Word::Error,
            (Some(true), _) => Word::Allow,
            _ if self.code() == 403 => Word::Deny,
            _ => Word::Error,
        }
    }

    fn code(&self) -> u64 {
        self.review.pointer("/response/status/code").and_then(Json::as_u64).unwrap_or(200)
    }

    /// The ids of the denying policies, each once, sorted.
    pub fn denied_by(&self) -> Vec<&str> {
        let outcomes = self.text("/response/auditAnnotations/policies").split(',');
        let mut ids: Vec<&str> = outcomes.filter_map(|pair| pair.strip_suffix("=deny")).collect();
        ids.sort_unstable();
        ids
    }

    pub fn patch(&self) -> &[Json] {
        &self.patch
    }

    /// The whole AdmissionReview.
    pub const fn json(&self) -> &Json {
        &self.review
    }
}

impl Expect {
    /// The differences. `request` is the AdmissionReview that was sent.
    pub fn check(&self, request: &[u8], answer: &Answer) -> Vec<String> {
        let mut differences = Vec::new();
        if self.verdict != answer.verdict() {
            differences.push(format!(
                "verdict: expected {:?}, got {:?}: {}",
                self.verdict,
                answer.verdict(),
                answer.message()
            ));
        }
        if let Some(code) = self.code.filter(|code| u64::from(*code) != answer.code()) {
            differences.push(format!("code: expected {code}, got {}", answer.code()));
        }
        if let Some(policies) = &self.policies {
            let mut expected: Vec<&str> = policies.iter().map(String::as_str).collect();
            expected.sort_unstable();
            if expected != answer.denied_by() {
                differences.push(format!("policies: expected {expected:?}, got {:?}", answer.denied_by()));
            }
        }
        for part in self.message.iter().filter(|part| !answer.message().contains(part.as_str())) {
            differences.push(format!("message: `{part}` is not in: {}", answer.message()));
        }
        if let Some(expected) = &self.warnings {
            let got = answer.warnings();
            if expected.is_empty() && !got.is_empty() {
                differences.push(format!("warnings: expected none, got {got:?}"));
            }
            for part in
                expected.iter().filter(|part| !got.iter().any(|warning| warning.contains(part.as_str())))
            {
                differences.push(format!("warnings: `{part}` is in none of {got:?}"));
            }
        }
        for (key, value) in &self.audit {
            let got = answer.text(&format!("/response/auditAnnotations/{key}"));
            if got != value {
                differences.push(format!("audit annotation {key}: expected `{value}`, got `{got}`"));
            }
        }
        differences.extend(self.check_patch(request, answer));
        differences
    }

    fn check_patch(&self, request: &[u8], answer: &Answer) -> Option<String> {
        if let Some(expected) = &self.patch {
            let same = expected.len() == answer.patch.len()
                && expected.iter().all(|operation| answer.patch.contains(operation));
            if !same {
                return Some(format!(
                    "patch: expected {}, got {}",
                    Json::from(expected.clone()),
                    Json::from(answer.patch.clone())
                ));
            }
        }
        let expected = self.patched.as_ref()?;
        let review: Json = serde_json::from_slice(request).unwrap_or_default();
        let mut object = review.pointer("/request/object").cloned().unwrap_or_default();
        let operations: json_patch::Patch = match serde_json::from_value(Json::from(answer.patch.clone())) {
            Ok(operations) => operations,
            Err(error) => return Some(format!("patch: {error}")),
        };
        if let Err(error) = json_patch::patch(&mut object, &operations) {
            return Some(format!("patch does not apply: {error}"));
        }
        missing_part(expected, &object, "").map(|path| {
            format!("patched: at `{path}` the object is {}", object.pointer(&path).unwrap_or(&Json::Null))
        })
    }
}

/// The path at which `part` is not contained in `whole`; a null in `part` means absent.
fn missing_part(part: &Json, whole: &Json, path: &str) -> Option<String> {
    match (part, whole) {
        (Json::Object(fields), Json::Object(whole)) => fields.iter().find_map(|(key, value)| {
            let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
            missing_part(value, whole.get(key).unwrap_or(&Json::Null), &path)
        }),
        _ if part == whole => None,
        _ => Some(path.to_owned()),
    }
}
