package portcullis.capsule_kinds_test

import data.portcullis.capsule_kinds
import data.portcullis.lib.world

# who, resource, where, denied
rows := [
	["acme-dev", "tenantresources.capsule.clastix.io", "S", true],
	["acme-dev", "tenantresources.capsule.clastix.io/status", "S", true],
	["acme-dev", "resourcepoolclaims.capsule.clastix.io", "S", false],
	["unknown", "tenantresources.capsule.clastix.io", "S", true],
	["vela", "tenantresources.capsule.clastix.io", "S", true],
	["capsule", "tenantresources.capsule.clastix.io", "S", false],
	["mgr", "tenantresources.capsule.clastix.io", "S", false],
	["root", "tenantresources.capsule.clastix.io", "S", false],
]

test_who_writes if {
	wrong := {row |
		some row in rows
		found := capsule_kinds.deny with input as world.review(row[0], "CREATE", row[1], row[2], {}, null) with data.tenancy as world.tenancy
		count(found) > 0 != row[3]
	}
	wrong == set()
}
