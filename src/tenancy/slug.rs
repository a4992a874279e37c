//! Slugs: the short names of tenants, projects and apps.
//!
//! The grammars make a namespace name unambiguous: a tenant has no hyphen, and neither tenant nor project contains
//! the tokens `app` and `sbx`, so the first such token ends the project.

use super::text::quoted;

/// Longest slug of any kind, in bytes.
pub const LENGTH_MAX: usize = 20;

/// Hyphen-separated tokens that tenants and projects may not hold, because they divide a namespace name.
pub const RESERVED: [&str; 2] = ["app", "sbx"];

/// Why a text is no slug. `what` is `tenant`, `project` or `app`; `slug` is quoted and cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlugError {
    #[error("{what} slug is empty (allowed: 1 to {LENGTH_MAX} characters)")]
    Empty { what: &'static str },
    #[error("{what} slug {slug} has {length} characters (allowed: 1 to {LENGTH_MAX})")]
    TooLong { what: &'static str, slug: String, length: usize },
    /// A character outside the grammar of this kind, or in a place where it may not stand.
    #[error("{what} slug {slug} {place} {found} (allowed: {allowed})")]
    Character {
        what: &'static str,
        slug: String,
        /// `holds`, `begins with` or `ends with`.
        place: &'static str,
        /// The first offending character, quoted.
        found: String,
        allowed: &'static str,
    },
    #[error(
        "{what} slug {slug} holds the token `{token}`, which divides namespace names; choose another word"
    )]
    Reserved {
        what: &'static str,
        slug: String,
        /// `app` or `sbx`.
        token: &'static str,
    },
}

/// Checks a tenant slug: `[a-z][a-z0-9]{0,19}`, neither `app` nor `sbx`.
pub fn check_tenant(slug: &str) -> Result<(), SlugError> {
    const ALLOWED: &str = "a lower-case letter, then lower-case letters and digits, no hyphen";
    length("tenant", slug)?;
    let refuse = |place, c| Err(character("tenant", slug, place, c, ALLOWED));
    match slug.chars().enumerate().find(|(at, c)| !(c.is_ascii_lowercase() || *at > 0 && c.is_ascii_digit()))
    {
        Some((0, c)) => refuse("begins with", c),
        Some((_, c)) => refuse("holds", c),
        None => reserved("tenant", slug),
    }
}

/// Checks a project slug: `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 20, no token `app` or `sbx`.
pub fn check_project(slug: &str) -> Result<(), SlugError> {
    hyphenated("project", slug)?;
    reserved("project", slug)
}

/// Checks an app slug: `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 20; everything after the first `app` token is the app,
/// so the tokens are allowed (`todo-app`).
pub fn check_app(slug: &str) -> Result<(), SlugError> {
    hyphenated("app", slug)
}

fn hyphenated(what: &'static str, slug: &str) -> Result<(), SlugError> {
    const ALLOWED: &str = "lower-case letters, digits and inner hyphens";
    length(what, slug)?;
    let odd = slug.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'));
    match odd {
        Some(c) => Err(character(what, slug, "holds", c, ALLOWED)),
        None if slug.starts_with('-') => Err(character(what, slug, "begins with", '-', ALLOWED)),
        None if slug.ends_with('-') => Err(character(what, slug, "ends with", '-', ALLOWED)),
        None => Ok(()),
    }
}

fn length(what: &'static str, slug: &str) -> Result<(), SlugError> {
    match slug.len() {
        0 => Err(SlugError::Empty { what }),
        1..=LENGTH_MAX => Ok(()),
        length => Err(SlugError::TooLong { what, slug: quoted(slug), length }),
    }
}

fn character(
    what: &'static str,
    slug: &str,
    place: &'static str,
    found: char,
    allowed: &'static str,
) -> SlugError {
    SlugError::Character {
        what,
        slug: quoted(slug),
        place,
        found: quoted(found.encode_utf8(&mut [0; 4])),
        allowed,
    }
}

fn reserved(what: &'static str, slug: &str) -> Result<(), SlugError> {
    match RESERVED.into_iter().find(|token| slug.split('-').any(|part| part == *token)) {
        Some(token) => Err(SlugError::Reserved { what, slug: quoted(slug), token }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: fn(&str) -> Result<(), SlugError>, good: &[&str], bad: &[(&str, &str)]) {
        for slug in good {
            assert_eq!(kind(slug), Ok(()), "{slug}");
        }
        for (slug, says) in bad {
            let said = kind(slug).expect_err(slug).to_string();
            assert!(said.contains(says), "{slug}: {said}");
        }
    }

    #[test]
    fn tenants() {
        check(
            check_tenant,
            &["a", "acme", "a1", "apps", "sbx1", "a1234567890123456789"],
            &[
                ("", "tenant slug is empty"),
                ("1acme", "begins with `1`"),
                ("-acme", "begins with `-`"),
                (
                    "ac-me",
                    "holds `-` (allowed: a lower-case letter, then lower-case letters and digits, no hyphen)",
                ),
                ("Acme", "begins with `A`"),
                ("acmé", "holds `é`"),
                ("acme\n", "holds `\\n`"),
                ("a12345678901234567890", "has 21 characters"),
                ("app", "token `app`"),
                ("sbx", "token `sbx`"),
            ],
        );
    }

    #[test]
    fn projects_and_apps() {
        let shared = [
            ("", "is empty"),
            ("-a", "begins with `-`"),
            ("a-", "ends with `-`"),
            ("a_b", "holds `_`"),
            ("A", "`A`"),
        ];
        check(check_project, &["shop", "1", "a--b", "apps-x", "my-sbx2", "12345678901234567890"], &shared);
        check(
            check_project,
            &[],
            &[("app", "`app`"), ("my-app", "`app`"), ("sbx-x", "`sbx`"), ("a-sbx-b", "`sbx`")],
        );
        check(check_app, &["todo-app", "app", "sbx-001", "1"], &shared);
        check(
            check_app,
            &[],
            &[("a23456789012345678901", "app slug `a23456789012345678901` has 21 characters")],
        );
    }
}
