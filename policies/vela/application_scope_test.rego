package portcullis.vela_application_scope_test

import data.portcullis.lib.world
import data.portcullis.vela_application_scope

fields(resource, object) := {finding.field | some finding in found} if {
	found := vela_application_scope.deny with input as world.review("agent", "CREATE", resource, "A", object, null)
}

app(spec) := {"spec": spec}

policy(type, properties) := app({"policies": [{"name": "p", "type": type, "properties": properties}]})

component(type, properties) := app({"components": [{"name": "c", "type": type, "properties": properties}]})

trait(properties) := app({"components": [{"name": "c", "type": "webservice", "traits": [{"type": "t", "properties": properties}]}]})

elsewhere := {"metadata": {"namespace": "kube-system"}}

labelled := {"metadata": {"labels": {"app.oam.dev/cluster": "prod"}}}

step(type, properties) := app({"workflow": {"steps": [{"type": type, "properties": properties}]}})

override_of(name, properties) := policy("override", {"components": [{"name": name, "properties": properties}]})

# object, the field that is wrong ("": none)
rows := [
	[component("webservice", {"image": "x"}), ""],
	[policy("topology", {"clusters": ["local"]}), ""],
	[policy("topology", {"namespace": "tn-acme-shop-app-frontend"}), ""],
	[policy("topology", {"namespace": ""}), ""],
	[policy("topology", {"namespace": "tn-acme-shop-sbx-001"}), "spec.policies[0].properties.namespace"],
	[policy("override", {"components": [{"properties": {"objects": [elsewhere]}}]}), "spec.policies[0].properties.components[0].properties.objects[0].metadata.namespace"],
	[policy("take-over", {}), "spec.policies[0].type"],
	[policy("shared-resource", {"rules": []}), "spec.policies[0].type"],
	[app({"policies": [{"name": "p"}]}), "spec.policies[0].type"],
	[component("k8s-objects", {"objects": [{"metadata": {"name": "x"}}]}), ""],
	[component("k8s-objects", {"objects": [{"metadata": {"name": "x"}, "data": {"namespace": "free text"}}]}), ""],
	[component("k8s-objects", {"objects": [{"metadata": {"name": "x"}}, elsewhere]}), "spec.components[0].properties.objects[1].metadata.namespace"],
	[component("k8s-objects", {"objects": [{"kind": "List", "items": [elsewhere]}]}), "spec.components[0].properties.objects[0].items[0].metadata.namespace"],
	[component("raw", elsewhere), "spec.components[0].properties.metadata.namespace"],
	[component("ref-objects", {"objects": [{"resource": "secret", "namespace": "vela-system"}]}), "spec.components[0].properties.objects[0].namespace"],
	[trait(elsewhere), "spec.components[0].traits[0].properties.metadata.namespace"],
	[trait({"operations": [{"op": "add", "path": "/metadata/namespace", "value": "x"}]}), "spec.components[0].traits[0].properties.operations[0].path"],
	[trait({"operations": [{"op": "add", "path": "/spec/replicas", "value": 2}]}), ""],
	[app({"workflow": {"steps": [{"type": "apply-object", "properties": {"value": elsewhere}}]}}), "spec.workflow.steps[0].properties.value.metadata.namespace"],
	[app({"workflow": {"steps": [{"type": "step-group", "subSteps": [{"properties": {"namespace": "x"}}]}]}}), "spec.workflow.steps[0].subSteps[0].properties.namespace"],
	[component("webservice", {"volumeMounts": {"hostPath": [{"path": "/"}]}}), "spec.components[0].properties.volumeMounts"],
	[component("worker", {"volumes": [{"name": "a", "type": "hostPath", "path": "/"}]}), "spec.components[0].properties.volumes"],
	[component("webservice", {"volumeMounts": {"emptyDir": [{"name": "a"}]}}), ""],
	[component("raw", {"kind": "List", "items": [elsewhere]}), "spec.components[0].properties.items[0].metadata.namespace"],
	[policy("topology", {"clusters": null, "allowEmpty": true}), ""],
	[policy("topology", {"clusters": ["", "local"]}), ""],
	[policy("topology", {"clusters": ["local", "prod"]}), "spec.policies[0].properties.clusters[1]"],
	[policy("topology", {"clusters": [["prod"]]}), "spec.policies[0].properties.clusters[0]"],
	[policy("topology", {"clusterLabelSelector": null}), ""],
	[policy("topology", {"clusterLabelSelector": {}}), "spec.policies[0].properties.clusterLabelSelector"],
	[policy("topology", {"clusterSelector": {"region": "eu"}}), "spec.policies[0].properties.clusterSelector"],
	[component("ref-objects", {"objects": [{"resource": "secret", "name": "x", "cluster": "local"}]}), ""],
	[component("ref-objects", {"objects": [{"resource": "secret", "name": "x", "cluster": "prod"}]}), "spec.components[0].properties.objects[0].cluster"],
	[override_of("c", {"objects": [{"cluster": "prod"}]}), "spec.policies[0].properties.components[0].properties.objects[0].cluster"],
	[component("webservice", {"cluster": "of a database"}), ""],
	[step("apply-component", {"component": "c", "cluster": "prod"}), "spec.workflow.steps[0].properties.cluster"],
	[step("read-object", {"cluster": ""}), ""],
	[step("deploy2runtime", {"clusters": ["prod"]}), "spec.workflow.steps[0].properties.clusters[0]"],
	[step("share-cloud-resource", {"placements": [{"cluster": "prod"}]}), "spec.workflow.steps[0].properties.placements[0].cluster"],
	[step("share-cloud-resource", {"placements": [{"namespace": "x"}]}), "spec.workflow.steps[0].properties.placements[0].namespace"],
	[policy("override", {"envs": [{"placement": {"clusterSelector": {"name": "prod"}}}]}), "spec.policies[0].properties.envs[0].placement.clusterSelector"],
	[policy("override", {"envs": [{"placement": {"clusterSelector": {"name": "local"}}}]}), ""],
	[component("k8s-objects", {"objects": [labelled]}), "spec.components[0].properties"],
	[component("k8s-objects", {"objects": [{"metadata": {"labels": {"app.oam.dev/cluster": "local", "app.oam.dev/name": "x"}}}]}), ""],
	[component("k8s-objects", {"objects": [{"data": {"app.yaml": "{\"app.oam.dev/cluster\": \"prod\"}"}}]}), ""],
	[component("raw", labelled), "spec.components[0].properties"],
	[trait({"app.oam.dev/cluster": "prod"}), "spec.components[0].traits[0].properties"],
	[trait({"app.oam.dev/cluster": ["local"]}), "spec.components[0].traits[0].properties"],
	[trait(labelled), "spec.components[0].traits[0].properties"],
	[trait({"operations": [{"op": "add", "path": "/metadata/labels/app.oam.dev~1cluster", "value": "prod"}]}), "spec.components[0].traits[0].properties"],
	[trait({"operations": [{"op": "add", "path": "/metadata/labels/a", "value": {"app.oam.dev/cluster": "prod"}}]}), "spec.components[0].traits[0].properties"],
	[override_of("c", labelled), "spec.policies[0].properties.components[0].properties"],
	[component("override", labelled), "spec.components[0].properties"],
	[step("apply-object", {"value": labelled}), "spec.workflow.steps[0].properties"],
	[trait({"app.oam.dev/cluster": ""}), ""],
	[component("k8s-objects", {"objects": [{"metadata": {"labels": {"app.oam.dev/cluster": ""}}}]}), ""],
	[trait({"a": "", "app.oam.dev/cluster": "prod"}), "spec.components[0].traits[0].properties"],
	[component("k8s-objects", {"objects": [{"metadata": {"namespace": null}}]}), ""],
	[component("raw", {"metadata": {"namespace": null}}), ""],
	[component("raw", {"metadata": {"namespace": false}}), "spec.components[0].properties.metadata.namespace"],
	[component("k8s-objects", {"objects": [{"metadata": {"namespace": false}}]}), "spec.components[0].properties.objects[0].metadata.namespace"],
	[component("ref-objects", {"objects": [{"resource": "secret", "namespace": false}]}), "spec.components[0].properties.objects[0].namespace"],
	[component("ref-objects", {"objects": [{"resource": "secret", "cluster": false}]}), "spec.components[0].properties.objects[0].cluster"],
	[component("ref-objects", {"objects": [{"resource": "secret", "namespace": null, "cluster": null}]}), ""],
	[policy("topology", {"namespace": 0}), "spec.policies[0].properties.namespace"],
	[patch({"op": "add", "value": {"namespace": "x"}}), "spec.components[0].traits[0].properties.operations[0].path"],
	[patch({"op": "remove", "path": null}), "spec.components[0].traits[0].properties.operations[0].path"],
	[patch({"op": "remove", "path": "/spec/replicas"}), ""],
]

