package portcullis.namespace_naming_test

import data.portcullis.lib.world
import data.portcullis.namespace_naming

labels(tenant, project, more) := object.union({"kubenova.io/tenant-id": tenant, "kubenova.io/project-id": project}, more)

acme_app := labels("t-acme", "p-shop", {"kubenova.io/app-id": "a-frontend"})

acme_new_app := labels("t-acme", "p-shop", {"kubenova.io/app-id": "a-new"})

acme_sandbox := labels("t-acme", "p-shop", {"kubenova.io/sandbox": "true"})

review(who, metadata) := patched if {
	name := object.get(metadata, "name", "")
	about := {"kind": kind(concat("", [name, object.get(metadata, "generateName", "")])), "name": name}
	patched := object.union(
		json.remove(world.review(who, "CREATE", "namespaces", "U", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, null), ["tenancy/namespace"]),
		{"tenancy": {"namespace": about}},
	)
}

kind(name) := "unregistered" if {
	startswith(name, "tn-")
} else := "platform"

denied(who, metadata) := findings if {
	findings := namespace_naming.deny with input as review(who, metadata) with data.tenancy as world.tenancy
}

# who, name, labels, denied
rows := [
	["mgr", "tn-acme-shop-app-frontend", acme_app, false],
	["mgr", "tn-acme-shop-app-new", acme_new_app, false],
	["mgr", "tn-acme-shop-sbx-001", acme_sandbox, false],
	["mgr", "tn-acme-shop-sbx-999", acme_sandbox, false],
	["mgr", "tn-acme-app-frontend", acme_app, true],
	["mgr", "tn-acme-shop-app-other", acme_app, true],
	["mgr", "tn-acme-shop-app-frontend", acme_new_app, true],
	["mgr", "tn-acme-shop-app-UPPER", acme_new_app, true],
	["mgr", "tn-acme-shop-app-new", labels("t-acme", "p-shop", {"kubenova.io/app-id": "a-api"}), true],
	["mgr", "tn-acme-shop-app-new", labels("t-acme", "p-shop", {"kubenova.io/app-id": "t-acme"}), true],
	["mgr", "tn-acme-shop-app-new", labels("t-acme", "p-shop", {"kubenova.io/app-id": "t-globex"}), true],
	["mgr", "tn-acme-shop-app-new", labels("t-acme", "p-shop", {"kubenova.io/app-id": "p-shop"}), true],
	["mgr", "tn-acme-shop-app-new", labels("t-acme", "p-shop", {"kubenova.io/app-id": "p-web"}), true],
	["mgr", "tn-acme-shop-app-new", labels("t-acme", "p-shop", {"kubenova.io/app-id": "a-frontend"}), true],
	["mgr", "tn-acme-shop-app-new", labels("t-acme", "p-shop", {"kubenova.io/app-id": "s-1"}), true],
	["mgr", "tn-acme-shop-app-new", labels("t-acme", "p-shop", {"kubenova.io/app-id": "s-2"}), true],
	["mgr", "tn-acme-shop-app-new", labels("t-acme", "s-1", {"kubenova.io/app-id": "a-new"}), true],
	["mgr", "tn-acme-shop-app-new", labels("s-1", "p-shop", {"kubenova.io/app-id": "a-new"}), true],
	["mgr", "tn-acme-shop-sbx-001", labels("t-acme", "s-2", {"kubenova.io/sandbox": "true"}), true],
	["mgr", "tn-acme-shop-sbx-001", object.union(acme_sandbox, {"kubenova.io/app-id": "s-1"}), true],
	["root", "tn-acme-shop-app-new", labels("t-acme", "p-shop", {"kubenova.io/app-id": "s-2"}), false],
	["mgr", "tn-acme-shop-app-new", labels("t-acme", "t-acme", {"kubenova.io/app-id": "a-new"}), true],
	["mgr", "tn-acme-shop-sbx-001", labels("p-shop", "p-shop", {"kubenova.io/sandbox": "true"}), true],
	["mgr", "tn-acme-shop-app-", acme_new_app, true],
	["mgr", "tn-acme-shop-app-abcdefghij01234567890", acme_new_app, true],
	["mgr", "tn-acme-shop-sandbox-play", acme_sandbox, true],
	["mgr", "tn-acme-shop-sbx-1", acme_sandbox, true],
	["mgr", "tn-acme-shop-sbx-0001", acme_sandbox, true],
	["mgr", "tn-acme-shop-sbx-abc", acme_sandbox, true],
	["mgr", "tn-acme-shop-sbx-000", acme_sandbox, true],
	["mgr", "tn-acme-shop-sbx-001", acme_app, true],
	["mgr", "tn-acme-shop-app-frontend", acme_sandbox, true],
	["mgr", "tn-acme-shop-app-frontend", labels("t-globex", "p-shop", {"kubenova.io/app-id": "a-frontend"}), true],
	["mgr", "tn-acme-shop-app-frontend", labels("t-acme", "p-web", {"kubenova.io/app-id": "a-frontend"}), true],
	["mgr", "tn-acme-shop-app-frontend", labels("t-nobody", "p-shop", {"kubenova.io/app-id": "a-frontend"}), true],
	["mgr", "tn-acme-shop-app-frontend", labels("t-acme", "p-shop", {}), true],
	["mgr", "tn-acme-shop-sbx-001", labels("t-acme", "p-shop", {"kubenova.io/sandbox": "yes"}), true],
	["mgr", "tn-acme-shop-sbx-001", object.union(acme_sandbox, {"kubenova.io/app-id": "a-frontend"}), true],
	["mgr", "tn-acme-shop-app-frontend", {}, true],
	["mgr", "tn-acme-shop-app-frontend", {"kubenova.io/tenant-id": "t-acme"}, true],
	["acme-dev", "tn-acme-shop-sbx-002", acme_sandbox, true],
	["agent", "tn-acme-shop-app-frontend", acme_app, true],
	["vela", "tn-acme-shop-app-frontend", acme_app, true],
	["capsule", "tn-acme-shop-app-frontend", acme_app, true],
	["system", "tn-acme-shop-app-frontend", acme_app, true],
	["unknown", "tn-acme-shop-app-frontend", acme_app, true],
	["nobody at all", "tn-acme-shop-app-frontend", acme_app, true],
	["root", "tn-anything", {}, false],
	["root", "cert-manager", {}, false],
	["unknown", "cert-manager", {}, false],
	["acme-dev", "cert-manager", {}, true],
	["vela", "cert-manager", {}, true],
	["nobody at all", "cert-manager", {}, true],
]

