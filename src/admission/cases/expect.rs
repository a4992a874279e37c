//! What must come of a case, and the answer it is held against: the bytes that the API server would get.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value as Json;

/// The verdict in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Let through.
    Allow,
    /// 403.
    Deny,
    /// Our own failure: 500 on `/validate`; on `/mutate` let through without a patch.
    Error,
}

/// What must come of a case. What is left out may be anything.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The verdict.
    pub verdict: Word,
    /// `status.code`.
    #[serde(default)]
    pub code: Option<u16>,
    /// Exactly these policies denied.
    #[serde(default)]
    pub policies: Option<Vec<String>>,
    /// Each is a part of `status.message`.
    #[serde(default)]
    pub message: Vec<String>,
    /// Each is a part of some warning; an empty list means no warning at all.
    #[serde(default)]
    pub warnings: Option<Vec<String>>,
    /// Audit annotations that must be so.
    #[serde(default)]
    pub audit: BTreeMap<String, String>,
    /// Exactly these operations, in any order.
    #[serde(default)]
    pub patch: Option<Vec<Json>>,
    /// A part of the object after the patch.
    #[serde(default)]
    pub patched: Option<Json>,
}

/// An answer, as read from its bytes.
#[derive(Debug, Clone)]
pub struct Answer {
    review: Json,
    patch: Vec<Json>,
}

impl Answer {
    /// Reads an AdmissionReview response.
    ///
    /// # Errors
    /// What makes it none: the API server would call it a failed call.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let review: Json =
            serde_json::from_slice(bytes).map_err(|error| format!("the answer is no JSON: {error}"))?;
        let text = |pointer: &str| review.pointer(pointer).and_then(Json::as_str);
        if (text("/apiVersion"), text("/kind")) != (Some("admission.k8s.io/v1"), Some("AdmissionReview")) {
            return Err("the answer is no admission.k8s.io/v1 AdmissionReview".to_owned());
        }
        if review.pointer("/response/allowed").and_then(Json::as_bool).is_none()
            || text("/response/uid").is_none_or(str::is_empty)
        {
            return Err("the answer lacks response.allowed or response.uid".to_owned());
        }
        let patch = match (text("/response/patch"), text("/response/patchType")) {
            (None, None) => Vec::new(),
            (Some(patch), Some("JSONPatch")) => {
                let bytes =
                    STANDARD.decode(patch).map_err(|error| format!("the patch is no base64: {error}"))?;
                serde_json::from_slice(&bytes)
                    .map_err(|error| format!("the patch is no list of operations: {error}"))?
            }
            (patch, kind) => {
                return Err(format!(
                    "patch is {}, patchType is {kind:?}",
                    if patch.is_some() { "there" } else { "absent" }
                ));
            }
        };
        Ok(Self { review, patch })
    }

    fn text(&self, pointer: &str) -> &str {
        self.review.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
    }

    /// Echo of the request's uid.
    pub fn uid(&self) -> &str {
        self.text("/response/uid")
    }

    /// `status.message`; empty where allowed.
    pub fn message(&self) -> &str {
        self.text("/response/status/message")
    }

    /// Warnings in order.
    pub fn warnings(&self) -> Vec<&str> {
        self.review
            .pointer("/response/warnings")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect()
    }

    /// The verdict; on `/mutate` by its audit annotation, since nothing is denied there.
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

    /// Ids of the policies that denied, each once, sorted.
    pub fn denied_by(&self) -> Vec<&str> {
        let said = self.text("/response/auditAnnotations/policies").split(',');
        let mut ids: Vec<&str> = said.filter_map(|pair| pair.strip_suffix("=deny")).collect();
        ids.sort_unstable();
        ids
    }

    /// The operations of the patch.
    pub fn patch(&self) -> &[Json] {
        &self.patch
    }

    /// The whole answer.
    pub const fn json(&self) -> &Json {
        &self.review
    }
}

impl Expect {
    /// What is not as it must be; empty when all is. `request` is the review that was sent.
    pub fn check(&self, request: &[u8], answer: &Answer) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.verdict != answer.verdict() {
            wrong.push(format!(
                "verdict: expected {:?}, got {:?}: {}",
                self.verdict,
                answer.verdict(),
                answer.message()
            ));
        }
        if let Some(code) = self.code.filter(|code| u64::from(*code) != answer.code()) {
            wrong.push(format!("code: expected {code}, got {}", answer.code()));
        }
        if let Some(policies) = &self.policies {
            let mut expected: Vec<&str> = policies.iter().map(String::as_str).collect();
            expected.sort_unstable();
            if expected != answer.denied_by() {
                wrong.push(format!("policies: expected {expected:?}, got {:?}", answer.denied_by()));
            }
        }
        for part in self.message.iter().filter(|part| !answer.message().contains(part.as_str())) {
            wrong.push(format!("message: `{part}` is not in: {}", answer.message()));
        }
        if let Some(expected) = &self.warnings {
            let got = answer.warnings();
            if expected.is_empty() && !got.is_empty() {
                wrong.push(format!("warnings: expected none, got {got:?}"));
            }
            for part in
                expected.iter().filter(|part| !got.iter().any(|warning| warning.contains(part.as_str())))
            {
                wrong.push(format!("warnings: `{part}` is in none of {got:?}"));
            }
        }
        for (key, value) in &self.audit {
            let got = answer.text(&format!("/response/auditAnnotations/{key}"));
            if got != value {
                wrong.push(format!("audit annotation {key}: expected `{value}`, got `{got}`"));
            }
        }
        wrong.extend(self.check_patch(request, answer));
        wrong
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
        part_of(expected, &object, "").map(|path| {
            format!("patched: at `{path}` the object is {}", object.pointer(&path).unwrap_or(&Json::Null))
        })
    }
}

/// Where `part` is not a part of `whole`; a null in `part` means absent.
fn part_of(part: &Json, whole: &Json, path: &str) -> Option<String> {
    match (part, whole) {
        (Json::Object(fields), Json::Object(there)) => fields.iter().find_map(|(key, value)| {
            let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
            part_of(value, there.get(key).unwrap_or(&Json::Null), &path)
        }),
        _ if part == whole => None,
        _ => Some(path.to_owned()),
    }
}
