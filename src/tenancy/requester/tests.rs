use super::*;
use crate::example;

/// Class, identity name, tenants: `tenant:acme`, `platform(manager)`, `unknown`.
#[track_caller]
fn check(username: &str, groups: &[&str], expected: &str) {
    let requester = classify(&example::snapshot().unwrap(), username, groups);
    let Requester { class, name, tenants, .. } = &requester;
    let mut shown = class.as_str().to_owned();
    if !name.is_empty() {
        shown = format!("{shown}({name})");
    }
    if !tenants.is_empty() {
        shown = format!("{shown}:{}", tenants.join(","));
    }
    assert_eq!(shown, expected, "{username} {groups:?}");
    assert_eq!(requester.creates_namespaces, &**name == "manager");
    assert_eq!(requester.writes.is_empty(), *class != Class::Controller);
}

/// A service account as the API server presents it.
#[track_caller]
fn check_account(namespace: &str, name: &str, expected: &str) {
    let own = format!("system:serviceaccounts:{namespace}");
    let username = format!("system:serviceaccount:{namespace}:{name}");
    check(&username, &["system:serviceaccounts", &own, "system:authenticated"], expected);
    let requester = classify(&example::snapshot().unwrap(), &username, &[own]);
    assert_eq!(requester.service_account, Some((namespace.to_owned(), name.to_owned())));
}

#[test]
fn test_users_have_their_classes() {
    check_account("kubenova-system", "manager", "platform(manager)");
    check_account("kubenova-system", "agent", "platform(agent)");
    check_account("vela-system", "kubevela-vela-core", "vela(vela)");
    check_account("capsule-system", "capsule", "capsule(capsule)");
    check_account("kube-system", "replicaset-controller", "system");
    check_account("kube-system", "cluster-autoscaler", "system(autoscaler)");
    check_account("cert-manager", "cert-manager", "controller(cert-manager)");
    check_account("ingress-nginx", "ingress-nginx", "controller(ingress)");
    check_account("csi-system", "csi-provisioner", "controller(csi)");
    check_account("tn-acme-shop-sbx-001", "kubenova-acme-pg-tenantowner", "tenant:acme");
    check_account("tn-acme-shop-app-frontend", "frontend", "tenant:acme");
    let everyone = "system:authenticated";
    check("system:kube-controller-manager", &[everyone], "system");
    check("system:kube-scheduler", &[everyone], "system");
    check("system:apiserver", &["system:masters", everyone], "system");
    check("system:node:n1", &["system:nodes", everyone], "node");
    check("kubernetes-admin", &["system:masters", everyone], "admin(masters)");
    check("kubernetes-admin", &["kubeadm:cluster-admins", everyone], "admin(cluster-admins)");
    check("alice@acme.io", &["acme-devs", "projectcapsule.dev", everyone], "tenant:acme");
    check("bob@globex.io", &["globex-devs", "projectcapsule.dev", everyone], "tenant:globex");
    check("carol@initech.io", &["initech-devs", "projectcapsule.dev", everyone], "tenant:initech");
}

#[test]
fn several_groups() {
    check("dora", &["globex-devs", "acme-devs", "acme-devs"], "tenant:acme,globex");
    check("dora", &["acme-devs", "system:masters"], "admin(masters)");
    check("dora", &["projectcapsule.dev", "system:authenticated"], "unknown");
}

#[test]
fn identity_needs_username_and_group() {
    let manager = "system:serviceaccount:kubenova-system:manager";
    check(manager, &[], "unknown");
    check(manager, &["system:serviceaccounts"], "unknown");
    check(manager, &["system:serviceaccounts:vela-system"], "unknown");
    check("mallory", &["system:serviceaccounts:kubenova-system"], "unknown");
    check("mallory", &["system:serviceaccounts:kube-system"], "unknown");
    check("system:serviceaccount:kube-system:replicaset-controller", &["system:serviceaccounts"], "unknown");
    check("system:serviceaccount:kube-system:cluster-autoscaler", &[], "unknown");
    check("system:node:n1", &["system:authenticated"], "unknown");
    check("system:node:", &["system:nodes"], "unknown");
    check("mallory", &["system:nodes"], "unknown");
    check("system:serviceaccount:tn-acme-shop-sbx-001:x", &["system:serviceaccounts"], "unknown");
    check("system:serviceaccount:tn-acme-shop-sbx-001:x", &["acme-devs"], "unknown");
}

#[test]
fn comparison_is_exact() {
    check("alice", &["ACME-DEVS"], "unknown");
    check("alice", &["acme-devs-admin"], "unknown");
    check("alice", &["acme-dev"], "unknown");
    check("alice", &[" acme-devs"], "unknown");
    check("acme-devs", &[], "unknown");
    check("SYSTEM:KUBE-SCHEDULER", &[], "unknown");
    check("system:kube-scheduler ", &[], "unknown");
    check("system:kube-schedulers", &[], "unknown");
    check("root", &["System:Masters"], "unknown");
    check("System:Node:n1", &["system:nodes"], "unknown");
    check("system:serviceaccount:Kube-System:x", &["system:serviceaccounts:kube-system"], "unknown");
    check("system:serviceaccount:kube-system-x:x", &["system:serviceaccounts:kube-system"], "unknown");
    check(
        "system:serviceaccount:KUBENOVA-system:manager",
        &["system:serviceaccounts:kubenova-system"],
        "unknown",
    );
    check_account("kubenova-system", "managers", "unknown");
    check_account("argocd", "argocd-application-controller", "unknown");
}

#[test]
fn service_account_of_a_tenant_namespace_belongs_to_the_tenant() {
    let account = "system:serviceaccount:tn-acme-shop-sbx-001:x";
    let own = "system:serviceaccounts:tn-acme-shop-sbx-001";
    check(account, &[own, "globex-devs", "system:nodes"], "tenant:acme");
    check(
        account,
        &[own, "system:serviceaccounts:kube-system", "system:serviceaccounts:kubenova-system"],
        "tenant:acme",
    );
    check(account, &[own, "system:masters"], "admin(masters)");
    check(account, &["system:serviceaccounts:tn-globex-web-sbx-001"], "unknown");
    check_account("tn-acme-shop-sbx-002", "x", "tenant");
    check_account("tnx-acme", "x", "unknown");
}

#[test]
fn impossible_usernames_are_unknown() {
    check("", &["acme-devs"], "unknown");
    check("", &["system:masters"], "unknown");
    check("", &["system:nodes"], "unknown");
    for odd in ["", ":", "kube-system", "kube-system:", ":x", "kube-system:x:y", "tn-acme-shop-sbx-001:x:y"] {
        let groups = [
            "system:serviceaccounts:kube-system",
            "system:serviceaccounts:tn-acme-shop-sbx-001",
            "acme-devs",
        ];
        check(&format!("system:serviceaccount:{odd}"), &groups, "unknown");
    }
}
