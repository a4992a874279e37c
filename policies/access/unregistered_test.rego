package portcullis.unregistered_namespace_test

import data.portcullis.lib.world
import data.portcullis.unregistered_namespace

# who, operation, denied
rows := [
	["acme-dev", "CREATE", true],
	["acme-dev", "DELETE", true],
	["unknown", "UPDATE", true],
	["nobody at all", "CREATE", true],
	["agent", "CREATE", true],
	["vela", "CREATE", true],
	["capsule", "CREATE", true],
	["mgr", "CREATE", false],
	["system", "DELETE", false],
	["gc", "DELETE", false],
	["node", "DELETE", false],
	["root", "CREATE", false],
]

test_who_writes if {
	wrong := {row |
		some row in rows
		found := unregistered_namespace.deny with input as world.review(row[0], row[1], "configmaps", "U", {}, {}) with data.tenancy as world.tenancy
		count(found) > 0 != row[2]
	}
	wrong == set()
}

test_says_to_try_again if {
	some finding in unregistered_namespace.deny with input as world.review("acme-dev", "CREATE", "pods", "U", {}, null)
		with data.tenancy as world.tenancy
	contains(finding.msg, "tn-acme-shop-sbx-777")
	contains(finding.fix, "try again shortly")
}
