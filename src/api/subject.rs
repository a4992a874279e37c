//! Subjects as people write them: `issuer#sub`, or a bare name, which is one of this server's own tokens.

use super::Api;
use super::problem::Fault;
use portcullis_access::identity::PROCESS_ISSUER;
use portcullis_access::subject;

/// A subject as the ledger keeps it, or what is wrong with it.
///
/// # Errors
/// A fault at this pointer.
pub fn read(api: &Api, text: &str, pointer: &str) -> Result<String, Fault> {
    canonical(api.door().issuers().own().names().issuer(), text).map_err(|why| Fault::new(pointer, why))
}

/// Several, each with its place in the list at `pointer`; every fault is added, and what stands twice is one of them.
pub fn read_all(api: &Api, list: &[String], pointer: &str, faults: &mut Vec<Fault>) -> Vec<String> {
    let mut subjects: Vec<String> = Vec::with_capacity(list.len());
    for (index, text) in list.iter().enumerate() {
        let at = format!("{pointer}/{index}");
        match read(api, text, &at) {
            Ok(subject) if subjects.contains(&subject) => faults.push(Fault::new(at, "stands here twice")),
            Ok(subject) => subjects.push(subject),
            Err(fault) => faults.push(fault),
        }
    }
    subjects
}

fn canonical(own: &str, text: &str) -> Result<String, String> {
    let (issuer, sub) = text.split_once('#').unwrap_or((own, text));
    if issuer == PROCESS_ISSUER {
        return Err(format!("has the issuer `{PROCESS_ISSUER}`, which is the server itself"));
    }
    let plain = |c: char| !(c.is_whitespace() || c.is_control() || c == ',');
    if issuer.is_empty() || !issuer.chars().all(plain) {
        return Err("has no issuer before the `#`".to_owned());
    }
    subject::check(sub).map_err(|error| error.to_string())?;
    Ok(format!("{issuer}#{sub}"))
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn a_bare_name_is_our_own() {
        for (text, expected) in [
            ("ada", Ok("ledger#ada")),
            ("ledger#ada", Ok("ledger#ada")),
            ("https://id.example.com#ada", Ok("https://id.example.com#ada")),
            ("https://id.example.com#a#b", Ok("https://id.example.com#a#b")),
            ("#ada", Err("no issuer")),
            ("x y#ada", Err("no issuer")),
            ("ledger#", Err("1 to 255 bytes")),
            ("", Err("1 to 255 bytes")),
            ("ada lovelace", Err("no spaces")),
            ("portcullis#reaper", Err("the server itself")),
        ] {
            match (canonical("ledger", text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(says)) => assert!(found.contains(says), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
