//! What an identity is worth: memberships behind tokens and behind other issuers, and the door that both come through.

use std::process::Stdio;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use portcullis_access::keys::{self, Keys};
use portcullis_access::token::now;
use portcullis_access::{Action, Identity, authorize};
use portcullis_certs::develop::{CertificateAuthority, Use};
use portcullis_store::identities;
use serde_json::{Value, json};

use super::harness::{Caller, On, Server};
use crate::support::wait;

const ISSUER: &str = "https://id.example.com";
const TENANTS: &str = "/api/v1/clusters/eu/tenants";

/// Tenants acme, of olga, and globex; in acme the projects shop and lab, and the developers dan and, in shop, pia.
fn furnish(server: &Server) {
    let admin = server.admin();
    admin.post("/api/v1/clusters", &json!({"name": "eu"})).ok(201);
    admin.post(TENANTS, &json!({"name": "acme", "owners": ["olga"]})).ok(201);
    admin.post(TENANTS, &json!({"name": "globex"})).ok(201);
    for project in ["shop", "lab"] {
        admin.post(&format!("{TENANTS}/acme/projects"), &json!({"name": project})).ok(201);
    }
    join(&admin, "dan", &json!({"role": "projectDev"}));
    join(&admin, "pia", &json!({"role": "projectDev", "projects": ["shop"]}));
}

fn join(who: &Caller, subject: &str, membership: &Value) {
    who.put(&format!("{TENANTS}/acme/members/{subject}"), membership).ok(200);
}

/// A token that the API has minted, and whoever bears it.
fn minted(server: &Server, subject: &str, role: &str, projects: Option<&[&str]>) -> Caller {
    let mut wish = json!({"subject": subject, "roles": [role], "tenant": "acme", "ttlSeconds": 2_592_000});
    if let Some(projects) = projects {
        wish["projects"] = json!(projects);
    }
    let token = server.admin().post("/api/v1/tokens", &wish).ok(201);
    server.bearing(token["token"].as_str().unwrap())
}

/// Whatever takes from a membership takes it from the tokens that were minted for it, with the next request.
#[test]
fn a_members_token_is_worth_what_the_membership_is() {
    for on in [On::Sqlite, On::Postgres] {
        let server = Server::with(on, &["--api-rate", "100000", "--api-burst", "100000"]);
        furnish(&server);
        let admin = server.admin();
        let at = |path: &str| format!("{TENANTS}/acme{path}");
        let gone = |caller: &Caller, why: &str| {
            let answer = caller.get(&at("/projects"));
            assert_eq!(answer.problem().1, "TOKEN_REVOKED", "{on:?}: {why}");
        };
        let good = |caller: &Caller| drop(caller.get(&at("/projects")).ok(200));

        let (dev, reader) =
            (minted(&server, "dan", "projectDev", None), minted(&server, "dan", "readOnly", None));
        let shop_only = minted(&server, "dan", "projectDev", Some(&["shop"]));
        [&dev, &reader, &shop_only].into_iter().for_each(good);
        join(&admin, "dan", &json!({"role": "projectDev", "projects": ["shop"]}));
        gone(&dev, "fewer projects");
        gone(&reader, "fewer projects");
        good(&shop_only);
        join(&admin, "dan", &json!({"role": "readOnly"}));
        gone(&dev, "less of a role");
        gone(&shop_only, "less of a role");
        good(&reader);
        admin.delete(&at("/members/dan")).ok(204);
        gone(&reader, "no member");
        assert_eq!(reader.get("/api/v1/me").problem().1, "TOKEN_REVOKED");
        join(&admin, "dan", &json!({"role": "projectDev"}));
        [&dev, &reader].into_iter().for_each(good);

        let pia = minted(&server, "pia", "projectDev", Some(&["shop"]));
        good(&pia);
        admin.put(&at("/projects/shop/access"), &json!({"members": []})).ok(200);
        gone(&pia, "off the project's list");

        let olga = minted(&server, "olga", "tenantOwner", None);
        good(&olga);
        admin.put(&at("/owners"), &json!({"owners": ["otto"]})).ok(200);
        gone(&olga, "another owner");
        olga.put(&at("/owners"), &json!({"owners": ["olga"]})).refused("TOKEN_REVOKED", &[]);
        let otto = minted(&server, "otto", "tenantOwner", None);
        good(&otto);
        admin.delete(&at("?cascade=true")).ok(204);
        gone(&otto, "no tenant");
    }
}

