//! Finds credentials in text; used to refuse and to mask them.

/// Start of a private key of any kind.
const KEY_BLOCK: &str = "PRIVATE KEY-----";

/// Prefixes of tokens, and the least number of word characters that follow.
const TOKENS: [(&str, usize, &str); 13] = [
    ("AKIA", 16, "an AWS access key"),
    ("ASIA", 16, "an AWS access key"),
    ("ghp_", 36, "a GitHub token"),
    ("gho_", 36, "a GitHub token"),
    ("ghu_", 36, "a GitHub token"),
    ("ghs_", 36, "a GitHub token"),
    ("ghr_", 36, "a GitHub token"),
    ("github_pat_", 22, "a GitHub token"),
    ("glpat-", 20, "a GitLab token"),
    ("xoxb-", 20, "a Slack token"),
    ("xoxp-", 20, "a Slack token"),
    ("npm_", 36, "an npm token"),
    ("sk_live_", 24, "a Stripe key"),
];

/// Names of parameters that hold credentials, without punctuation.
const PARAMETERS: [&str; 15] = [
    "accesstoken",
    "apikey",
    "apitoken",
    "authtoken",
    "clientsecret",
    "jobtoken",
    "passwd",
    "password",
    "privatetoken",
    "pwd",
    "secret",
    "secretkey",
    "sig",
    "signature",
    "token",
];

/// Shortest value of such a parameter; `?token=1` is an example.
const VALUE_MIN: usize = 6;

const BEARER_MIN: usize = 16;

/// The kind of credential that a text contains, if any.
pub fn find_credential(text: &str) -> Option<&'static str> {
    if text.contains(KEY_BLOCK) {
        return Some("a private key");
    }
    let token = TOKENS.iter().find(|(begin, least, _)| holds_token(text, begin, *least));
    if let Some((_, _, what)) = token {
        return Some(what);
    }
    if text.split_whitespace().any(holds_userinfo) {
        return Some("an address with a password");
    }
    if holds_parameter(text) {
        return Some("a parameter with a password or token");
    }
    holds_token(text, "Bearer ", BEARER_MIN).then_some("a bearer token")
}

/// `access_token=…`, `&password=…`, `--api-key=…`: in a query, a connection string or a flag.
fn holds_parameter(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.match_indices('=').any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        let start = before.char_indices().rev().take_while(|(_, c)| word(*c)).last().map_or(at, |(at, _)| at);
        let name: String =
            before.get(start..).unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
        let begins = before.get(..start).and_then(|rest| rest.chars().next_back());
        let in_query = begins.is_some_and(|c| matches!(c, '?' | '&' | ';'))
            || before.get(start..).is_some_and(|name| name.starts_with("--"));
        if !in_query || !PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) {
            return false;
        }
        let value = text.get(at + 1..).unwrap_or_default();
        // Placeholders and masked values are no credentials: `${TOKEN}`, `$(TOKEN)`, `{{ .token }}`, `<token>`,
        // `***`.
        let filled = value.starts_with(['$', '{', '<', '*', '%']);
        let plain = |c: &char| c.is_ascii_graphic() && !matches!(c, '&' | ';' | '#' | '"' | '\'');
        !filled && value.chars().take_while(plain).take(VALUE_MIN).count() == VALUE_MIN
    })
}

/// Whether `begin` starts a word and enough word characters follow.
fn holds_token(text: &str, begin: &str, least: usize) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    text.match_indices(begin).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let rest = text.get(at + begin.len()..).unwrap_or_default();
        !before.is_some_and(|c| c.is_ascii_alphanumeric())
            && rest.chars().take_while(|c| word(*c)).count() >= least
    })
}

/// `scheme://user:password@host`; over HTTP also a user alone, which is a token, except `git`.
fn holds_userinfo(word: &str) -> bool {
    word.match_indices("://").any(|(at, separator)| {
        let scheme = word.get(..at).unwrap_or_default();
        let rest = word.get(at + separator.len()..).unwrap_or_default();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let Some((user, _)) = authority.rsplit_once('@') else { return false };
        let http = scheme.ends_with("http") || scheme.ends_with("https");
        match user.split_once(':') {
            Some((_, password)) => !password.is_empty(),
            None => http && !matches!(user, "" | "git"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_and_examples_are_not() {
        let token = |begin: &str, n: usize| format!("{begin}{}", "A".repeat(n));
        for text in [
            "-----BEGIN EC PRIVATE KEY-----",
            &token("AKIA", 16),
            &format!("key={}", token("AKIA", 16)),
            &token("ghp_", 36),
            &token("github_pat_", 22),
            &token("glpat-", 20),
            "postgres://app:hunter2@db/app",
            "see https://ghx:y@example.com/x",
            "https://deploytoken@git.example.com/x.git",
            "https://git.example.com/x?access_token=abcdef123456",
            "https://x.example/?v=1&sig=abcdefabcdef",
            "jdbc:postgresql://h/db?user=a&password=hunter2",
            "run --password=hunter22 --verbose",
            "--api-key=abcdef123456",
            "Authorization: Bearer abcdefghijklmnopqrstu",
        ] {
            assert!(find_credential(text).is_some(), "{text}");
        }
        // Quadratic work on it would take minutes.
        assert_eq!(find_credential(&"?a=".repeat(256 * 1024)), None);
        for text in [
            "",
            "AKIA",
            "ssh://git@github.com/x/y.git",
            "https://git@example.com/x.git",
            "https://example.com/@user",
            "https://example.com?mail=a@b",
            "postgres://db/app",
            "user@example.com",
            "MAKIAVELLIAAAAAAAAAAAAAAAAAAA",
            "-----BEGIN PUBLIC KEY-----",
            "ghp_short",
            "https://example.com/?token=${TOKEN}",
            "https://example.com/?token={{ .Values.token }}",
            "https://example.com/?tokens=abcdef123456",
            "--password=$(PASSWORD)",
            "--password-file=/run/secrets/password",
            "token=abcdef123456 stands in no query",
            "Bearer tokens",
        ] {
            assert_eq!(find_credential(text), None, "{text}");
        }
    }
}
