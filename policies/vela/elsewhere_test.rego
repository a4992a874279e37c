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

# Outside tenants' namespaces nothing of ours stands in the way of what it does not understand.
test_labels_that_cannot_be_read if {
	every who in ["vela", "root", "unknown"] {
		every wrong in [{}, [], 0, "x", null, {"metadata": []}, {"metadata": null}, {"metadata": {"labels": ["app.oam.dev/namespace"]}}, {"metadata": {"labels": false}}, {"metadata": {}}] {
			not denied(who, "CREATE", "configmaps", "K", wrong, null)
		}
	}
}

tracker(label, namespaces) := {
	"metadata": {"name": "x", "labels": {key: value | some value in [label]; key := "app.oam.dev/namespace"; value != ""}},
	"spec": {"managedResources": [{"kind": "ConfigMap", "name": "x", "namespace": namespace} | some namespace in namespaces]},
}

tracked(who, new, old) if denied(who, "UPDATE", "resourcetrackers.core.oam.dev", "", new, old)

test_trackers_list_what_is_in_their_apps_namespace if {
	own := "tn-acme-shop-app-frontend"
	every who in ["vela", "root", "unknown"] {
		every namespace in ["kube-system", "tn-globex-web-sbx-001", false, 0] {
			tracked(who, tracker(own, [own, namespace]), tracker(own, [own]))
			tracked(who, tracker(own, [namespace]), null)
			not tracked(who, tracker(own, [own]), tracker(own, [own, namespace]))
			not tracked(who, tracker(own, [own, namespace]), tracker(own, [namespace]))
		}
		not tracked(who, tracker(own, [own, "", null]), null)
		not tracked(who, tracker("vela-system", ["kube-system", own]), null)
		not tracked(who, {"metadata": {"labels": {"app.oam.dev/namespace": own}}, "spec": {}}, null)
		not tracked(who, tracker("", ["kube-system"]), null)
	}
	kept := {"metadata": tracker(own, []).metadata, "spec": {"managedResources": [{"name": "x", "namespace": own, "raw": {"metadata": {"name": "x", "namespace": "kube-system"}}}]}}
	tracked("vela", kept, null)
	tracked("root", kept, tracker(own, [own]))
	not tracked("vela", kept, kept)
	tracked("vela", tracker("", [own]), null)
	not tracked("vela", tracker("", [own]), tracker("", [own]))
	not tracked("root", tracker("", [own]), null)
}