/// Another server asks the ledger within a second.
#[test]
fn the_end_of_a_membership_holds_at_every_server() {
    let server = Server::with(On::Postgres, &[]);
    furnish(&server);
    let keys = server.dir.path().join("keys").display().to_string();
    let url = server.scratch.as_ref().unwrap().url.clone();
    let other = Server::with(On::Sqlite, &["--database", &url, "--token-keys", &keys]);
    let wish = json!({"subject": "dan", "roles": ["projectDev"], "tenant": "acme"});
    let token = server.admin().post("/api/v1/tokens", &wish).ok(201)["token"].as_str().unwrap().to_owned();
    let there = other.bearing(&token);
    there.get("/api/v1/me").ok(200);
    server.admin().delete(&format!("{TENANTS}/acme/members/dan")).ok(204);
    wait(Duration::from_secs(5), || (there.get("/api/v1/me").status == 401).then_some(()));
    there.get("/api/v1/me").refused("TOKEN_REVOKED", &[]);
}

/// Remembered until clocks that differ by ten seconds agree that the token has ended.
#[test]
fn a_revocation_outlives_the_token() {
    for on in [On::Sqlite, On::Postgres] {
        let server = Server::with(on, &[]);
        for ended in [-3600, 0, 9, 11, 120] {
            let at = now() - ended;
            server.sql(&format!(
                "INSERT INTO revoked_tokens (jti, created_at, exp) VALUES ('token-{ended}', 0, {at})"
            ));
        }
        let scope = authorize(&Identity::process("test"), Action::TokensRevoke, None, "test").unwrap();
        server.runtime.block_on(async {
            let mut tx = server.ledger.write(&scope).await.unwrap();
            assert_eq!(identities::purge(&mut tx).await.unwrap(), 1);
            tx.commit().await.unwrap();
        });
        let left = server.ask("SELECT jti FROM revoked_tokens ORDER BY exp DESC");
        assert_eq!(left, "token--3600\ntoken-0\ntoken-9\ntoken-11");
    }
}

/// `/me` tells a member of several tenants which they are; everything else wants one named. `shop` is what it was told as a
/// member of one.
fn of_several_tenants(ada: &Caller, admin: &Caller, shop: &Value) {
    let me = |caller: &Caller| caller.get("/api/v1/me");
    ada.get("/api/v1/catalog").refused("FORBIDDEN", &[]);
    let undecided = me(ada).ok(200);
    assert_eq!((&undecided["roles"], &undecided["tenantId"]), (&json!([]), &Value::Null));
    let memberships = undecided["memberships"].as_array().unwrap();
    let tenants =
        memberships.iter().map(|own| (own["tenant"].as_str().unwrap(), own["role"].as_str().unwrap()));
    assert_eq!(tenants.collect::<Vec<_>>(), [("acme", "projectDev"), ("globex", "readOnly")]);
    assert_eq!(memberships[0]["projects"], shop["projects"], "what it is limited to there");
    let there = me(&ada.with("x-portcullis-tenant", "globex")).ok(200);
    assert_eq!((&there["roles"], &there["memberships"]), (&json!(["readOnly"]), &undecided["memberships"]));
    assert_eq!(there["tenantId"], memberships[1]["tenantId"]);
    let by_id = memberships[1]["tenantId"].as_str().unwrap();
    assert_eq!(me(&ada.with("x-portcullis-tenant", by_id)).ok(200), there);
    let nowhere = me(&ada.with("x-portcullis-tenant", "initech"));
    nowhere.refused("FORBIDDEN", &[]);
    assert_eq!(me(admin).ok(200).get("memberships"), None, "a token that says what it is");
}

