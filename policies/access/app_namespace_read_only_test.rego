package portcullis.app_namespace_read_only_test

import data.portcullis.app_namespace_read_only
import data.portcullis.lib.world

# who, operation, resource, denied; all in an app namespace of acme
rows := [
	["acme-dev", "CREATE", "configmaps", true],
	["acme-dev", "UPDATE", "deployments.apps", true],
	["acme-dev", "UPDATE", "deployments.apps/scale", true],
	["acme-dev", "UPDATE", "deployments.apps/status", true],
	["acme-dev", "UPDATE", "pods/ephemeralcontainers", true],
	["acme-dev", "CREATE", "pods/eviction", true],
	["acme-dev", "CREATE", "serviceaccounts/token", true],
	["acme-dev", "DELETE", "pods", true],
	["acme-dev", "CONNECT", "pods/exec", false],
	["acme-dev", "CONNECT", "pods/attach", false],
	["acme-dev", "CONNECT", "pods/portforward", true],
	["acme-dev", "CONNECT", "pods/proxy", true],
	["acme-dev", "CONNECT", "services/proxy", true],
	["acme-dev", "CONNECT", "pods/unheard-of", true],
	["acme-dev", "CONNECT", "widgets.example.com/exec", true],
	["acme-dev", "CREATE", "leases.coordination.k8s.io", true],
	["globex-dev", "CONNECT", "pods/exec", true],
	["globex-dev", "CREATE", "events", true],
	["unknown", "CONNECT", "pods/exec", true],
	["unknown", "UPDATE", "deployments.apps", true],
	["nobody at all", "CREATE", "pods", true],
	["acme-sa", "CREATE", "pods", true],
	["acme-sa", "CREATE", "events", true],
	["app-sa", "UPDATE", "configmaps", true],
	["app-sa", "UPDATE", "leases.coordination.k8s.io", false],
	["app-sa", "CREATE", "events.events.k8s.io", false],
	["app-sa", "CREATE", "events", false],
	["app-sa", "UPDATE", "leases.coordination.k8s.io/status", true],
	["agent", "CREATE", "deployments.apps", false],
	["mgr", "DELETE", "applications.core.oam.dev", false],
	["vela", "CREATE", "deployments.apps", false],
	["capsule", "CREATE", "networkpolicies.networking.k8s.io", false],
	["capsule", "CREATE", "deployments.apps", true],
	["controller", "CREATE", "secrets", false],
	["everything", "CREATE", "secrets", false],
	["everything", "CREATE", "bindings", true],
	["everything", "CREATE", "pods/binding", true],
	["controller", "CREATE", "bindings", false],
	["controller", "CREATE", "pods/binding", false],
	["elsewhere", "CREATE", "bindings", true],
	["elsewhere", "CREATE", "secrets", true],
	["system", "CREATE", "pods", false],
	["gc", "DELETE", "pods", false],
	["node", "UPDATE", "pods/status", false],
	["root", "UPDATE", "deployments.apps", false],
	["acme-dev", "CREATE", "localsubjectaccessreviews.authorization.k8s.io", false],
	["acme-dev", "UPDATE", "namespaces", false],
	["acme-dev", "UPDATE", "namespaces/unheard-of", true],
]

test_who_writes if {
	wrong := {row |
		some row in rows
		found := app_namespace_read_only.deny with input as world.review(row[0], row[1], row[2], "A", {}, {}) with data.tenancy as world.tenancy
		count(found) > 0 != row[3]
	}
	wrong == set()
}

test_connect_is_switched if {
	opened := object.union(world.tenancy, {"settings": {"connect": {"portforward": true, "exec": false}}})
	count(app_namespace_read_only.deny) == 0 with input as world.review("acme-dev", "CONNECT", "pods/portforward", "A", {}, null)
		with data.tenancy as opened
	count(app_namespace_read_only.deny) == 1 with input as world.review("acme-dev", "CONNECT", "pods/exec", "A", {}, null)
		with data.tenancy as opened
}

test_patterns_cover_workload_writes if {
	all := object.union(world.tenancy, {"settings": {"workloadWrites": ["*.example.com", "*/scale"]}})
	wrong := {row |
		some row in [
			["widgets.example.com", false],
			["widgets.sub.example.com", false],
			["widgets.badexample.com", true],
			["widgets.example.com/status", true],
			["deployments.apps/scale", false],
			["deployments.apps", true],
		]
		found := app_namespace_read_only.deny with input as world.review("app-sa", "UPDATE", row[0], "A", {}, {}) with data.tenancy as all
		count(found) > 0 != row[1]
	}
	wrong == set()
}

test_finalizers_are_let_go if {
	count(app_namespace_read_only.deny) == 0 with input as world.letting_go("elsewhere", "secrets", "A", {}, {})
		with data.tenancy as world.tenancy
	count(app_namespace_read_only.deny) == 1 with input as world.letting_go("acme-dev", "secrets", "A", {}, {})
		with data.tenancy as world.tenancy
}

test_the_sentence_names_what_and_where if {
	some finding in app_namespace_read_only.deny with input as world.review("acme-dev", "UPDATE", "deployments.apps/scale", "A", {}, {})
		with data.tenancy as world.tenancy
	contains(finding.msg, "UPDATE deployments.apps/scale in app namespace tn-acme-shop-app-frontend")
	contains(finding.fix, "platform")
}

test_the_sentence_names_the_switch if {
	some finding in app_namespace_read_only.deny with input as world.review("acme-dev", "CONNECT", "services/proxy", "A", {}, null)
		with data.tenancy as world.tenancy
	contains(finding.msg, "exec and attach")
	contains(finding.fix, "settings.connect.proxy")
}
