# METADATA
# title: An Application deploys into its own namespace
# description: >-
#   Vela renders any kind into any namespace that an Application names, and the gate does not review Vela's writes outside
#   tenant namespaces or in other clusters. So a component, trait, policy or step cannot name another namespace or
#   cluster, a policy cannot take over or share objects of others, and a volume cannot be a path of the node. Unchanged
#   parts are allowed.
# custom:
#   id: vela-application-scope
#   severity: critical
#   mode: enforce
#   on_error: deny
#   params_schema:
#     type: object
#     properties:
#       policies: {type: array, items: {type: string}, combine: intersect}
#       clusters: {type: array, items: {type: string}, combine: intersect}
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: [applications.core.oam.dev, policies.core.oam.dev, workflows.core.oam.dev, workflowruns.core.oam.dev]
#       namespaces: [app, sandbox, unregistered]
package portcullis.vela_application_scope

import data.portcullis.lib.applications
import data.portcullis.lib.lists
import data.portcullis.lib.request

deny contains finding if {
	not unchanged
	some place in places
	not place.namespace == input.tenancy.namespace.name
	not place.namespace == ""
	finding := {
		"field": place.field,
		"observed": sprintf("%v", [place.namespace]),
		"msg": "is another namespace: an Application deploys into its own and no other",
		"allowed": [request.namespace],
		"fix": "leave the namespace out",
	}
}

deny contains finding if {
	not unchanged
	some policy in applications.policies
	not policy.type in allowed_policies
	finding := {
		"field": concat(".", [policy.field, "type"]),
		"observed": policy.type,
		"msg": "is not a policy that Applications may use: it may reach objects of others",
		"allowed": allowed_policies,
		"fix": "leave the policy out, or an operator adds it to params/vela-application-scope",
	}
}

deny contains finding if {
	not unchanged
	some part in applications.parts
	some kind in ["volumeMounts", "volumes", "hostPath"]
	on_node(kind, part.of)
	finding := {
		"field": concat(".", [part.field, kind]),
		"msg": "mounts a path of the node, which no App may",
		"fix": "use emptyDir, a PersistentVolumeClaim, a ConfigMap or a Secret",
	}
}

# Without a cluster, or with `local`, KubeVela means the cluster that it runs in (pkg/multicluster of kubevela/pkg).
deny contains finding if {
	not unchanged
	some target in targets
	not target.cluster in reachable
	finding := {
		"field": target.field,
		"observed": sprintf("%v", [target.cluster]),
		"msg": "is another cluster, where this gate sees nothing",
		"allowed": sort([cluster | some cluster in reachable; cluster != ""]),
		"fix": "leave the cluster out, or an operator adds it to params/vela-application-scope",
	}
}

deny contains finding if {
	not unchanged
	some field in chosen
	finding := {
		"field": field,
		"msg": "chooses clusters by their labels, and may choose any of KubeVela's",
		"fix": "name the clusters, or leave them out",
	}
}

# An object goes to the cluster that its label names, before any placement (SetClusterIfEmpty in pkg/oam/auxiliary.go).
# Strings have their quotes escaped, so no string looks like a key; `~1` is the slash of a JSON patch's path. The components
# and traits of an override are parts themselves.
deny contains finding if {
	not unchanged
	some part in applications.parts
	[part.kind, part.type] != ["policy", "override"]
	text := strings.replace_n({`"app.oam.dev/cluster":"local"`: "", `"app.oam.dev/cluster":""`: ""}, json.marshal(part.of))
	regex.match(`"app\.oam\.dev/cluster":|app\.oam\.dev~1cluster`, text)
	finding := {
		"field": part.field,
		"observed": "app.oam.dev/cluster",
		"msg": "is the label by which KubeVela sends an object to another cluster, where this gate sees nothing",
		"fix": "remove the label",
	}
}

reachable := {"", "local"} | {cluster | some cluster in lists.each(listed_clusters)}

default listed_clusters := []

listed_clusters := data.params["vela-application-scope"].clusters

default allowed_policies := []

allowed_policies := data.params["vela-application-scope"].policies

unchanged if {
	input.request.operation == "UPDATE"
	input.request.object.spec == input.request.oldObject.spec
	input.request.resource.resource == "applications"
}

unchanged if {
	input.request.operation == "UPDATE"
	input.finalizerRemoval == true
}

# Where a part may name a namespace: a property, the metadata of a manifest (raw, json-merge-patch), the manifests
# of k8s-objects and their Lists, the references of ref-objects, the value of apply-object, an environment's placement.
places contains {"field": concat(".", [part.field, "namespace"]), "namespace": found} if {
	some part in applications.parts
	part.of.namespace != null
	found := part.of.namespace
}

places contains {"field": concat(".", [part.field, "targetNamespace"]), "namespace": found} if {
	some part in applications.parts
	part.of.targetNamespace != null
	found := part.of.targetNamespace
}

