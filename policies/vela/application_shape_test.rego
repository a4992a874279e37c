package portcullis.vela_application_shape_test

import data.portcullis.lib.world
import data.portcullis.vela_application_shape

params := {"vela-application-shape": {
	"components": ["webservice", "worker", "k8s-objects", "ref-objects", "raw", "helmchart"],
	"traits": ["json-patch", "json-merge-patch", "scaler", "storage"],
}}

fields(resource, object) := {finding.field | some finding in found} if {
	found := vela_application_shape.deny with input as world.review("agent", "CREATE", resource, "A", object, null)
		with data.params as params
}

app(spec) := {"spec": spec}

policy(type, properties) := app({"policies": [{"name": "p", "type": type, "properties": properties}]})

component(type, properties) := app({"components": [{"name": "c", "type": type, "properties": properties}]})

trait(type, properties) := app({"components": [{"name": "c", "type": "webservice", "traits": [{"type": type, "properties": properties}]}]})

step(type, properties) := app({"workflow": {"steps": [{"name": "s", "type": type, "properties": properties}]}})

filled(key) := filled_of("webservice", key)

filled_of(type, key) := app({"components": [{"name": "c", "type": type, "inputs": [{"from": "x", "parameterKey": key}]}]})

# object, the field that is wrong ("": none)
rows := [
	[component("webservice", {"image": "x", "env": [{"name": "NAMESPACE", "value": "x"}]}), ""],
	[component("k8s-objects", {"objects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"NAMESPACE": "x", "Path": "y", "hostPath": "/tmp"}}]}), ""],
	[component("evil", {}), "spec.components[0].type"],
	[app({"components": [{"name": "c"}]}), "spec.components[0].type"],
	[trait("evil", {}), "spec.components[0].traits[0].type"],
	[trait("scaler", {"replicas": 2}), ""],
	[policy("override", {"components": [{"name": "web", "properties": {"image": "x"}}]}), ""],
	[policy("override", {"components": [{"name": "web", "type": "evil"}]}), "spec.policies[0].properties.components[0].type"],
	[policy("override", {"components": [{"name": "web", "traits": [{"type": "evil"}]}]}), "spec.policies[0].properties.components[0].traits[0].type"],
	[policy("topology", {"clusters": ["local"], "namespace": "x"}), ""],
	[policy("topology", {"clusterlabels": {}}), "spec.policies[0].properties.clusterlabels"],
	[policy("topology", {"Namespace": "kube-system"}), "spec.policies[0].properties.Namespace"],
	[policy("topology", {"nameſpace": "kube-system"}), "spec.policies[0].properties.nameſpace"],
	[policy("override", {"Components": []}), "spec.policies[0].properties.Components"],
	[policy("of-the-platform", {"anything": 1}), ""],
	[component("ref-objects", {"Objects": [{"Namespace": "x"}]}), "spec.components[0].properties.Objects"],
	[component("ref-objects", {"objects": [{"Namespace": "x"}]}), "spec.components[0].properties.objects[0].Namespace"],
	[component("k8s-objects", {"objects": [{"metadata": {"NAMESPACE": "x"}}]}), "spec.components[0].properties.objects[0].metadata.NAMESPACE"],
	[component("k8s-objects", {"objects": [{"items": [{"Metadata": {}}]}]}), "spec.components[0].properties.objects[0].items[0].Metadata"],
	[component("raw", {"Metadata": {"namespace": "x"}}), "spec.components[0].properties.Metadata"],
	[component("raw", {"\u212Aind": "x"}), "spec.components[0].properties.\u212Aind"],
	[component("helmchart", {"Release": {"namespace": "x"}}), "spec.components[0].properties.Release"],
	[component("ref-objects", {"urls": ["https://evil.example"]}), "spec.components[0].properties.urls"],
	[component("k8s-objects", {"objects": [{"apiVersion": "core.oam.dev/v1beta1", "kind": "ComponentDefinition"}]}), "spec.components[0].properties.objects[0].apiVersion"],
	[component("k8s-objects", {"objects": [{"kind": "List", "items": [{"apiVersion": "core.oam.dev/v1beta1"}]}]}), "spec.components[0].properties.objects[0].items[0].apiVersion"],
	[component("k8s-objects", {"objects": [{"kind": "Pod", "spec": {"volumes": [{"hostPath": {"path": "/"}}]}}]}), "spec.components[0].properties"],
	[trait("json-merge-patch", {"spec": {"template": {"spec": {"volumes": [{"HostPath": {"path": "/"}}]}}}}), "spec.components[0].traits[0].properties"],
	[trait("json-patch", {"operations": [{"op": "add", "path": "/spec/volumes/0/hostPath", "value": {"path": "/"}}]}), "spec.components[0].traits[0].properties"],
	[trait("json-patch", {"operations": [{"op": "add", "path": "/spec/replicas", "value": 2}]}), ""],
	[trait("json-patch", {"operations": [{"op": "add", "Path": "/spec/replicas"}]}), "spec.components[0].traits[0].properties.operations[0].Path"],
	[component("k8s-objects", {"objects": [{"apiVersion": "apps/v1", "kind": "ControllerRevision"}]}), "spec.components[0].properties"],
	[component("k8s-objects", {"objects": [{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "apps/v1", "kind": "ControllerRevision"}]}]}), "spec.components[0].properties"],
	[component("k8s-objects", {"objects": [{"kind": "List", "items": [{"kind": "List", "items": [{"kind": "ControllerRevision"}]}]}]}), "spec.components[0].properties"],
	[component("k8s-objects", {"objects": [{"apiVersion": "apps/v1", "kind": "controllerreviſion"}]}), "spec.components[0].properties"],
	[component("k8s-objects", {"objects": [{"apiVersion": "v1", "kind": "Binding", "target": {"name": "n1"}}]}), "spec.components[0].properties"],
	[component("k8s-objects", {"objects": [{"apiVersion": "apps/v1", "kind": "ControllerRevisionList"}]}), "spec.components[0].properties"],
	[component("raw", {"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 9, "data": {}}), "spec.components[0].properties"],
	[component("ref-objects", {"objects": [{"resource": "controllerrevision", "name": "web-1"}]}), "spec.components[0].properties"],
	[component("ref-objects", {"objects": [{"resource": "controllerrevisions.apps", "name": "web-1"}]}), "spec.components[0].properties"],
	[component("ref-objects", {"objects": [{"apiVersion": "storage.k8s.io/v1", "resource": "csistoragecapacities"}]}), "spec.components[0].properties"],
	[trait("json-merge-patch", {"kind": "ControllerRevision"}), "spec.components[0].traits[0].properties"],
	[trait("json-patch", {"operations": [{"op": "add", "path": "/spec/x", "value": {"kind": "ControllerRevision"}}]}), "spec.components[0].traits[0].properties"],
	[policy("override", {"components": [{"name": "web", "properties": {"objects": [{"kind": "ControllerRevision"}]}}]}), "spec.policies[0].properties.components[0].properties"],
	[component("k8s-objects", {"objects": [{"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "\"kind\":\"ControllerRevision\""}}]}), ""],
	[component("k8s-objects", {"objects": [{"apiVersion": "servicebinding.io/v1", "kind": "ServiceBinding"}, {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding"}]}), ""],
	[step("deploy", {"policies": []}), ""],
	[step("deploy", {"namespace": "x"}), "spec.workflow.steps[0].properties.namespace"],
	[app({"workflow": {"steps": [{"name": "s", "Type": "apply-object"}]}}), "spec.workflow.steps[0].Type"],
	[app({"workflow": {"Steps": []}}), "spec.workflow.Steps"],
	[app({"Components": []}), "spec.Components"],
	[component("k8s-objects", {"objects": {"0": {"metadata": {"namespace": "kube-system"}}}}), "spec.components[0].properties.objects"],
	[component("k8s-objects", {"objects": "x"}), "spec.components[0].properties.objects"],
	[component("k8s-objects", {"objects": null}), ""],
	[component("k8s-objects", {"objects": [null]}), "spec.components[0].properties.objects[0]"],
	[component("k8s-objects", {"objects": [[{"kind": "ConfigMap"}]]}), "spec.components[0].properties.objects[0]"],
	[component("raw", {"kind": "Widget", "objects": {"a": 1}}), ""],
	[component("ref-objects", {"urls": {"0": "https://evil.example"}}), "spec.components[0].properties.urls"],
	[trait("json-patch", {"operations": {"0": {"path": "/metadata/namespace"}}}), "spec.components[0].traits[0].properties.operations"],
	[trait("json-patch", {"operations": ["/metadata/namespace"]}), "spec.components[0].traits[0].properties.operations[0]"],
	[policy("override", {"components": {"0": {"type": "evil"}}}), "spec.policies[0].properties.components"],
	[policy("override", {"components": ["evil"]}), "spec.policies[0].properties.components[0]"],
	[policy("override", {"components": [{"name": "c", "traits": {"0": {"type": "evil"}}}]}), "spec.policies[0].properties.components[0].traits"],
	[policy("override", {"components": [{"name": "c", "traits": ["evil"]}]}), "spec.policies[0].properties.components[0].traits[0]"],
	[policy("override", {"components": [{"name": "c", "properties": {"objects": {"0": {}}}}]}), "spec.policies[0].properties.components[0].properties.objects"],
	[policy("topology", {"clusters": {"0": "prod"}}), "spec.policies[0].properties.clusters"],
	[component("k8s-objects", {"objects": [{"kind": "List", "items": [{"kind": "List", "items": [{"metadata": {"namespace": "kube-system"}}]}]}]}), "spec.components[0].properties.objects[0].items[0].items"],
	[component("raw", {"kind": "List", "items": [{"kind": "List", "items": []}]}), "spec.components[0].properties.items[0].items"],
	[component("raw", {"kind": "List", "items": [{"apiVersion": "core.oam.dev/v1beta1", "kind": "TraitDefinition"}]}), "spec.components[0].properties.items[0].apiVersion"],
	[component("k8s-objects", {"objects": [{"kind": "List", "items": [{"kind": "ConfigMap"}]}]}), ""],
	[filled("image"), ""],
	[filled("env[0].value2"), ""],
	[filled(""), ""],
	[filled("namespace"), "spec.components[0].inputs[0].parameterKey"],
	[filled("metadata.namespace"), "spec.components[0].inputs[0].parameterKey"],
	[filled("objects"), "spec.components[0].inputs[0].parameterKey"],
	[filled("Objects[0].data"), "spec.components[0].inputs[0].parameterKey"],
	[filled("[\"namespace\"]"), "spec.components[0].inputs[0].parameterKey"],
	[filled("spec"), "spec.components[0].inputs[0].parameterKey"],
	[filled("Spec.template"), "spec.components[0].inputs[0].parameterKey"],
	[filled("template[0]"), "spec.components[0].inputs[0].parameterKey"],
	[filled("data"), "spec.components[0].inputs[0].parameterKey"],
	[filled("database.specs"), ""],
	[filled_of("raw", "replicas"), "spec.components[0].inputs[0]"],
	[filled_of("k8s-objects", ""), "spec.components[0].inputs[0]"],
	[policy("override", {"components": [{"name": "c", "type": "raw", "inputs": [{"from": "x", "parameterKey": "a"}]}]}), "spec.policies[0].properties.components[0].inputs[0]"],
	[filled(7), "spec.components[0].inputs[0].parameterKey"],
	[app({"components": [{"name": "c", "type": "raw", "Inputs": []}]}), "spec.components[0].Inputs"],
	[filled("labels"), "spec.components[0].inputs[0].parameterKey"],
	[filled("labels.app"), "spec.components[0].inputs[0].parameterKey"],
	[filled("annotations.app"), "spec.components[0].inputs[0].parameterKey"],
]

# A manifest is judged whatever stands beside it.
beside_rows contains [component("raw", object.union(revision, {"objects": beside})), "spec.components[0].properties.apiVersion"] if some beside in besides

beside_rows contains [trait("json-merge-patch", object.union(revision, {"objects": beside})), "spec.components[0].traits[0].properties.apiVersion"] if some beside in besides

beside_rows contains [policy("override", {"components": [{"name": "c", "properties": object.union(revision, {"objects": beside})}]}), "spec.policies[0].properties.components[0].properties.apiVersion"] if {
	some beside in besides
}

beside_rows contains [component("raw", {"kind": "List", "items": [revision], "objects": beside}), "spec.components[0].properties.items[0].apiVersion"] if some beside in besides

revision := {"apiVersion": "core.oam.dev/v1beta1", "kind": "ApplicationRevision", "metadata": {"name": "x"}}

besides := [[], [{"apiVersion": "v1", "kind": "ConfigMap"}], "x", {}, 0, true, [null]]

reference(of) := component("ref-objects", {"objects": [of]})

reference_rows contains [reference(of), "spec.components[0].properties.objects[0].resource"] if {
	some of in [
		{"resource": "applicationrevision", "name": "x"},
		{"resource": "APPLICATIONREVISIONS", "name": "x"},
		{"resource": "applicationrevisionſ"},
		{"resource": "applicationrevisions.core.oam.dev"},
		{"resource": "resourcetrackers", "group": "core.oam.dev"},
		{"resource": "resourcetracker", "group": "core"},
		{"resource": "componentdefinition"},
		{"resource": "policies", "group": ""},
		{"resource": "applications", "group": "Core.Oam.Dev"},
		{"resource": "virtualclusters", "group": "cluster.core.oam.dev"},
		{"resource": "applications", "group": "example.oam.dev"},
		{"resource": "packages", "group": 7},
	]
}

reference_rows contains [reference(of), ""] if {
	some of in [
		{"resource": "configmap", "name": "x"},
		{"resource": "applications", "group": "argoproj.io", "name": "x"},
		{"resource": "networkpolicies", "group": "networking.k8s.io"},
		{"apiVersion": "v1", "kind": "ConfigMap", "name": "x"},
	]
}

# What is there and is no list, or no object, of all that policies look into.
typed_rows := [
	[app({"components": {"0": {"type": "evil"}}}), "spec.components"],
	[app({"components": "evil"}), "spec.components"],
	[app({"components": false}), "spec.components"],
	[app({"components": null, "policies": null}), ""],
	[app({"components": ["evil"]}), "spec.components[0]"],
	[app({"policies": {"0": {"type": "topology"}}}), "spec.policies"],
	[app({"components": [{"name": "c", "type": "webservice", "traits": {"0": {"type": "evil"}}}]}), "spec.components[0].traits"],
	[app({"components": [{"name": "c", "type": "webservice", "inputs": {"0": {"parameterKey": "namespace"}}}]}), "spec.components[0].inputs"],
	[app({"components": [{"name": "c", "type": "webservice", "properties": "x"}]}), "spec.components[0].properties"],
	[app({"components": [{"name": "c", "type": "webservice", "properties": [{"hostPath": 1}]}]}), "spec.components[0].properties"],
	[app({"workflow": [{"steps": []}]}), "spec.workflow"],
	[app({"workflow": {"steps": {"0": {"type": "apply-object"}}}}), "spec.workflow.steps"],
	[app({"workflow": {"steps": [{"name": "s", "type": "step-group", "subSteps": {"0": {"type": "evil"}}}]}}), "spec.workflow.steps[0].subSteps"],
	[app({"workflow": {"steps": [{"name": "s", "type": "deploy", "inputs": {"0": {}}}]}}), "spec.workflow.steps[0].inputs"],
	[{"spec": [{"components": []}]}, "spec"],
	[policy("of-the-platform", {"envs": {"0": {"placement": {"clusterSelector": {"name": "prod"}}}}}), "spec.policies[0].properties.envs"],
	[policy("of-the-platform", {"envs": [{"placement": [{"clusterSelector": {"name": "prod"}}]}]}), "spec.policies[0].properties.envs[0].placement"],
	[step("of-the-platform", {"clusters": {"0": "prod"}}), "spec.workflow.steps[0].properties.clusters"],
	[step("of-the-platform", {"placements": {"0": {"cluster": "prod"}}}), "spec.workflow.steps[0].properties.placements"],
	[component("k8s-objects", {"objects": [{"kind": "List", "items": {"0": {"kind": "ConfigMap"}}}]}), "spec.components[0].properties.objects[0].items"],
	[component("raw", {"kind": "List", "items": {"0": {"kind": "ConfigMap"}}}), "spec.components[0].properties.items"],
	[trait("json-merge-patch", {"items": {"0": {"kind": "ConfigMap"}}}), "spec.components[0].traits[0].properties.items"],
	[component("k8s-objects", {"objects": [{"kind": "ConfigMap", "metadata": [{"namespace": "x"}]}]}), "spec.components[0].properties.objects[0].metadata"],
	[component("raw", {"kind": "ConfigMap", "metadata": "x"}), "spec.components[0].properties.metadata"],
	[component("worker", {"volumes": {"0": {"name": "a", "type": "hostPath", "path": "/"}}}), "spec.components[0].properties.volumes"],
	[component("worker", {"volumes": [{"name": "a", "type": "emptyDir"}]}), ""],
	[component("ref-objects", {"objects": [{"resource": "secret", "Cluster": "prod"}]}), "spec.components[0].properties.objects[0].Cluster"],
	[component("ref-objects", {"objects": [{"resource": "secret", "CLUſTER": "prod"}]}), "spec.components[0].properties.objects[0].CLUſTER"],
	[component("ref-objects", {"objects": [{"Resource": "secret"}]}), "spec.components[0].properties.objects[0].Resource"],
]

# Each key that a policy looks for, written otherwise, at a place where one looks.
test_other_spellings_of_every_key if {
	wrong := {key |
		some key in [
			"name", "type", "namespace", "targetNamespace", "metadata", "value", "release", "objects", "items", "envs", "placement",
			"namespaceSelector", "operations", "path", "from", "hostPath", "volumes", "volumeMounts", "urls", "apiVersion", "kind", "image",
			"cluster", "clusters", "clusterSelector", "clusterLabelSelector", "placements", "components", "policies", "workflow", "steps",
			"subSteps", "properties", "traits", "inputs", "outputs", "parameterKey", "workflowSpec", "resource", "group", "spec", "ref",
		]
		some written in [upper(key), concat("", [upper(substring(key, 0, 1)), substring(key, 1, -1)])]
		not concat(".", ["spec.components[0].properties", written]) in fields("applications.core.oam.dev", component("webservice", {written: []}))
	}
	wrong == set()
	fields("workflowruns.core.oam.dev", {"spec": {"WorkflowSpec": {"steps": []}}}) == {"spec.WorkflowSpec"}
	fields("workflowruns.core.oam.dev", {"spec": {"workflowSpec": {"Steps": []}}}) == {"spec.workflowSpec.Steps"}
	fields("workflowruns.core.oam.dev", {"spec": {"workflowSpec": {"steps": {"0": {}}}}}) == {"spec.workflowSpec.steps"}
	fields("workflowruns.core.oam.dev", {"spec": {"workflowSpec": [{"steps": []}]}}) == {"spec.workflowSpec"}
	fields("workflows.core.oam.dev", {"steps": {"0": {"type": "apply-object"}}}) == {"steps"}
	placement := policy("of-the-platform", {"envs": [{"placement": {"namespaceSelector": {"Name": "kube-system"}, "ClusterSelector": {"name": "prod"}}}]})
	fields("applications.core.oam.dev", placement) == {
		"spec.policies[0].properties.envs[0].placement.ClusterSelector",
		"spec.policies[0].properties.envs[0].placement.namespaceSelector.Name",
	}
	placed := step("of-the-platform", {"placements": [{"Cluster": "prod"}]})
	fields("applications.core.oam.dev", placed) == {"spec.workflow.steps[0].properties.placements[0].Cluster"}
}

test_an_administrator_brings_what_controllers_write if {
	object := component("k8s-objects", {"objects": [{"apiVersion": "apps/v1", "kind": "ControllerRevision"}]})
	count(vela_application_shape.deny) == 0 with input as world.review("root", "CREATE", "applications.core.oam.dev", "A", object, null)
		with data.params as params
	every who in ["agent", "mgr", "vela", "controller", "acme-dev", "unknown", "system"] {
		count(vela_application_shape.deny) == 1 with input as world.review(who, "CREATE", "applications.core.oam.dev", "A", object, null)
			with data.params as params
	}
}

all_rows := ({row | some row in rows} | {row | some row in typed_rows}) | (beside_rows | reference_rows)

test_applications if {
	wrong := {[row, found] |
		some row in all_rows
		found := fields("applications.core.oam.dev", row[0])
		expected := {field | some field in [row[1]]; field != ""}
		count(expected - found) + count({1 | count(expected) == 0; count(found) > 0}) > 0
	}
	wrong == set()
}

test_objects_of_their_own if {
	fields("policies.core.oam.dev", {"type": "topology", "properties": {"Namespace": "x"}}) == {"(policy).properties.Namespace"}
	fields("policies.core.oam.dev", {"type": "topology", "Properties": {"namespace": "x"}}) == {"(object).Properties"}
	fields("workflows.core.oam.dev", {"Steps": []}) == {"(object).Steps"}
	fields("workflows.core.oam.dev", {"steps": [{"type": "deploy", "properties": {"value": {}}}]}) == {"steps[0].properties.value"}
}

test_unchanged_passes if {
	old := component("evil", {})
	count(vela_application_shape.deny) == 0 with input as world.review("vela", "UPDATE", "applications.core.oam.dev", "A", old, old)
		with data.params as params
	count(vela_application_shape.deny) == 1 with input as world.review("vela", "UPDATE", "applications.core.oam.dev", "A", old, app({}))
		with data.params as params
}

test_without_parameters_no_type_is_known if {
	found := vela_application_shape.deny with input as world.review("agent", "CREATE", "applications.core.oam.dev", "A", component("webservice", {}), null)
		with data.params as {}
	{finding.field | some finding in found} == {"spec.components[0].type"}
}
