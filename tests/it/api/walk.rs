//! Every route with every role, from the table that both the server and the documentation are made of.

use portcullis::access::matrix::{May, Method, Rule};
use portcullis::access::{Role, TenantRef};
use portcullis::api::routes;
use serde_json::json;

use super::harness::{Answer, Caller, Server};

/// A path of the table with something in place of its variables.
fn filled(path: &str, tenant: &str) -> String {
    let mut filled = String::new();
    for (n, part) in path.split('{').enumerate() {
        let Some((variable, rest)) = part.split_once('}').filter(|_| n > 0) else {
            filled.push_str(part);
            continue;
        };
        filled.push_str(match variable {
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
fn every_route_answers_every_role_as_the_table_says() {
    let server = Server::start();
    let own = TenantRef { id: portcullis::store::new_id(), slug: "acme".into() };
    for route in routes::table() {
        let rule = route.rule;
        for path in route.paths() {
            for role in Role::ALL {
                let tenant = role.in_tenant().then_some(&own);
                let caller = server.somebody("walker", role, tenant);
                let answer = ask(&caller, rule, &filled(path, "acme"));
                let about = format!("{role} {} {path}: {} {}", rule.method, answer.status, answer.text);
                assert!(answer.status < 500, "{about}");
                // A gate has no tenant, so every tenant is another's to it.
                let hidden = role == Role::Service && rule.names_tenant();
                match rule.may(role) {
                    May::No if hidden => answer.refused("TENANT_NOT_FOUND", &[]),
                    May::No => answer.refused("FORBIDDEN", &[]),
                    _ => assert_ne!(answer.status, 401, "{about}"),
                }
                if rule.may(role) == May::Yes {
                    assert_ne!(answer.status, 403, "{about}");
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
    let own = TenantRef { id: portcullis::store::new_id(), slug: "acme".into() };
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
