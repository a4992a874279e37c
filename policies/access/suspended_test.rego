package portcullis.suspended_tenant_test

import data.portcullis.lib.world
import data.portcullis.suspended_tenant

# who, operation, resource, where, denied; deletes never reach this policy
rows := [
	["hooli-dev", "CREATE", "pods", "H", true],
	["hooli-dev", "UPDATE", "configmaps", "H", true],
	["hooli-dev", "CONNECT", "pods/exec", "H", true],
	["hooli-dev", "CREATE", "localsubjectaccessreviews.authorization.k8s.io", "H", false],
	["nobody at all", "CREATE", "pods", "H", true],
	["system", "CREATE", "pods", "H", false],
	["mgr", "CREATE", "rolebindings.rbac.authorization.k8s.io", "H", false],
	["root", "CREATE", "pods", "H", false],
	["acme-dev", "CREATE", "pods", "S", false],
]

test_who_writes if {
	wrong := {row |
		some row in rows
		found := suspended_tenant.deny with input as world.review(row[0], row[1], row[2], row[3], {}, {}) with data.tenancy as world.tenancy
		count(found) > 0 != row[4]
	}
	wrong == set()
}

test_the_end_of_a_deletion_passes if {
	count(suspended_tenant.deny) == 0 with input as world.letting_go("hooli-dev", "configmaps", "H", {}, {})
		with data.tenancy as world.tenancy
}

test_an_unknown_status_is_not_active if {
	unknown := json.remove(world.review("acme-dev", "CREATE", "pods", "S", {}, null), ["tenancy/namespace/status"])
	count(suspended_tenant.deny) == 1 with input as unknown with data.tenancy as world.tenancy
}
