package portcullis.controller_revisions_test

import data.portcullis.controller_revisions
import data.portcullis.lib.world

revision(data_) := {
	"metadata": {"name": "web-5d9c", "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "1", "controller": true}]},
	"data": data_,
}

template := {"spec": {"template": {"$patch": "replace", "spec": {"containers": []}}}}

found(who, operation, where, new, old) := {object.get(finding, "field", "") | some finding in findings} if {
	findings := controller_revisions.deny with input as world.review(who, operation, "controllerrevisions.apps", where, new, old)
}

test_who_writes if {
	every where in ["A", "S", "U"] {
		every who in ["system", "root", "controller"] {
			found(who, "CREATE", where, revision(template), null) == set()
			found(who, "UPDATE", where, revision(template), revision(template)) == set()
		}
		every who in ["acme-dev", "acme-sa", "app-sa", "unknown", "agent", "mgr", "elsewhere", "everything", "node"] {
			found(who, "CREATE", where, revision(template), null) == {""}
			found(who, "UPDATE", where, revision(template), revision(template)) == {""}
		}
	}
}

test_metadata_of_the_owner_is_not_changed_by_anyone if {
	every who in ["system", "root"] {
		every row in [
			[{"metadata": {"namespace": "kube-system"}}, {"data.metadata.namespace"}],
			[{"metadata": {"name": "other"}}, {"data.metadata.name"}],
			[{"metadata": {"labels": {"a": "b"}}}, {"data.metadata.labels"}],
			[{"Metadata": {"namespace": "kube-system"}}, {"data.Metadata.namespace"}],
			[{"metadata": "kube-system"}, {"data.metadata"}],
			[{"metadata": {"namespace": "tn-acme-shop-sbx-001", "name": "web", "creationTimestamp": null}}, set()],
			[template, set()],
		] {
			found(who, "CREATE", "S", revision(row[0]), null) == row[1]
			found(who, "UPDATE", "S", revision(row[0]), revision(template)) == row[1]
			found(who, "UPDATE", "S", revision(row[0]), revision(row[0])) == set()
		}
	}
}

test_a_finalizer_is_let_go if {
	count(controller_revisions.deny) == 0 with input as world.letting_go("acme-dev", "controllerrevisions.apps", "S", revision(template), revision(template))
}

component := {"apiVersion": "core.oam.dev/v1alpha2", "kind": "Component", "spec": {"workload": {"kind": "Deployment"}, "helm": {}}}

test_vela_keeps_components_alone if {
	every row in [
		[component, set()],
		[{}, set()],
		[template, {"data.spec.template"}],
		[{"Spec": {"template": {}}}, {"data.Spec"}],
		[{"spec": []}, {"data.spec"}],
		[object.union(component, {"spec": {"volumeClaimTemplates": []}}), {"data.spec.volumeClaimTemplates"}],
		[{"metadata": {"namespace": "kube-system"}}, {"data.metadata.namespace"}],
		[{"spec": {"template": {}}, "metadata": {"name": "other"}}, {"data.spec.template", "data.metadata.name"}],
	] {
		found("vela", "CREATE", "A", revision(row[0]), null) == row[1]
		found("vela", "UPDATE", "A", revision(row[0]), revision(component)) == row[1]
		found("vela", "UPDATE", "A", revision(row[0]), revision(row[0])) == set()
	}
}

test_data_is_an_object if {
	every who in ["vela", "system", "root", "controller"] {
		every wrong in [[template], "x", 7, false] {
			found(who, "CREATE", "A", revision(wrong), null) == {"data"}
			found(who, "UPDATE", "A", revision(wrong), revision({})) == {"data"}
			found(who, "UPDATE", "A", revision(wrong), revision(wrong)) == set()
		}
		found(who, "CREATE", "A", revision(null), null) == set()
	}
}
