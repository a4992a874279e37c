//! Every route with every role, from the table that both the server and the documentation are made of.

use portcullis_access::matrix::{May, Method, RULES, Rule};
use portcullis_access::{Action, Role, TenantRef};
use portcullis_api::routes;
use serde_json::json;

use super::harness::{Answer, Caller, On, Server};
use super::shop::Shop;

mod limits;

/// A path of the table with something in place of its variables.
fn filled(path: &str, tenant: &str) -> String {
    let mut filled = String::new();
    for (n, part) in path.split('{').enumerate() {
        let Some((variable, rest)) = part.split_once('}').filter(|_| n > 0) else {
            filled.push_str(part);
            continue;
        };
        filled.push_str(match variable {
            "c" => "eu-1",
            "t" => tenant,
            "jti" => "0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f",
            "n" | "m" | "x" | "y" => "1",
            _ => "some",
        });
        filled.push_str(rest);
    }
    filled
}

/// A request without a good body: who may do it is told so, who may not is told that.
fn ask(caller: &Caller, rule: &Rule, path: &str) -> Answer {
    match rule.method {
        Method::Get | Method::Delete => caller.send(rule.method.as_str(), path, None),
        _ => caller.json(rule.method.as_str(), path, &json!({"": 1})),
    }
}

#[test]
fn every_rule_has_a_route_and_every_route_a_rule() {
    let served: Vec<Action> = routes::table().iter().map(|route| route.rule.action).collect();
    let ruled: Vec<Action> = RULES.iter().map(|rule| rule.action).collect();
    let sorted = |mut actions: Vec<Action>| {
        actions.sort();
        actions
    };
    assert_eq!(sorted(served), sorted(ruled), "one each");
}

/// Something in every place that a path can name, so that who may is not told that there is nothing.
fn furnished(shop: &Shop) {
    let app = super::shop::app("some", "docker.io/library/nginx:1");
    shop.admin.post("/api/v1/clusters/eu-1/tenants/acme/projects", &json!({ "name": "some" })).ok(201);
    let project = "/api/v1/clusters/eu-1/tenants/acme/projects/some";
    shop.admin.post(&format!("{project}/apps"), &app).ok(201);
    let item = json!({
        "slug": "some", "name": "Some", "scope": "global", "version": "1.0.0", "source": app["spec"]["source"],
    });
    shop.admin.post("/api/v1/catalog", &item).ok(201);
    shop.admin.post("/api/v1/policies/revisions", &json!({ "files": {} })).ok(201);
    let set = json!({ "name": "some", "rules": [] });
    shop.admin.post("/api/v1/clusters/eu-1/tenants/acme/policysets", &set).ok(201);
    shop.admin.put("/api/v1/clusters/eu-1/tenants/acme/members/some", &json!({ "role": "readOnly" })).ok(200);
}

/// What says whether one may: the status of a request whose body is no good, or that deletes in a dry run.
#[test]
fn every_route_answers_every_role_as_the_table_says() {
    let shop = Shop::open(On::Sqlite);
    furnished(&shop);
    for route in routes::table() {
        let rule = route.rule;
        for path in route.paths() {
            for (role, own) in Role::ALL.into_iter().flat_map(|role| [(role, true), (role, false)]) {
                if !own && !role.in_tenant() {
                    continue;
                }
                let tenant = if own { &shop.acme } else { &shop.globex };
                let caller = shop.server.somebody("walker", role, role.in_tenant().then_some(tenant));
                let mut path = filled(path, "acme");
                if rule.method == Method::Delete && rule.action != Action::TokensRevoke {
                    path.push_str("?dryRun=true");
                }
                let answer = ask(&caller, rule, &path);
                let about = format!("{role} {} {path}: {} {}", rule.method, answer.status, answer.text);
                assert!(answer.status < 500, "{about}");
                // A gate has no tenant, so every tenant is another's to it; and another's is as if it were not there,
                // whatever the role.
                let hidden = rule.names_tenant() && (!own || role == Role::Service);
                match rule.may(role) {
                    _ if hidden => answer.refused("TENANT_NOT_FOUND", &[]),
                    May::No => answer.refused("FORBIDDEN", &[]),
                    May::Open => assert_eq!(answer.status, 200, "{about}"),
                    May::Yes => assert!(!matches!(answer.status, 401 | 403), "{about}"),
                    May::Limited(_) => assert_ne!(answer.status, 401, "{about}"),
                }
                let reached = !hidden && rule.may(role) == May::Yes && path.contains("/some");
                let names = rule.path.contains("{p}")
                    || rule.path.contains("{slug}")
                    || rule.path.contains("{subject}");
                if reached && names && !path.contains("sandboxes/") {
                    assert_ne!(answer.status, 404, "{about}");
                }
            }
        }
    }
}

#[test]
fn without_a_token_only_what_is_open_answers() {
    let server = Server::start();
    for route in routes::table() {
        let answer = ask(&server.nobody(), route.rule, &filled(route.rule.path, "acme"));
        if route.rule.is_open() {
            assert_eq!(answer.status, 200, "{}", route.rule.path);
        } else {
            answer.refused("UNAUTHORIZED", &[]);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
}

#[test]
fn another_tenant_is_as_if_it_were_not_there() {
    let server = Server::start();
    let own = TenantRef { id: portcullis_store::new_id(), slug: "acme".into() };
    let named: Vec<_> = routes::table().into_iter().filter(|route| route.rule.names_tenant()).collect();
    for route in named {
        for role in [Role::TenantOwner, Role::ProjectDev, Role::ReadOnly] {
            let caller = server.somebody("walker", role, Some(&own));
            for other in ["globex", "none", "0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f"] {
                let answer = ask(&caller, route.rule, &filled(route.rule.path, other));
                answer.refused("TENANT_NOT_FOUND", &[]);
            }
        }
    }
}
