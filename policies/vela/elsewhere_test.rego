package portcullis.vela_elsewhere_test

import data.portcullis.lib.world
import data.portcullis.vela_elsewhere

object(label) := {"metadata": {"name": "x", "labels": {"app.oam.dev/namespace": label}}}

denied(who, operation, resource, where, new, old) if {
	count(vela_elsewhere.deny) > 0 with input as world.review(who, operation, resource, where, new, old)
		with data.tenancy as world.tenancy
}

ours := object("tn-acme-shop-app-frontend")

test_whoever_writes if {
	every who in object.keys(world.people) {
		denied(who, "CREATE", "rolebindings.rbac.authorization.k8s.io", "K", ours, null)
		denied(who, "UPDATE", "configmaps", "K", ours, ours)
		denied(who, "CREATE", "clusterroles.rbac.authorization.k8s.io", "", ours, null)
	}
}

test_the_rest_passes if {
	not denied("vela", "CREATE", "resourcetrackers.core.oam.dev", "", ours, null)
	not denied("vela", "UPDATE", "configmaps", "K", {"metadata": {"name": "x"}}, ours)
	not denied("vela", "CREATE", "configmaps", "K", object("default"), null)
	not denied("vela", "CREATE", "configmaps", "K", object("tn"), null)
	not denied("unknown", "CREATE", "configmaps", "K", {"metadata": {"name": "x"}}, null)
	count(vela_elsewhere.deny) == 0 with input as world.letting_go("vela", "configmaps", "K", ours, ours) with data.tenancy as world.tenancy
}
