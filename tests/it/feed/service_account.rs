//! A gate that shows the token of its ServiceAccount, as a cluster's API server signs it and the kubelet renews it.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::stage::{On, SUSPENDED, Stage, decides, readiness, soon};

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const GATE: &str = "system:serviceaccount:portcullis:portcullis";

/// What signs the tokens of a cluster.
struct Cluster {
    key: EncodingKey,
}

impl Cluster {
    fn new() -> Self {
        portcullis_access::install_jwt_crypto();
        let pair = rcgen::KeyPair::generate().unwrap();
        Self { key: EncodingKey::from_ec_der(pair.serialized_der()) }
    }

    fn jwks(&self) -> Value {
        let mut key =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap()).unwrap();
        key["kid"] = "cluster".into();
        key["use"] = "sig".into();
        json!({"keys": [key]})
    }

    fn token(&self, subject: &str, audience: &str, life: i64) -> String {
        let now = jiff::Timestamp::now().as_second();
        let header = Header { typ: None, kid: Some("cluster".to_owned()), ..Header::new(Algorithm::ES256) };
        let claims = json!({
            "iss": ISSUER, "aud": [audience], "sub": subject, "iat": now, "nbf": now, "exp": now + life,
            "kubernetes.io": {"namespace": "portcullis", "serviceaccount": {"name": "portcullis", "uid": "1"}},
        });
        encode(&header, &claims, &self.key).unwrap()
    }
}

fn followed(on: On) {
    let stage = Stage::new(on);
    let cluster = Cluster::new();
    std::fs::write(stage.path("jwks.json"), cluster.jwks().to_string()).unwrap();
    let oidc =
        format!("issuer={ISSUER},audience=portcullis,jwks={},gate={GATE},cluster=*", stage.text("jwks.json"));
    let api = stage.api_with(&["--oidc", &oidc], true);
    stage.furnish(&api);
    let put = |token: String| std::fs::write(stage.path("token"), token).unwrap();
    put(cluster.token(GATE, "portcullis", 3600));
    let gate = stage.remote(&api.api, &[]);
    decides(&gate, "with the token of its ServiceAccount", "");
    let page = gate.get("/readyz").1;
    assert!(!page.contains("expires within"), "it is renewed, so its end is no news: {page}");

    // Another ServiceAccount of the same cluster, and the token for the API server itself, are no gate.
    for (subject, audience) in [("system:serviceaccount:acme:default", "portcullis"), (GATE, ISSUER)] {
        put(cluster.token(subject, audience, 3600));
        stage.suspend(&api, true);
        stage.suspend(&api, false);
        soon("refused", || readiness(&gate).1.contains("the API of the ledger answers 40"));
        // What the kubelet renews is used for the next call.
        put(cluster.token(GATE, "portcullis", 3600));
        soon("in touch again", || readiness(&gate) == (200, String::new()));
        decides(&gate, "by what has changed meanwhile", "");
    }
    stage.suspend(&api, true);
    decides(&gate, "and follows", SUSPENDED);

    // Only reading the snapshot, whatever the subject asks for.
    let token = cluster.token(GATE, "portcullis", 3600);
    for (method, path) in
        [("GET", "/api/v1/clusters/eu-1/tenants"), ("POST", "/api/v1/clusters/eu-1/tenants/acme:resume")]
    {
        let (status, problem) = super::stage::call(&api.api, &token, method, path, None);
        assert!((403..=404).contains(&status), "{method} {path}: {status} {problem}");
    }
}

#[test]
fn a_service_account_on_the_list_is_a_gate_on_sqlite() {
    followed(On::Sqlite);
}

#[test]
fn a_service_account_on_the_list_is_a_gate_on_postgres() {
    followed(On::Postgres);
}