places contains {"field": concat(".", [part.field, "metadata.namespace"]), "namespace": found} if {
	some part in applications.parts
	part.of.metadata.namespace != null
	found := part.of.metadata.namespace
}

places contains {"field": concat(".", [part.field, "value.metadata.namespace"]), "namespace": found} if {
	some part in applications.parts
	part.of.value.metadata.namespace != null
	found := part.of.value.metadata.namespace
}

places contains {"field": concat(".", [part.field, "release.namespace"]), "namespace": found} if {
	some part in applications.parts
	part.of.release.namespace != null
	found := part.of.release.namespace
}

places contains {"field": sprintf("%s.objects[%d].namespace", [part.field, index]), "namespace": found} if {
	some part in applications.parts
	some index, one in lists.each(part.of.objects)
	one.namespace != null
	found := one.namespace
}

places contains {"field": sprintf("%s.objects[%d].metadata.namespace", [part.field, index]), "namespace": found} if {
	some part in applications.parts
	some index, one in lists.each(part.of.objects)
	one.metadata.namespace != null
	found := one.metadata.namespace
}

places contains {"field": sprintf("%s.items[%d].metadata.namespace", [part.field, index]), "namespace": found} if {
	some part in applications.parts
	some index, one in lists.each(part.of.items)
	one.metadata.namespace != null
	found := one.metadata.namespace
}

places contains {"field": sprintf("%s.envs[%d].placement.namespaceSelector.name", [part.field, index]), "namespace": found} if {
	some part in applications.parts
	some index, one in lists.each(part.of.envs)
	one.placement.namespaceSelector.name != null
	found := one.placement.namespaceSelector.name
}

places contains {"field": sprintf("%s.objects[%d].items[%d].metadata.namespace", [part.field, index, at]), "namespace": found} if {
	some part in applications.parts
	some index, one in lists.each(part.of.objects)
	some at, item in lists.each(one.items)
	item.metadata.namespace != null
	found := item.metadata.namespace
}

places contains {"field": sprintf("%s.placements[%d].namespace", [part.field, index]), "namespace": found} if {
	some part in applications.parts
	some index, one in lists.each(part.of.placements)
	one.namespace != null
	found := one.namespace
}

# Where a part may name a cluster: the topology, a step, a reference of ref-objects, an environment's placement.
targets contains {"field": sprintf("%s.clusters[%d]", [part.field, index]), "cluster": found} if {
	some part in applications.parts
	part.kind in {"policy", "step"}
	some index, found in lists.each(part.of.clusters)
}

targets contains {"field": concat(".", [part.field, "cluster"]), "cluster": found} if {
	some part in applications.parts
	part.kind == "step"
	part.of.cluster != null
	found := part.of.cluster
}

targets contains {"field": sprintf("%s.%s[%d].cluster", [part.field, key, index]), "cluster": found} if {
	some part in applications.parts
	some key in ["objects", "placements"]
	some index, one in lists.each(part.of[key])
	one.cluster != null
	found := one.cluster
}

targets contains {"field": sprintf("%s.envs[%d].placement.clusterSelector", [part.field, index]), "cluster": found} if {
	some part in applications.parts
	some index, one in lists.each(part.of.envs)
	one.placement.clusterSelector != null
	found := object.get(one.placement.clusterSelector, "name", "(by labels)")
}

chosen contains concat(".", [part.field, key]) if {
	some part in applications.parts
	part.kind in {"policy", "step"}
	some key in ["clusterLabelSelector", "clusterSelector"]
	part.of[key] != null
}

# A JSON patch may also change the object's namespace. Vela's library drops everything before the first slash, and an empty
# path replaces the whole object, so only these parts of an object may be patched.
places contains {"field": sprintf("%s.operations[%d].%s", [part.field, index, key]), "namespace": sprintf("(patch of %v)", [operation[key]])} if {
	some part in applications.parts
	some index, operation in lists.each(part.of.operations)
	some key in ["path", "from"]
	operation[key] != null
	not patchable(operation[key])
}

# Without a path Vela's library has a default.
places contains {"field": sprintf("%s.operations[%d].path", [part.field, index]), "namespace": "(patch without a path)"} if {
	some part in applications.parts
	part.type == "json-patch"
	some index, operation in lists.each(part.of.operations)
	not has_path(operation)
}

has_path(operation) if operation.path != null

patchable(path) if {
	is_string(path)
	strings.any_prefix_match(path, ["/spec/", "/data/", "/stringData/", "/metadata/labels/", "/metadata/annotations/"])
}

on_node("hostPath", part) if count(part.hostPath) > 0

on_node("volumeMounts", part) if count(part.volumeMounts.hostPath) > 0

on_node("volumes", part) if {
	some volume in lists.each(part.volumes)
	volume.type == "hostPath"
}

on_node("volumes", part) if {
	some volume in lists.each(part.volumes)
	volume.hostPath
}