test_names_and_labels if {
	wrong := {row |
		some row in rows
		count(denied(row[0], {"name": row[1], "labels": row[2]})) > 0 != row[3]
	}
	wrong == set()
}

test_generated_names if {
	every who in ["mgr", "root", "acme-dev"] {
		count(denied(who, {"generateName": "tn-acme-", "labels": acme_app})) == 1
		count(denied(who, {"generateName": "tn-acme-", "name": "tn-acme-x7k2p", "labels": acme_app})) == 1
	}
	count(denied("root", {"generateName": "cert-"})) == 0
}

test_names_too_long_are_refused if {
	longest := "abcdefghij0123456789"
	stem := concat("-", ["tn", longest, longest, "app"])
	long := object.union(world.tenancy, {"tenants": {longest: {"id": "t", "projects": {longest: {"id": "p"}}, "apps": {}}}})
	every row in [["abcdefghij0123", 0], ["abcdefghij01234", 1]] {
		count(namespace_naming.deny) == row[1] with input as review("mgr", {"name": concat("-", [stem, row[0]]), "labels": labels("t", "p", {"kubenova.io/app-id": "a"})})
			with data.tenancy as long
	}
}

test_the_expected_name_is_named if {
	some finding in denied("mgr", {"name": "tn-acme-frontend", "labels": acme_app})
	finding.allowed == ["tn-acme-shop-app-frontend"]
	some other in denied("mgr", {"name": "tn-acme-shop-sbx-7", "labels": acme_sandbox})
	contains(other.allowed[0], "tn-acme-shop-sbx-NNN")
}

test_migration if {
	some_old := {"namespace-naming": {"migrated": ["tn-acme-shop-sandbox-play"]}}
	count(namespace_naming.deny) == 0 with input as review("mgr", {"name": "tn-acme-shop-sandbox-play", "labels": acme_sandbox})
		with data.tenancy as world.tenancy
		with data.params as some_old
}

test_ids_of_another_project_of_the_tenant_are_refused if {
	two := object.union(world.tenancy, {
		"tenants": {"acme": {"projects": {"blog": {"id": "p-blog"}}, "apps": {"blog/api": {"id": "a-blog"}}}},
		"ids": {
			"p-blog": {"kind": "project", "tenant": "acme", "project": "blog"},
			"a-blog": {"kind": "app", "tenant": "acme", "project": "blog", "app": "api"},
			"s-blog": {"kind": "sandbox", "tenant": "acme", "project": "blog", "sandbox": 1},
		},
	})
	every row in [["p-shop", "a-new", 0], ["p-shop", "a-blog", 1], ["p-shop", "s-blog", 1], ["p-shop", "p-blog", 1], ["p-blog", "a-new", 1]] {
		count(namespace_naming.deny) == row[2] with input as review("mgr", {"name": "tn-acme-shop-app-new", "labels": labels("t-acme", row[0], {"kubenova.io/app-id": row[1]})})
			with data.tenancy as two
	}
	count(namespace_naming.deny) == 0 with input as review("mgr", {"name": "tn-acme-blog-app-api", "labels": labels("t-acme", "p-blog", {"kubenova.io/app-id": "a-blog"})})
		with data.tenancy as two
}

