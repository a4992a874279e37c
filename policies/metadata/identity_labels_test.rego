package portcullis.identity_labels_test

import data.portcullis.identity_labels
import data.portcullis.lib.world

found(who, operation, resource, where, labels, old) := {finding.field | some finding in findings} if {
	findings := identity_labels.deny with input as world.review(who, operation, resource, where, {"metadata": {"labels": labels}}, {"metadata": {"labels": old}})
		with data.tenancy as world.tenancy
}

# where, labels, the fields that are wrong
rows := [
	["S", {}, set()],
	["S", {"app": "x"}, set()],
	["S", {"kubenova.io/tenant-id": "t-acme"}, set()],
	["S", {"kubenova.io/tenant-id": "t-acme", "kubenova.io/project-id": "p-shop"}, set()],
	["S", {"kubenova.io/tenant-id": "t-globex"}, {"metadata.labels.kubenova.io/tenant-id"}],
	["S", {"kubenova.io/tenant-id": ""}, {"metadata.labels.kubenova.io/tenant-id"}],
	["S", {"kubenova.io/app-id": "a-frontend"}, {"metadata.labels.kubenova.io/app-id"}],
	["A", {"kubenova.io/app-id": "a-frontend"}, set()],
	["A", {"kubenova.io/tenant-id": "t-acme", "kubenova.io/project-id": "p-shop", "kubenova.io/app-id": "a-frontend"}, set()],
	["A", {"kubenova.io/app-id": "a-api", "kubenova.io/project-id": "p-web"}, {"metadata.labels.kubenova.io/app-id", "metadata.labels.kubenova.io/project-id"}],
]

test_whoever_writes if {
	wrong := {[who, resource, row] |
		some who in object.keys(world.people)
		who != "root"
		some resource in ["configmaps", "pods", "pods/binding"]
		some row in rows
		found(who, "CREATE", resource, row[0], row[1], {}) != row[2]
	}
	wrong == set()
}

test_administrators_repair if {
	found("root", "UPDATE", "pods", "S", {"kubenova.io/tenant-id": "t-globex"}, {}) == set()
}

test_what_stays_passes if {
	foreign := {"kubenova.io/tenant-id": "t-globex"}
	found("system", "UPDATE", "pods/status", "S", foreign, foreign) == set()
	found("system", "UPDATE", "pods", "S", foreign, {}) == {"metadata.labels.kubenova.io/tenant-id"}
}

test_of_an_unknown_namespace_no_id_is_known if {
	ids := {"kubenova.io/tenant-id": "t-acme", "app": "x"}
	every who in ["acme-dev", "acme-sa", "unknown", "agent", "vela", "capsule", "controller"] {
		found(who, "CREATE", "configmaps", "U", ids, {}) == {"metadata.labels.kubenova.io/tenant-id"}
		found(who, "UPDATE", "configmaps", "U", ids, ids) == set()
		found(who, "CREATE", "configmaps", "U", {"app": "x"}, {}) == set()
	}
	every who in ["mgr", "root", "system", "node"] {
		found(who, "CREATE", "configmaps", "U", ids, {}) == set()
	}
}

test_of_an_unknown_namespace_ids_of_something_else_are_refused if {
	foreign := [["tenant-id", "t-globex"], ["tenant-id", "s-1"], ["project-id", "p-web"], ["project-id", "s-1"], ["app-id", "a-api"], ["app-id", "s-1"], ["app-id", "s-2"], ["app-id", "p-shop"]]
	own := {"kubenova.io/tenant-id": "t-acme", "kubenova.io/project-id": "p-shop", "kubenova.io/app-id": "a-new"}
	wrong := {[who, resource, row] |
		some who in ["mgr", "system", "node"]
		some resource in ["configmaps", "pods", "pods/binding"]
		some row in foreign
		key := concat("/", ["kubenova.io", row[0]])
		labels := object.union(own, {key: row[1]})
		found(who, "CREATE", resource, "U", labels, {}) != {concat(".", ["metadata.labels", key])}
	}
	wrong == set()
	every who in ["mgr", "system", "node"] {
		found(who, "CREATE", "pods", "U", own, {}) == set()
		found(who, "CREATE", "pods", "U", object.union(own, {"kubenova.io/app-id": "a-frontend"}), {}) == set()
		found(who, "UPDATE", "pods", "U", {"kubenova.io/app-id": "s-2"}, {"kubenova.io/app-id": "s-2"}) == set()
	}
	found("root", "CREATE", "pods", "U", {"kubenova.io/app-id": "s-2"}, {}) == set()
}
