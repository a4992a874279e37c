//! Paths of objects on the command line and in the URL of the API.

use std::str::FromStr;

/// `acme/shop`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectPath {
    pub tenant: String,
    pub project: String,
}

/// An app or a sandbox: `acme/shop/frontend`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitPath {
    pub project: ProjectPath,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not of the form `{wanted}`")]
pub struct PathError {
    found: String,
    wanted: &'static str,
}

fn parts<const N: usize>(text: &str, wanted: &'static str) -> Result<[String; N], PathError> {
    let wrong = || PathError { found: text.to_owned(), wanted };
    let parts: Vec<String> = text.split('/').map(str::to_owned).collect();
    if parts.iter().any(String::is_empty) {
        return Err(wrong());
    }
    parts.try_into().map_err(|_| wrong())
}

impl FromStr for ProjectPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let [tenant, project] = parts(text, "TENANT/PROJECT")?;
        Ok(Self { tenant, project })
    }
}

impl FromStr for UnitPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let [tenant, project, name] = parts(text, "TENANT/PROJECT/NAME")?;
        Ok(Self { project: ProjectPath { tenant, project }, name })
    }
}

/// Escapes each part as RFC 3986 defines, so that no name can leave its segment.
pub fn url(parts: &[&str]) -> String {
    parts.iter().fold("/api/v1".to_owned(), |path, part| path + "/" + &escape(part))
}

/// Escapes a path segment or a query value.
pub fn escape(word: &str) -> String {
    word.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            // Custom verbs of the API: `acme:suspend`.
            b':' => text.push(':'),
            other => text.push_str(&format!("%{other:02X}")),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_as_many_parts_as_they_must() {
        assert_eq!("acme/shop".parse(), Ok(ProjectPath { tenant: "acme".into(), project: "shop".into() }));
        for wrong in ["acme", "acme/", "/shop", "acme/shop/x", ""] {
            assert!(wrong.parse::<ProjectPath>().is_err(), "{wrong}");
        }
        assert_eq!("a/b/c".parse::<UnitPath>().unwrap().name, "c");
        let error = "a/b".parse::<UnitPath>().unwrap_err().to_string();
        assert_eq!(error, "`a/b` is not of the form `TENANT/PROJECT/NAME`");
    }

    #[test]
    fn no_name_leaves_its_segment() {
        assert_eq!(url(&["tenants", "../x", "a?b#c%"]), "/api/v1/tenants/..%2Fx/a%3Fb%23c%25");
        assert_eq!(url(&["t", "ä:suspend"]), "/api/v1/t/%C3%A4:suspend");
    }
}
