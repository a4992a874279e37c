package portcullis.sandbox_writers_test

import data.portcullis.lib.world
import data.portcullis.sandbox_writers

# who, operation, resource, where, denied
rows := [
	["acme-dev", "CREATE", "pods", "S", false],
	["acme-dev", "DELETE", "secrets", "S", false],
	["acme-dev", "CONNECT", "pods/exec", "S", false],
	["acme-sa", "CREATE", "pods", "S", false],
	["app-sa", "CREATE", "pods", "S", false],
	["both-dev", "CREATE", "pods", "S", false],
	["acme-dev", "CREATE", "pods", "G", true],
	["globex-dev", "DELETE", "pods", "S", true],
	["globex-dev", "CONNECT", "pods/exec", "S", true],
	["unknown", "UPDATE", "widgets.example.com", "S", true],
	["nobody at all", "CREATE", "pods", "S", true],
	["mgr", "CREATE", "rolebindings.rbac.authorization.k8s.io", "S", false],
	["mgr", "DELETE", "networkpolicies.networking.k8s.io", "S", false],
	["mgr", "CREATE", "serviceaccounts/token", "S", false],
	["mgr", "CREATE", "pods", "S", true],
	["mgr", "CREATE", "pods/binding", "S", true],
	["agent", "CREATE", "resourcequotas", "S", true],
	["capsule", "UPDATE", "limitranges", "S", false],
	["capsule", "UPDATE", "rulestatuses.capsule.clastix.io/status", "S", false],
	["capsule", "CREATE", "deployments.apps", "S", true],
	["controller", "CREATE", "secrets", "S", false],
	["everything", "CREATE", "secrets", "S", false],
	["everything", "CREATE", "bindings", "S", true],
	["everything", "CREATE", "pods/binding", "S", true],
	["controller", "CREATE", "bindings", "S", false],
	["controller", "CREATE", "pods/binding", "S", false],
	["elsewhere", "CREATE", "bindings", "S", true],
	["elsewhere", "CREATE", "secrets", "S", true],
	["system", "CREATE", "pods", "S", false],
	["node", "UPDATE", "pods/status", "S", false],
	["root", "DELETE", "pods", "S", false],
	["vela", "CREATE", "deployments.apps", "S", true],
	["vela", "UPDATE", "applications.core.oam.dev", "S", true],
	["vela", "CONNECT", "pods/exec", "S", true],
	["vela", "DELETE", "deployments.apps", "S", false],
	["acme-dev", "CREATE", "pods", "X", true],
	["acme-dev", "UPDATE", "pods", "X", true],
	["acme-dev", "DELETE", "pods", "X", true],
	["acme-dev", "CONNECT", "pods/exec", "X", true],
	["acme-sa", "CREATE", "pods", "X", true],
	["globex-dev", "CREATE", "pods", "X", true],
	["acme-dev", "CREATE", "selfsubjectaccessreviews.authorization.k8s.io", "X", false],
	["mgr", "DELETE", "networkpolicies.networking.k8s.io", "X", false],
	["system", "DELETE", "pods", "X", false],
	["gc", "DELETE", "pods", "X", false],
	["node", "UPDATE", "pods/status", "X", false],
	["root", "DELETE", "pods", "X", false],
	["globex-dev", "CREATE", "localsubjectaccessreviews.authorization.k8s.io", "S", false],
	["globex-dev", "UPDATE", "namespaces", "S", false],
	["globex-dev", "UPDATE", "namespaces/unheard-of", "S", true],
]

test_who_writes if {
	wrong := {row |
		some row in rows
		found := sandbox_writers.deny with input as world.review(row[0], row[1], row[2], row[3], {}, {}) with data.tenancy as world.tenancy
		count(found) > 0 != row[4]
	}
	wrong == set()
}

test_finalizers_of_an_expired_sandbox if {
	count(sandbox_writers.deny) == 1 with input as world.letting_go("acme-dev", "configmaps", "X", {}, {})
	own := object.union(world.letting_go("acme-sa", "configmaps", "X", {}, {}), {"tenancy": {"requester": {"serviceAccountNamespace": "tn-acme-shop-sbx-002"}}})
	count(sandbox_writers.deny) == 0 with input as own
	count(sandbox_writers.deny) == 1 with input as object.union(own, {"finalizerRemoval": false})
	count(sandbox_writers.deny) == 1 with input as world.letting_go("acme-sa", "configmaps", "X", {}, {})
}

test_finalizers_are_let_go if {
	count(sandbox_writers.deny) == 0 with input as world.letting_go("elsewhere", "secrets", "S", {}, {})
		with data.tenancy as world.tenancy
	count(sandbox_writers.deny) == 1 with input as world.letting_go("globex-dev", "secrets", "S", {}, {})
		with data.tenancy as world.tenancy
}

test_an_unknown_controller_is_told_which_setting if {
	some finding in sandbox_writers.deny with input as world.review("unknown", "UPDATE", "widgets.example.com/status", "S", {}, {})
		with data.tenancy as world.tenancy
	contains(finding.fix, "settings.identities")
	contains(finding.fix, "widgets.example.com/status")
}

test_a_controller_is_told_which_setting if {
	some finding in sandbox_writers.deny with input as world.review("elsewhere", "CREATE", "secrets", "S", {}, {})
		with data.tenancy as world.tenancy
	contains(finding.fix, "`csi`")
}

test_an_expired_sandbox_says_so if {
	some finding in sandbox_writers.deny with input as world.review("acme-dev", "CREATE", "pods", "X", {}, {})
		with data.tenancy as world.tenancy
	contains(finding.msg, "has expired")
}
