//! The flag.

use super::*;
use crate::identity::SubjectError;
use crate::oidc::jwks::Source;
use crate::token::NamesError;

fn read(flag: &str) -> Result<Settings, SettingsError> {
    flag.parse()
}

#[test]
fn valid_flag_is_parsed() {
    let settings = read("issuer=https://id.example.com,audience=p,jwks=https://id.example.com/keys?x=1,ca=ca.pem,admin=a,admin=b=c").unwrap();
    let url = "https://id.example.com/keys?x=1".to_owned();
    assert_eq!(settings.jwks, Source::Url { url, ca: Some("ca.pem".into()) });
    assert_eq!(settings.admins, ["a".to_owned(), "b=c".to_owned()].into());
    let settings = read("jwks=/etc/jwks.json,audience=p,issuer=i").unwrap();
    assert_eq!(settings.jwks, Source::File("/etc/jwks.json".into()));
    assert!(settings.admins.is_empty());
}

#[test]
fn invalid_flag_is_refused() {
    let unknown = |word: &str| SettingsError::Unknown(word.into());
    for (flag, why) in [
        ("", SettingsError::NoPair(String::new())),
        ("issuer", SettingsError::NoPair("issuer".into())),
        ("issuer=", SettingsError::NoPair("issuer=".into())),
        ("issuer=i,audience=a,jwks=f,", SettingsError::NoPair(String::new())),
        ("issuer=i,audience=a,jwks=f,roles=admin", unknown("roles")),
        ("Issuer=i", unknown("Issuer")),
        ("issuer=i,issuer=j", SettingsError::Twice("issuer".into())),
        ("audience=a,jwks=f", SettingsError::Missing("issuer")),
        ("issuer=i,jwks=f", SettingsError::Missing("audience")),
        ("issuer=i,audience=a", SettingsError::Missing("jwks")),
        ("issuer=portcullis,audience=a,jwks=f", NamesError::Reserved.into()),
        ("issuer=a#b,audience=a,jwks=f", NamesError::Grammar.into()),
        ("issuer=i,audience=a,jwks=f,admin=a b", SubjectError::Character.into()),
        ("issuer=i,audience=a,jwks=f,gate=a b", SettingsError::Gate(SubjectError::Character)),
        ("issuer=i,audience=a,jwks=f,gate=g,admin=g,cluster=*", SettingsError::Both("g".to_owned())),
        ("issuer=i,audience=a,jwks=f,gate=g", SettingsError::Cluster),
        ("issuer=i,audience=a,jwks=f,gate=g,cluster=eu-1", SettingsError::Cluster),
        ("issuer=i,audience=a,jwks=f,cluster=*", SettingsError::Cluster),
        ("issuer=i,audience=a,jwks=http://id.example.com/keys", SettingsError::Scheme),
        ("issuer=i,audience=a,jwks=ftp://id.example.com/keys", SettingsError::Scheme),
        ("issuer=i,audience=a,jwks=f,ca=ca.pem", SettingsError::Ca),
    ] {
        assert_eq!(read(flag), Err(why), "{flag}");
    }
}
