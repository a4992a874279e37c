use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::fixtures::{NOW, at};

const OPENSSL: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn kids(keys: &Keys) -> Vec<String> {
    keys.now().iter().map(|key| key.kid().to_owned()).collect()
}

fn signs(keys: &Keys, now: i64) -> String {
    keys.now().signing(now).unwrap().kid().to_owned()
}

#[test]
fn first_start_creates_one_private_key_file() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("data/keys");
    let (keys, made) = Keys::open_or_create(&home).unwrap();
    let made = made.unwrap();
    assert_eq!((mode(&made), mode(&home)), (0o600, 0o700));
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
    let (again, nothing) = Keys::open_or_create(&home).unwrap();
    assert_eq!((kids(&again), nothing), (kids(&keys), None));
    // And an empty directory that is there already.
    let empty = tempfile::tempdir().unwrap();
    assert!(Keys::open_or_create(empty.path()).unwrap().1.is_some());
}

#[test]
fn ids_are_the_thumbprints_of_the_standards() {
    // RFC 8037, appendix A: the key of RFC 8032's first test, and its thumbprint.
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let x = URL_SAFE_NO_PAD.encode(hex::decode(public).unwrap());
    assert_eq!(thumbprint(&x), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let key = Key::parse(Path::new("a.pem"), OPENSSL.as_bytes()).unwrap();
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(
        key.jwk(),
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": key.kid(), "use": "sig", "alg": "EdDSA"})
    );
}

#[test]
fn newest_key_signs_once_it_has_settled() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), at(NOW - 9000)).unwrap();
    let keys = Keys::open(dir.path()).unwrap();
    let old = signs(&keys, NOW);
    create(dir.path(), at(NOW)).unwrap();
    assert!(keys.reload().unwrap() && !keys.reload().unwrap());
    let new = kids(&keys).into_iter().find(|kid| *kid != old).unwrap();
    assert_eq!(kids(&keys), [old.clone(), new.clone()]);
    assert_eq!(signs(&keys, NOW + SETTLE_SECONDS - 1), old);
    assert_eq!(signs(&keys, NOW + SETTLE_SECONDS), new);
    assert_eq!(signs(&keys, i64::MIN), old, "where none is old enough, the oldest");
    assert!(keys.now().find(&new).is_some() && keys.now().find("").is_none());
}

#[test]
fn file_without_a_time_counts_as_oldest() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("zzz.pem"), OPENSSL).unwrap();
    let keys = Keys::open(dir.path()).unwrap();
    let nameless = signs(&keys, NOW);
    create(dir.path(), at(0)).unwrap();
    keys.reload().unwrap();
    assert_ne!(signs(&keys, NOW), nameless);
}

#[test]
fn renamed_file_is_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let first = create(dir.path(), at(NOW - 9000)).unwrap();
    let second = create(dir.path(), at(NOW - 8000)).unwrap();
    let keys = Keys::open(dir.path()).unwrap();
    let before = kids(&keys);
    fs::rename(&first, dir.path().join("a.pem")).unwrap();
    keys.reload().unwrap();
    assert_eq!(kids(&keys), before);
    fs::remove_file(second).unwrap();
    assert!(keys.reload().unwrap());
    assert_eq!(kids(&keys), before[..1]);
}

#[test]
fn mounted_secret_is_read_through_symlinks() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("..2026_01_01");
    create(&data, at(NOW)).unwrap();
    std::os::unix::fs::symlink("..2026_01_01", dir.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/key.pem", dir.path().join("key.pem")).unwrap();
    let made = fs::read_dir(&data).unwrap().next().unwrap().unwrap().path();
    fs::rename(made, data.join("key.pem")).unwrap();
    assert_eq!(kids(&Keys::open(dir.path()).unwrap()).len(), 1);
}

#[test]
fn broken_file_is_reported_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), at(NOW)).unwrap();
    let keys = Keys::open(dir.path()).unwrap();
    let before = kids(&keys);
    let p256 = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let long = "x".repeat(20_000);
    let broken: &[(&str, &str)] = &[
        ("", "holds not exactly one"),
        ("rubbish", "holds not exactly one"),
        (&OPENSSL.repeat(2), "holds not exactly one"),
        ("-----BEGIN PRIVATE KEY-----\n?\n-----END PRIVATE KEY-----\n", "is no PEM"),
        (&p256, "holds no key of Ed25519"),
        (&long, "is too long"),
    ];
    for (text, why) in broken {
        let path = dir.path().join("broken.pem");
        fs::write(&path, text).unwrap();
        let error = keys.reload().unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("broken.pem"), "{error}");
        assert_eq!(kids(&keys), before);
    }
    fs::remove_file(dir.path().join("broken.pem")).unwrap();
    fs::create_dir(dir.path().join("dir.pem")).unwrap();
    assert!(keys.reload().unwrap_err().to_string().contains("is no file"));
}

#[test]
fn world_writable_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = create(dir.path(), at(NOW)).unwrap();
    for (mode, good) in [(0o666, false), (0o602, false), (0o644, true), (0o440, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(Keys::open(dir.path()).is_ok(), good, "{mode:o}");
    }
}

#[test]
fn in_a_directory_of_everybodys_a_file_has_to_be_its_owners() {
    let dir = tempfile::tempdir().unwrap();
    let path = create(dir.path(), at(NOW)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(Keys::open(dir.path()).is_ok());
    let mine = fs::metadata(&path).unwrap().uid();
    assert!(read(&path, None).is_ok() && read(&path, Some(mine)).is_ok());
    // Root's files are good wherever they are; there is no second user here to make one.
    let by_other_user = read(&path, Some(mine + 1));
    assert_eq!(by_other_user.is_err(), mine != 0);
}

#[test]
fn empty_or_missing_directory_leaves_the_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = create(dir.path(), at(NOW)).unwrap();
    let keys = Keys::open(dir.path()).unwrap();
    fs::remove_file(path).unwrap();
    assert!(matches!(keys.reload(), Err(KeyError::Empty(_))));
    dir.close().unwrap();
    assert!(matches!(keys.reload(), Err(KeyError::Read { .. })));
    assert_eq!(kids(&keys).len(), 1);
}

#[test]
fn too_many_keys_are_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..=KEYS_MAX {
        fs::write(dir.path().join(format!("{n}.pem")), OPENSSL).unwrap();
    }
    assert!(matches!(Keys::open(dir.path()), Err(KeyError::TooMany(_))));
}

#[test]
fn debug_and_jwks_contain_no_private_key() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.pem"), OPENSSL).unwrap();
    let set = Keys::open(dir.path()).unwrap().now();
    let shown = format!("{set:?} {}", set.jwks());
    let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
    for secret in [hex::encode(&seed), URL_SAFE_NO_PAD.encode(&seed), format!("{seed:?}")] {
        assert!(!shown.contains(&secret));
    }
    assert!(!shown.contains("\"d\"") && shown.contains("\"x\""));
}
