package portcullis.statefulset_pods_test

import data.portcullis.lib.world
import data.portcullis.statefulset_pods

owner := {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "1", "controller": true}

labels := {"statefulset.kubernetes.io/pod-name": "web-0", "controller-revision-hash": "web-5d9c", "app": "web"}

pod(name, said, owners) := {"metadata": {"name": name, "labels": said, "ownerReferences": owners}}

denied(class, username, object) if {
	review := world.review("system", "CREATE", "pods", "S", object, null)
	asker := {"tenancy": {"requester": {"class": class, "username": username}}}
	count(statefulset_pods.deny) > 0 with input as object.union(review, asker)
}

controller := "system:serviceaccount:kube-system:statefulset-controller"

shared := "system:kube-controller-manager"

without(label) := object.remove(labels, [label])

saying(label, value) := object.union(labels, {label: value})

test_what_the_controller_makes_passes if {
	every username in [controller, shared] {
		not denied("system", username, pod("web-0", labels, [owner]))
		not denied("system", username, pod("web-0", labels, [object.union(owner, {"apiVersion": "apps/v1beta1"})]))
	}
}

test_what_it_does_not_make_is_denied if {
	every username in [controller, shared] {
		every object in [
			pod("web-0", without("statefulset.kubernetes.io/pod-name"), [owner]),
			pod("web-0", saying("statefulset.kubernetes.io/pod-name", "web-1"), [owner]),
			pod("web-0", without("controller-revision-hash"), [owner]),
			pod("web-0", saying("controller-revision-hash", ""), [owner]),
			pod("web-0", null, [owner]),
			pod("web-x", saying("statefulset.kubernetes.io/pod-name", "web-x"), [owner]),
			pod("web-00", saying("statefulset.kubernetes.io/pod-name", "web-00"), [owner]),
			pod("web-0", labels, [object.union(owner, {"name": "other"})]),
		] {
			denied("system", username, object)
		}
	}
}

test_the_controller_makes_nothing_without_a_set if {
	every owners in [null, [], [object.union(owner, {"kind": "ReplicaSet"})], [object.union(owner, {"controller": false})]] {
		denied("system", controller, pod("web-0", labels, owners))
	}
}

test_other_controllers_and_people_are_not_asked if {
	not denied("system", "system:serviceaccount:kube-system:replicaset-controller", pod("web-0", {}, []))
	not denied("tenant", "alice@acme.io", pod("web-0", {}, [owner]))
	not denied("unknown", controller, pod("web-0", {}, [owner]))
}