/// Without a tenant a command is refused, with one it is that tenant's.
fn by_the_command_line(server: &Server, token_text: &str) {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), token_text).unwrap();
    let url = format!("http://{}", server.address);
    let list = |more: &[&str]| {
        let mut command = crate::support::portcullis();
        command.args(["catalog", "list", "--api-url", &url, "--token-file"]).arg(token.path()).args(more);
        let done = command.output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (code, said) = list(&[]);
    assert!(code == Some(1) && said.contains("X-Portcullis-Tenant"), "{code:?} {said}");
    let (code, said) = list(&["--as-tenant", "globex"]);
    assert_eq!(code, Some(0), "{said}");
}

/// A provider whose keys lie in a file; whom it vouches for is what the memberships say.
fn an_identity_of_another_issuer_is_its_memberships(on: On) {
    let dir = tempfile::tempdir().unwrap();
    let pem = std::fs::read(keys::create(dir.path(), jiff::Timestamp::UNIX_EPOCH).unwrap()).unwrap();
    let published = Keys::open(dir.path()).unwrap();
    let kid = published.now().iter().next().unwrap().kid().to_owned();
    let jwks = dir.path().join("jwks.json");
    std::fs::write(&jwks, published.now().jwks().to_string()).unwrap();
    let sign = |change: Value| {
        let mut claims = json!({"iss": ISSUER, "aud": "portal", "sub": "ada", "exp": now() + 600});
        for (key, value) in change.as_object().unwrap() {
            claims[key] = value.clone();
        }
        let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::EdDSA) };
        portcullis_access::install_jwt_crypto();
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_pem(&pem).unwrap()).unwrap()
    };
    let oidc = format!("issuer={ISSUER},audience=portal,jwks={}", jwks.display());
    let server = Server::with(on, &["--oidc", &oidc]);
    furnish(&server);
    let admin = server.admin();
    let ada = server.bearing(&sign(json!({})));
    let me = |caller: &Caller| caller.get("/api/v1/me");

    me(&ada).refused("FORBIDDEN", &[]);
    ada.get(&format!("{TENANTS}/acme")).refused("TENANT_NOT_FOUND", &[]);
    // The same name of ours is somebody else.
    join(&admin, "ada", &json!({"role": "tenantOwner"}));
    ada.get(&format!("{TENANTS}/acme")).refused("TENANT_NOT_FOUND", &[]);
    let member = "https:%2F%2Fid.example.com%23ada";
    join(&admin, member, &json!({"role": "projectDev", "projects": ["shop"]}));
    let found = me(&ada).ok(200);
    assert_eq!(
        (&found["subject"], &found["roles"]),
        (&json!("https://id.example.com#ada"), &json!(["projectDev"]))
    );
    ada.get(&format!("{TENANTS}/acme/projects/shop")).ok(200);
    ada.get(&format!("{TENANTS}/acme/projects/lab")).refused("PROJECT_NOT_FOUND", &[]);
    ada.post(&format!("{TENANTS}/acme/projects"), &json!({"name": "new"})).refused("FORBIDDEN", &[]);
    ada.post(&format!("{TENANTS}/acme/projects/shop/sandboxes"), &json!({})).ok(201);
    let told = admin.get("/api/v1/audit?action=sandbox.create").ok(200);
    assert_eq!(told["items"][0]["actor"], "https://id.example.com#ada");

    // In two tenants one has to be meant: by the path, or by the header.
    admin.put(&format!("{TENANTS}/globex/members/{member}"), &json!({"role": "readOnly"})).ok(200);
    of_several_tenants(&ada, &admin, &found);
    by_the_command_line(&server, &sign(json!({})));
    ada.get(&format!("{TENANTS}/acme/projects/shop")).ok(200);
    admin.delete(&format!("{TENANTS}/globex/members/{member}")).ok(204);
    admin.delete(&format!("{TENANTS}/acme/members/{member}")).ok(204);
    me(&ada).refused("FORBIDDEN", &[]);

    for (change, code) in [
        (json!({"aud": "other"}), "UNAUTHORIZED"),
        (json!({"iss": "https://evil.example.com"}), "UNAUTHORIZED"),
        (json!({"iss": "ledger"}), "UNAUTHORIZED"),
        (json!({"iss": "portcullis", "sub": "reaper"}), "UNAUTHORIZED"),
        (json!({"exp": now() - 60}), "TOKEN_EXPIRED"),
        (json!({"nbf": now() + 60}), "UNAUTHORIZED"),
    ] {
        let answer = me(&server.bearing(&sign(change.clone())));
        assert_eq!(answer.problem().1, code, "{change}");
    }
    // What it says of roles beside is its own affair.
    let boastful = sign(json!({"roles": ["admin"], "groups": ["admin"], "tenant": "acme"}));
    me(&server.bearing(&boastful)).refused("FORBIDDEN", &[]);
}

