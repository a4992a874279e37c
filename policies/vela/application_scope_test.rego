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
]

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

test_unchanged_passes if {
	old := policy("topology", {"namespace": "x"})
	count(vela_application_scope.deny) == 0 with input as world.review("vela", "UPDATE", "applications.core.oam.dev", "A", old, old)
	count(vela_application_scope.deny) == 1 with input as world.review("agent", "UPDATE", "applications.core.oam.dev", "A", old, app({}))
}
