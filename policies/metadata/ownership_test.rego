package portcullis.ownership_labels_test

import data.portcullis.lib.world
import data.portcullis.ownership_labels

labelled(labels) := {"metadata": {"name": "x", "labels": labels}}

sandbox := {"kubenova.io/tenant-id": "t-acme", "kubenova.io/project-id": "p-shop"}

app := {"kubenova.io/tenant-id": "t-acme", "kubenova.io/project-id": "p-shop", "kubenova.io/app-id": "a-frontend"}

stamped(who, resource, where, object) := fragments if {
	fragments := ownership_labels.merge with input as world.review(who, "CREATE", resource, where, object, null) with data.tenancy as world.tenancy
}

test_whatever_is_missing if {
	every object in [{}, {"metadata": {}}, {"metadata": {"labels": null}}, labelled({}), labelled({"app": "x"})] {
		stamped("acme-dev", "configmaps", "S", object) == {{"metadata": {"labels": sandbox}}}
	}
	stamped("system", "pods", "A", {}) == {{"metadata": {"labels": app}}}
}

test_nothing_twice if {
	stamped("acme-dev", "configmaps", "S", labelled(sandbox)) == set()
	stamped("vela", "deployments.apps", "A", labelled(object.union(app, {"app.oam.dev/name": "x"}))) == set()
}

test_only_what_differs if {
	half := object.union(sandbox, {"kubenova.io/tenant-id": "t-globex"})
	stamped("acme-dev", "configmaps", "S", labelled(half)) == {{"metadata": {"labels": {"kubenova.io/tenant-id": "t-acme"}}}}
}

test_not_everything if {
	stamped("acme-dev", "namespaces", "S", {}) == set()
	stamped("acme-dev", "bindings", "S", {}) == set()
	stamped("acme-dev", "localsubjectaccessreviews.authorization.k8s.io", "S", {}) == set()
	stamped("system", "endpointslices.discovery.k8s.io", "S", {}) == set()
	stamped("system", "events", "S", {}) == set()
	count(stamped("app-sa", "events", "A", {})) == 1
	mirror := {"metadata": {"annotations": {"kubernetes.io/config.mirror": "5d9c"}}}
	stamped("node", "pods", "S", mirror) == set()
	count(stamped("acme-dev", "pods", "S", mirror)) == 1
}

test_nothing_is_made_up if {
	nameless := json.remove(world.review("acme-dev", "CREATE", "configmaps", "S", {}, null), ["tenancy/namespace/labels"])
	count(ownership_labels.merge) == 0 with input as nameless with data.tenancy as world.tenancy
}
