package portcullis.replicaset_hash_test

import data.portcullis.lib.world
import data.portcullis.replicaset_hash

set_of(labels) := {"metadata": {"name": "web-5d9c"}, "spec": {"template": {"metadata": {"labels": labels}}}}

hashed := set_of({"app": "web", "pod-template-hash": "5d9c"})

plain := set_of({"app": "web"})

denied(who, operation, where, new, old) := count(findings) if {
	findings := replicaset_hash.deny with input as world.review(who, operation, "replicasets.apps", where, new, old)
		with data.params as {"reserved-metadata": {"writers": ["velero"]}}
}

test_only_the_deployment_controller_writes_the_hash if {
	every where in ["A", "S", "U"] {
		every who in ["acme-dev", "acme-sa", "app-sa", "globex-dev", "unknown", "vela", "capsule", "node", "controller", "system", "gc"] {
			denied(who, "CREATE", where, hashed, null) == 1
			denied(who, "UPDATE", where, hashed, plain) == 1
			denied(who, "UPDATE", where, hashed, set_of({"pod-template-hash": "1234"})) == 1
			denied(who, "CREATE", where, plain, null) == 0
			denied(who, "UPDATE", where, plain, hashed) == 0
			denied(who, "UPDATE", where, hashed, hashed) == 0
			denied(who, "CREATE", where, {"metadata": {"name": "web", "labels": {"pod-template-hash": "5d9c"}}, "spec": {}}, null) == 0
		}
		every who in ["mgr", "agent", "root", "everything"] {
			denied(who, "CREATE", where, hashed, null) == 0
		}
	}
}

test_the_deployment_controller_writes_it if {
	every name in ["system:serviceaccount:kube-system:deployment-controller", "system:kube-controller-manager"] {
		own := object.union(world.review("system", "CREATE", "replicasets.apps", "S", hashed, null), {"tenancy": {"requester": {"username": name}}})
		count(replicaset_hash.deny) == 0 with input as own

		# The name alone is anybody's.
		taken := object.union(own, {"tenancy": {"requester": {"class": "tenant"}}})
		count(replicaset_hash.deny) == 1 with input as taken
	}
}
