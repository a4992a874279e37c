package portcullis.namespace_identity_test

import data.portcullis.lib.world
import data.portcullis.namespace_identity

sandbox := {"kubenova.io/tenant-id": "t-acme", "kubenova.io/project-id": "p-shop", "kubenova.io/sandbox": "true", "team": "a"}

namespace(labels) := {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "labels": labels}}

written(who, resource, where, labels, old) := findings if {
	findings := namespace_identity.deny with input as world.review(who, "UPDATE", resource, where, namespace(labels), namespace(old)) with data.tenancy as world.tenancy
}

# who, resource, denied when nothing but a free label changes
rows := [
	["acme-dev", "namespaces", true],
	["acme-dev", "namespaces/status", true],
	["acme-dev", "namespaces/finalize", true],
	["unknown", "namespaces", true],
	["nobody at all", "namespaces", true],
	["vela", "namespaces", true],
	["agent", "namespaces", true],
	["node", "namespaces/status", true],
	["elsewhere", "namespaces", true],
	["controller", "namespaces", false],
	["mgr", "namespaces", false],
	["capsule", "namespaces", false],
	["system", "namespaces/finalize", false],
	["system", "namespaces/status", false],
	["root", "namespaces", false],
]

test_who_changes if {
	wrong := {row |
		some row in rows
		count(written(row[0], row[1], "S", object.union(sandbox, {"team": "b"}), sandbox)) > 0 != row[2]
	}
	wrong == set()
}

noted(metadata) := findings if {
	old := {"metadata": {"name": "x", "labels": sandbox, "annotations": {"a": "b"}}}
	new := {"metadata": object.union({"name": "x", "labels": sandbox, "annotations": {"a": "b"}}, metadata)}
	findings := namespace_identity.deny with input as world.review("controller", "UPDATE", "namespaces", "S", new, old) with data.tenancy as world.tenancy
}

test_a_controller_notes_what_is_free if {
	count(noted({"annotations": {"field.cattle.io/projectId": "c-1"}})) == 0
	count(noted({"labels": {"field.cattle.io/projectId": "c-1"}})) == 0
	every metadata in [
		{"labels": {"kubenova.io/plan": "gold"}},
		{"labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
		{"annotations": {"capsule.clastix.io/x": "y"}},
		{"annotations": {"kubenova.io/plan": "gold"}},
		{"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"}]},
		{"finalizers": ["example.com/x"]},
	] {
		count(noted(metadata)) > 0
	}
}

# new labels, denied for the manager, denied for Capsule
changes := [
	[object.union(sandbox, {"kubenova.io/tenant-id": "t-globex"}), true, true],
	[object.remove(sandbox, ["kubenova.io/sandbox"]), true, true],
	[object.union(sandbox, {"kubenova.io/app-id": "a"}), true, true],
	[object.union(sandbox, {"kubenova.app": "a"}), true, true],
	[object.union(sandbox, {"kubenova.io/plan": "gold"}), false, true],
	[object.union(sandbox, {"pod-security.kubernetes.io/enforce": "privileged"}), false, true],
	[object.union(sandbox, {"capsule.clastix.io/tenant": "acme"}), false, false],
	[{}, true, true],
	[null, true, true],
	[sandbox, false, false],
]

test_what_changes if {
	wrong := {change |
		some change in changes
		some who, denied in {"mgr": change[1], "capsule": change[2], "system": change[2], "root": false}
		count(written(who, "namespaces", "S", change[0], sandbox)) > 0 != denied
	}
	wrong == set()
}

test_a_lost_label_may_be_put_back if {
	count(written("mgr", "namespaces", "S", sandbox, object.remove(sandbox, ["kubenova.io/tenant-id"]))) == 0
	count(written("mgr", "namespaces", "S", sandbox, object.remove(sandbox, ["team"]))) == 0
}

# who, where, denied
deletions := [
	["acme-dev", "S", true],
	["acme-dev", "K", true],
	["vela", "K", true],
	["agent", "S", true],
	["capsule", "S", true],
	["system", "S", true],
	["unknown", "S", true],
	["unknown", "K", false],
	["gc", "S", false],
	["mgr", "S", false],
	["mgr", "U", false],
	["root", "A", false],
]

test_who_deletes if {
	wrong := {row |
		some row in deletions
		found := namespace_identity.deny with input as world.review(row[0], "DELETE", "namespaces", row[1], null, namespace(sandbox)) with data.tenancy as world.tenancy
		count(found) > 0 != row[2]
	}
	wrong == set()
}

test_nobody_takes_over_a_platform_namespace if {
	count(written("acme-dev", "namespaces", "K", {"capsule.clastix.io/tenant": "acme"}, {})) == 1
	count(written("capsule", "namespaces", "K", {"capsule.clastix.io/tenant": "acme"}, {})) == 0
}