#[test]
fn an_identity_of_another_issuer_is_its_memberships_on_sqlite() {
    an_identity_of_another_issuer_is_its_memberships(On::Sqlite);
}

#[test]
fn an_identity_of_another_issuer_is_its_memberships_on_postgres() {
    an_identity_of_another_issuer_is_its_memberships(On::Postgres);
}

#[test]
fn over_tls_the_authority_decides() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let authority = CertificateAuthority::new("authority of the test").unwrap();
    authority.write(&dir.path().join("ca.pem"), &dir.path().join("ca-key.pem")).unwrap();
    let leaf = authority.issue(&["127.0.0.1".to_owned()], Use::Server).unwrap();
    leaf.write(&dir.path().join("tls.pem"), &dir.path().join("tls-key.pem")).unwrap();
    let flags = ["--api-tls-cert", &path("tls.pem"), "--api-tls-key", &path("tls-key.pem")];
    let server = Server::with(On::Sqlite, &flags);
    let token = server.token("root", portcullis_access::Role::Admin, None, 600);
    std::fs::write(dir.path().join("token"), token).unwrap();
    let list = |scheme: &str, more: &[&str]| {
        let url = format!("{scheme}://{}", server.address);
        let mut command = crate::support::portcullis();
        command.args(["cluster", "list", "-o", "json", "--api-url", &url, "--token-file", &path("token")]);
        let output = command.args(more).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, printed) = list("https", &["--ca", &path("ca.pem")]);
    assert_eq!((code, printed.trim()), (0, "[]"));
    assert_ne!(list("https", &[]).0, 0, "an authority that nobody named");
    assert_ne!(list("http", &[]).0, 0, "plain HTTP on a port of TLS");
}

#[test]
fn tokens_do_not_cross_a_network_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let serve = |address: &str, more: &[&str]| {
        let path = |name: &str| dir.path().join(name).display().to_string();
        let database = format!("sqlite://{}", path("ledger.db"));
        let mut command = crate::support::portcullis();
        command.args(["serve", "--role", "api", "--database", &database, "--token-keys", &path("keys")]);
        command.args(["--admin", "127.0.0.1:0", "--ready-file", &path("ready"), "--drain-delay", "0s"]);
        command.args(["--api", address]).args(more).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped()).spawn().unwrap()
    };
    for address in ["0.0.0.0:0", "[::]:0"] {
        let ended = serve(address, &[]).wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && said.contains("--api-insecure-http"), "{address}: {said}");
    }
    let mut served = serve("0.0.0.0:0", &["--api-insecure-http"]);
    let ready = dir.path().join("ready");
    wait(Duration::from_secs(30), || ready.exists().then_some(()));
    served.kill().unwrap();
    served.wait().unwrap();
}
