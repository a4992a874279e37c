package portcullis.platform_objects_test

import data.portcullis.lib.world
import data.portcullis.platform_objects

quota := {"metadata": {"name": "kubenova-default-quota", "labels": {"kubenova.io/managed-by": "platform"}}}

# who, operation, resource, old, denied
rows := [
	["acme-dev", "DELETE", "resourcequotas", quota, true],
	["acme-dev", "UPDATE", "resourcequotas", quota, true],
	["acme-dev", "UPDATE", "resourcequotas/status", quota, true],
	["unknown", "DELETE", "networkpolicies.networking.k8s.io", quota, true],
	["nobody at all", "DELETE", "resourcequotas", quota, true],
	["acme-dev", "DELETE", "resourcequotas", {"metadata": {"labels": {"kubenova.io/managed-by": "vela"}}}, false],
	["acme-dev", "DELETE", "resourcequotas", {"metadata": {"labels": null}}, false],
	["acme-dev", "DELETE", "resourcequotas", {"metadata": {}}, false],
	["mgr", "UPDATE", "resourcequotas", quota, false],
	["gc", "DELETE", "resourcequotas", quota, false],
	["root", "DELETE", "resourcequotas", quota, false],
]

test_who_writes if {
	wrong := {row |
		some row in rows
		found := platform_objects.deny with input as world.review(row[0], row[1], row[2], "S", {}, row[3]) with data.tenancy as world.tenancy
		count(found) > 0 != row[4]
	}
	wrong == set()
}

# LB-22: an added finalizer would block the deletion of the namespace.
test_no_finalizer_is_added if {
	blocked := object.union(quota, {"metadata": {"finalizers": ["example.com/mine"]}})
	count(platform_objects.deny) == 1 with input as world.review("acme-dev", "UPDATE", "resourcequotas", "S", blocked, quota)
		with data.tenancy as world.tenancy
}