test_an_earlier_form_of_the_name_takes_no_id_of_something_else if {
	some_old := {"namespace-naming": {"migrated": ["tn-acme-app-frontend"]}}
	every row in [["a-frontend", 0], ["a-new", 0], ["a-api", 1], ["s-1", 1], ["s-2", 1], ["t-acme", 1]] {
		count(namespace_naming.deny) == row[1] with input as review("mgr", {"name": "tn-acme-app-frontend", "labels": labels("t-acme", "p-shop", {"kubenova.io/app-id": row[0]})})
			with data.tenancy as world.tenancy
			with data.params as some_old
	}
}

test_without_the_index_no_new_id_is_free if {
	count(namespace_naming.deny) == 1 with input as review("mgr", {"name": "tn-acme-shop-app-new", "labels": acme_new_app})
		with data.tenancy as object.remove(world.tenancy, ["ids"])
}

test_without_settings if {
	count(namespace_naming.deny) == 1 with input as review("mgr", {"name": "tn-acme-shop-app-frontend", "labels": acme_app})
		with data.tenancy as {}
}

# name, ids of tenant, project and App, denied; the name is one of an earlier form
migrating := [
	["tn-acme-shop-sandbox-play", {}, false],
	["tn-acme-shop-sandbox-play", {"tenant-id": "t-acme"}, false],
	["tn-acme-shop-sandbox-play", {"tenant-id": "t-acme", "project-id": "p-shop"}, false],
	["tn-acme-shop-sandbox-play", {"project-id": "p-shop"}, false],
	["tn-acme-shop-sandbox-play", {"tenant-id": "t-globex", "project-id": "p-web"}, true],
	["tn-acme-shop-sandbox-play", {"tenant-id": "t-globex"}, true],
	["tn-acme-shop-sandbox-play", {"project-id": "p-web"}, true],
	["tn-acme-shop-sandbox-play", {"tenant-id": "t-acme", "project-id": "p-web"}, true],
	["tn-acme-shop-sandbox-play", {"tenant-id": "t-globex", "project-id": "p-shop"}, true],
	["tn-acme-shop-sandbox-play", {"tenant-id": "t-absent", "project-id": "p-shop"}, true],
	["tn-acme-shop-sandbox-play", {"tenant-id": "t-acme", "project-id": "p-nothing"}, true],
	["tn-acme-shop-sandbox-play", {"tenant-id": "p-shop", "project-id": "p-shop"}, true],
	["tn-acme-shop-sandbox-play", {"tenant-id": "t-acme", "project-id": "t-acme"}, true],
	["tn-acme-shop-sandbox-play", {"tenant-id": "t-acme", "project-id": "a-frontend"}, true],
	["tn-acme-shop-sandbox-play", {"tenant-id": "t-acme", "project-id": "s-1"}, true],
	["tn-acme-app-frontend", {"tenant-id": "t-acme", "project-id": "p-shop", "app-id": "a-frontend"}, false],
	["tn-acme-app-frontend", {"tenant-id": "t-acme", "project-id": "p-shop", "app-id": "a-new"}, false],
	["tn-acme-app-frontend", {"tenant-id": "t-globex", "project-id": "p-web", "app-id": "a-api"}, true],
	["tn-acme-app-frontend", {"tenant-id": "t-globex", "project-id": "p-web", "app-id": "a-new"}, true],
	["tn-acmes-app-frontend", {"tenant-id": "t-acme", "project-id": "p-shop"}, true],
]

test_an_earlier_form_of_the_name_carries_ids_of_its_own_tenant if {
	old_names := {"namespace-naming": {"migrated": {row[0] | some row in migrating}}}
	wrong := {row |
		some row in migrating
		ids := {concat("/", ["kubenova.io", key]): id | some key, id in row[1]}
		some more in [{}, {"kubenova.io/sandbox": "true"}]
		found := namespace_naming.deny with input as review("mgr", {"name": row[0], "labels": object.union(ids, more)})
			with data.tenancy as world.tenancy
			with data.params as old_names
		count(found) > 0 != row[2]
	}
	wrong == set()
}