patch(operation) := app({"components": [{"name": "c", "type": "webservice", "traits": [{"type": "json-patch", "properties": {"operations": [operation]}}]}]})

test_applications if {
	wrong := {row |
		some row in rows
		expected := {field | some field in [row[1]]; field != ""}
		fields("applications.core.oam.dev", row[0]) != expected
	}
	wrong == set()
}

test_objects_of_their_own if {
	fields("policies.core.oam.dev", {"type": "topology", "properties": {"namespace": "x"}}) == {"(policy).properties.namespace"}
	fields("policies.core.oam.dev", {"type": "take-over"}) == {"(policy).type"}
	fields("policies.core.oam.dev", {"type": "topology", "properties": {}}) == set()
	fields("workflows.core.oam.dev", {"steps": [{"properties": {"namespace": "x"}}]}) == {"steps[0].properties.namespace"}
}

test_clusters_of_the_parameters if {
	params := {"vela-application-scope": {"policies": ["topology"], "clusters": ["prod"]}}
	every cluster, denied in {"prod": 0, "local": 0, "dev": 1} {
		found := vela_application_scope.deny with input as world.review("agent", "CREATE", "applications.core.oam.dev", "A", policy("topology", {"clusters": [cluster]}), null)
			with data.params as params
		count(found) == denied
	}
}

test_unchanged_passes if {
	old := policy("topology", {"namespace": "x"})
	count(vela_application_scope.deny) == 0 with input as world.review("vela", "UPDATE", "applications.core.oam.dev", "A", old, old)
	count(vela_application_scope.deny) == 1 with input as world.review("agent", "UPDATE", "applications.core.oam.dev", "A", old, app({}))
}
