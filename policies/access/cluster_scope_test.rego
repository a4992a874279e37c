package portcullis.cluster_scope_test

import data.portcullis.cluster_scope
import data.portcullis.lib.world

# who, resource, denied
rows := [
	["acme-dev", "clusterroles.rbac.authorization.k8s.io", true],
	["acme-dev", "globaltenantresources.capsule.clastix.io", true],
	["acme-dev", "nodes/proxy", true],
	["app-sa", "customresourcedefinitions.apiextensions.k8s.io", true],
	["nobody at all", "clusterroles.rbac.authorization.k8s.io", true],
	["acme-dev", "selfsubjectaccessreviews.authorization.k8s.io", false],
	["acme-dev", "tokenreviews.authentication.k8s.io", false],
	["vela", "clusterroles.rbac.authorization.k8s.io", true],
	["vela", "customresourcedefinitions.apiextensions.k8s.io", true],
	["vela", "resourcetrackers.core.oam.dev", false],
	["vela", "resourcetrackers.core.oam.dev/status", false],
	["vela", "things.not-oam.dev", true],
	["unknown", "clusterroles.rbac.authorization.k8s.io", false],
	["mgr", "tenants.capsule.clastix.io", false],
	["capsule", "globalresourcequotas.capsule.clastix.io", false],
	["system", "nodes", false],
	["root", "clusterroles.rbac.authorization.k8s.io", false],
]

test_who_writes if {
	wrong := {row |
		some row in rows
		found := cluster_scope.deny with input as world.review(row[0], "CREATE", row[1], "", {}, null) with data.tenancy as world.tenancy
		count(found) > 0 != row[2]
	}
	wrong == set()
}

test_without_a_name_nothing_is_written if {
	every who in ["unknown", "system", "root", "controller", "vela", "acme-dev"] {
		review := world.review(who, "CREATE", "clusterroles.rbac.authorization.k8s.io", "", {}, null)
		every nameless in [{"username": ""}, {"username": null}, {"username": 7}, {"username": null, "groups": []}] {
			count(cluster_scope.deny) == 1 with input as object.union(review, {"request": {"userInfo": nameless}})
		}
		count(cluster_scope.deny) == 1 with input as json.remove(review, ["request/userInfo/username"])
		count(cluster_scope.deny) == 1 with input as json.remove(review, ["request/userInfo"])
	}
	reviews := json.remove(world.review("unknown", "CREATE", "selfsubjectreviews.authentication.k8s.io", "", {}, null), ["request/userInfo"])
	count(cluster_scope.deny) == 0 with input as reviews
}
