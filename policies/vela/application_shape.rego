# METADATA
# title: An Application uses only known types, keys and properties
# description: >-
#   KubeVela ignores the case of keys, and its definitions decide what a type means. So the types of components and traits
#   must be on lists (params), keys that other policies read must have their exact spelling, policies and steps can have
#   known properties only, an input cannot set a namespace or a manifest, a manifest cannot come from a URL or contain a
#   definition, and a volume cannot be a path of the node at any depth. Unchanged parts are allowed.
# custom:
#   id: vela-application-shape
#   severity: critical
#   mode: enforce
#   on_error: deny
#   params_schema:
#     type: object
#     properties:
#       components: {type: array, items: {type: string}, combine: intersect}
#       traits: {type: array, items: {type: string}, combine: intersect}
#     required: [components, traits]
#     additionalProperties: false
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: [applications.core.oam.dev, policies.core.oam.dev, workflows.core.oam.dev, workflowruns.core.oam.dev]
#       namespaces: [app, sandbox, unregistered]
package portcullis.vela_application_shape

import data.portcullis.lib.applications
import data.portcullis.lib.lists

deny contains finding if {
	not unchanged
	some finding in findings
}

unchanged if {
	input.request.operation == "UPDATE"
	input.request.object.spec == input.request.oldObject.spec
	input.request.resource.resource == "applications"
}

unchanged if {
	input.request.operation == "UPDATE"
	input.finalizerRemoval == true
}

# A definition in the App's namespace overrides KubeVela's; vela-definitions denies those, so a type's name identifies it.
findings contains finding if {
	some component in typed
	not component.type in known_components
	finding := {
		"field": concat(".", [component.field, "type"]),
		"observed": component.type,
		"msg": "is not a type of component that Applications may use",
		"allowed": known_components,
		"fix": "use another type, or an operator adds it to params/vela-application-shape",
	}
}

findings contains finding if {
	some trait in applications.traits
	not trait.type in known_traits
	finding := {
		"field": concat(".", [trait.field, "type"]),
		"observed": trait.type,
		"msg": "is not a type of trait that Applications may use",
		"allowed": known_traits,
		"fix": "leave the trait out, or an operator adds it to params/vela-application-shape",
	}
}

typed contains component if some component in applications.components

typed contains component if {
	some component in applications.overridden
	component.of.type
}

default known := {"components": [], "traits": []}

known := data.params["vela-application-shape"]

# A missing list is empty, so everything is refused.
known_components := object.get(known, "components", [])

known_traits := object.get(known, "traits", [])

# Keys in the spelling that the policies read. Go ignores their case, and folds `ſ` to `s` and `K` to `k`.
spelling := {
	"components": "components", "policies": "policies", "workflow": "workflow", "steps": "steps",
	"substeps": "subSteps", "name": "name", "type": "type", "properties": "properties", "traits": "traits",
	"inputs": "inputs", "outputs": "outputs", "parameterkey": "parameterKey", "namespace": "namespace",
	"targetnamespace": "targetNamespace", "metadata": "metadata", "value": "value", "release": "release",
	"objects": "objects", "items": "items", "envs": "envs", "placement": "placement",
	"namespaceselector": "namespaceSelector", "operations": "operations", "path": "path", "from": "from",
	"hostpath": "hostPath", "volumes": "volumes", "volumemounts": "volumeMounts", "urls": "urls",
	"apiversion": "apiVersion", "kind": "kind", "image": "image", "ref": "ref", "cluster": "cluster",
	"clusters": "clusters", "clusterselector": "clusterSelector", "clusterlabelselector": "clusterLabelSelector",
	"placements": "placements", "workflowspec": "workflowSpec", "resource": "resource", "group": "group", "spec": "spec",
}

findings contains finding if {
	some level in levels
	is_object(level.of)
	some key, _ in level.of
	word := spelling[lower(upper(key))]
	word != key
	finding := {
		"field": concat(".", [level.field, key]),
		"observed": key,
		"msg": sprintf("is read by KubeVela as `%s`, and would be looked at by no policy", [word]),
		"fix": sprintf("write it `%s`", [word]),
	}
}

# The known properties of policies and steps. A type that an operator adds may have any.
properties_of := {
	"policy": {
		"apply-once": {"enable", "rules"},
		"garbage-collect": {"applicationRevisionLimit", "keepLegacyResource", "continueOnFailure", "rules"},
		"override": {"components", "selector"},
		"read-only": {"rules"},
		"replication": {"keys", "selector"},
		"resource-update": {"rules"},
		"topology": {"clusters", "clusterLabelSelector", "clusterSelector", "allowEmpty", "namespace"},
	},
	"step": {
		"deploy": {"auto", "policies", "parallelism", "ignoreTerraformComponent"},
		"suspend": {"duration", "message"},
		"step-group": set(),
		"print-message-in-status": {"message"},
		"depends-on-app": {"name", "namespace"},
	},
}

findings contains finding if {
	some part in applications.parts
	names := properties_of[part.kind][part.type]
	is_object(part.of)
	some key, _ in part.of
	not key in names
	finding := {
		"field": concat(".", [part.field, key]),
		"observed": key,
		"msg": sprintf("is not a property of %s", [part.type]),
		"allowed": sort(names),
		"fix": "leave it out",
	}
}

# An input is set when the workflow runs, after the review.
findings contains finding if {
	some entry in applications.inputs
	some key in [filled(entry.of)]
	not harmless(key)
	finding := {
		"field": concat(".", [entry.field, "parameterKey"]),
		"observed": sprintf("%v", [key]),
		"msg": "would be filled in after the review, and may name a namespace or hold manifests",
		"fix": "write the value out, or fill in another property",
	}
}

# The properties of these are manifests, and a value may be a whole Pod: no review sees it before KubeVela writes it.
findings contains finding if {
	some component in applications.all_components
	component.type in {"k8s-objects", "raw", "ref-objects", "helmchart"}
	some index, _ in lists.each(component.of.inputs)
	finding := {
		"field": sprintf("%s.inputs[%d]", [component.field, index]),
		"observed": component.type,
		"msg": "would fill in a manifest after the review, which judges it as it stands",
		"fix": "write the value out",
	}
}

filled(entry) := entry.parameterKey if {
	is_object(entry)
	entry.parameterKey != null
} else := ""

harmless(key) if key == ""

harmless(key) if {
	is_string(key)
	regex.match(`^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+|\[[0-9]+\])*\z`, key)
	not strings.any_prefix_match(lower(key), filling)
	not regex.split(`[.\[]`, lower(key))[0] in {"spec", "template", "data", "chart", "options"}
	not contains(lower(key), "namespace")
	not contains(lower(key), "hostpath")
}

filling := [
	"metadata", "value", "release", "objects", "items", "envs", "operations", "components", "policies", "url", "kind",
	"apiversion", "volumes", "volumemounts", "cluster", "properties", "traits", "labels", "annotations",
]

findings contains finding if {
	some part in applications.parts
	part.of.urls
	finding := {
		"field": concat(".", [part.field, "urls"]),
		"msg": "loads manifests from elsewhere, which no review sees",
		"fix": "write the objects out",
	}
}

findings contains finding if {
	some manifests in [tops, within]
	some one in manifests
	is_string(one.of.apiVersion)
	regex.match(`(^|\.)oam\.dev/`, lower(one.of.apiVersion))
	finding := {
		"field": concat(".", [one.field, "apiVersion"]),
		"observed": one.of.apiVersion,
		"msg": "is a kind of KubeVela's own, which no Application brings along",
		"fix": "leave the object out",
	}
}

# A reference of ref-objects needs neither apiVersion nor group, and names a resource in the singular or in the plural.
findings contains finding if {
	some one in tops
	one.listed
	is_string(one.of.resource)
	split(lower(upper(one.of.resource)), ".")[0] in own_resources
	not foreign(one.of)
	finding := {
		"field": concat(".", [one.field, "resource"]),
		"observed": one.of.resource,
		"msg": "is a kind of KubeVela's own, which no Application brings along",
		"fix": "leave the reference out",
	}
}

own_resources := {name | some singular, plural in named; some name in [singular, plural]}

named := {
	"application": "applications", "applicationrevision": "applicationrevisions", "policy": "policies",
	"componentdefinition": "componentdefinitions", "definitionrevision": "definitionrevisions", "package": "packages",
	"policydefinition": "policydefinitions", "resourcetracker": "resourcetrackers", "scopedefinition": "scopedefinitions",
	"traitdefinition": "traitdefinitions", "workflow": "workflows", "workflowrun": "workflowruns",
	"workflowstepdefinition": "workflowstepdefinitions", "workloaddefinition": "workloaddefinitions",
	"virtualcluster": "virtualclusters", "clustergateway": "clustergateways",
}

# The API server's mapper takes a group by its beginning: `core` is `core.oam.dev`.
foreign(reference) if {
	is_string(reference.group)
	group := lower(upper(reference.group))
	not endswith(concat("", [".", group]), ".oam.dev")
	not strings.any_prefix_match(["core.oam.dev", "cue.oam.dev", "cluster.core.oam.dev", "prism.oam.dev", "oam.dev"], group)
}

# Any of these may be a manifest, for every type: the properties, the objects next to them, the value of a step.
tops contains {"field": part.field, "listed": false, "of": part.of} if some part in applications.parts

tops contains {"field": sprintf("%s.objects[%d]", [part.field, index]), "listed": true, "of": one} if {
	some part in applications.parts
	some index, one in lists.each(part.of.objects)
}

tops contains {"field": concat(".", [part.field, "value"]), "listed": false, "of": found} if {
	some part in applications.parts
	part.of.value
	found := part.of.value
}

within contains {"field": sprintf("%s.items[%d]", [one.field, index]), "of": item} if {
	some one in tops
	some index, item in lists.each(one.of.items)
}

# No policy looks further down than the items of a list. KubeVela 1.11.0 applies no list at all (kind List is no resource).
findings contains finding if {
	some one in within
	one.of.items != null
	finding := {
		"field": concat(".", [one.field, "items"]),
		"msg": "is a list within a list, which no policy looks into",
		"fix": "write its objects out one by one",
	}
}

# Where policies expect a list, by type; without a type (in an override) it may be any.
lists_in := {
	"component": {"": {"objects", "urls", "items"}, "k8s-objects": {"objects"}, "ref-objects": {"objects", "urls"}, "raw": {"items"}},
	"trait": {"json-patch": {"operations"}, "json-merge-patch": {"items"}},
	"policy": {"override": {"components"}},
}

listed contains {"field": concat(".", [part.field, key]), "of": found} if {
	some part in applications.parts
	some key in lists_in[part.kind][part.type]
	part.of[key] != null
	found := part.of[key]
}

listed contains {"field": concat(".", [component.field, key]), "of": found} if {
	some component in applications.all_components
	some key in ["traits", "inputs"]
	component.of[key] != null
	found := component.of[key]
}

listed contains {"field": concat(".", [at.field, key]), "of": found} if {
	some at in applications.all_steps
	some key in ["subSteps", "inputs"]
	at.of[key] != null
	found := at.of[key]
}

listed contains {"field": concat(".", [one.field, "items"]), "of": found} if {
	some one in tops
	one.listed
	one.of.items != null
	found := one.of.items
}

listed contains {"field": concat(".", [part.field, "volumes"]), "of": found} if {
	some part in applications.parts
	part.kind in {"component", "trait"}
	part.of.volumes != null
	found := part.of.volumes
}

listed contains {"field": concat(".", [part.field, key]), "of": found} if {
	some part in applications.parts
	part.kind in {"policy", "step"}
	some key in ["clusters", "envs", "placements"]
	part.of[key] != null
	found := part.of[key]
}

listed contains {"field": concat(".", ["spec", key]), "of": found} if {
	some key in ["components", "policies"]
	input.request.object.spec[key] != null
	found := input.request.object.spec[key]
}

listed contains {"field": sprintf("spec.%s.steps", [key]), "of": found} if {
	some key in ["workflow", "workflowSpec"]
	input.request.object.spec[key].steps != null
	found := input.request.object.spec[key].steps
}

listed contains {"field": "steps", "of": found} if {
	input.request.object.steps != null
	found := input.request.object.steps
}

# Where policies expect an object.
mapped contains {"field": "spec", "of": found} if {
	input.request.object.spec != null
	found := input.request.object.spec
}

mapped contains {"field": concat(".", ["spec", key]), "of": found} if {
	some key in ["workflow", "workflowSpec"]
	input.request.object.spec[key] != null
	found := input.request.object.spec[key]
}

mapped contains {"field": part.field, "of": part.of} if {
	some part in applications.parts
	not is_object(part.of)
}

mapped contains {"field": concat(".", [one.field, "metadata"]), "of": found} if {
	some manifests in [tops, within]
	some one in manifests
	one.of.metadata != null
	not is_object(one.of.metadata)
	found := one.of.metadata
}

mapped contains {"field": sprintf("%s.envs[%d].placement", [part.field, index]), "of": found} if {
	some part in applications.parts
	some index, one in lists.each(part.of.envs)
	one.placement != null
	found := one.placement
}

findings contains finding if {
	some one in mapped
	not is_object(one.of)
	finding := {
		"field": one.field,
		"msg": "is no object, and policies look for one",
		"fix": "write an object",
	}
}

findings contains finding if {
	some list in listed
	not is_array(list.of)
	finding := {
		"field": list.field,
		"msg": "is no list, and policies look for one",
		"fix": "write a list",
	}
}

findings contains finding if {
	some list in listed
	some index, one in lists.each(list.of)
	not is_object(one)
	not regex.match(`\.(urls|clusters|volumes)\z`, list.field)
	finding := {
		"field": sprintf("%s[%d]", [list.field, index]),
		"msg": "is no object, and policies look for one",
		"fix": "write an object",
	}
}

# At any depth, in a manifest or a patch. Strings have their quotes escaped, so no string looks like a key.
findings contains finding if {
	some part in applications.parts
	text := lower(upper(json.marshal(part.of)))
	on_node(text)
	finding := {
		"field": part.field,
		"msg": "mounts a path of the node, which no App may",
		"fix": "use emptyDir, a PersistentVolumeClaim, a ConfigMap or a Secret",
	}
}

on_node(text) if contains(text, `"hostpath":{`)

on_node(text) if contains(text, `"hostpath":[{`)

on_node(text) if regex.match(`"path":"[^"]*/hostpath`, text)

# Vela may write these, and what comes of a ControllerRevision (Pods, in any namespace) or of a Binding no review shows.
# However deep and in whatever case: a manifest, a patch, or a reference to an object that is there.
findings contains finding if {
	not input.tenancy.requester.class == "admin"
	some part in applications.parts
	found := regex.find_n(of_controllers, lower(upper(json.marshal(part.of))), 1)
	count(found) > 0
	finding := {
		"field": part.field,
		"observed": found[0],
		"msg": "is of a kind that only controllers write, which no Application brings along",
		"fix": "leave the object out",
	}
}

of_controllers := `"(kind|resource)":"(controllerrevision|binding|csistoragecapacit(y|ie)|leasecandidate|podcertificaterequest)(s|list)?[".]`

# Every path where the policies read a key.
levels contains {"field": "spec", "of": found} if {
	input.request.object.spec
	found := input.request.object.spec
}

levels contains {"field": concat(".", ["spec", key]), "of": found} if {
	some key in ["workflow", "workflowSpec"]
	input.request.object.spec[key]
	found := input.request.object.spec[key]
}

levels contains {"field": "(object)", "of": {key: true | some key, _ in found}} if {
	found := input.request.object
	is_object(found)
}

levels contains level if some level in applications.all_components

levels contains level if some level in applications.traits

levels contains level if some level in applications.all_steps

levels contains level if some level in applications.inputs

levels contains {"field": sprintf("spec.policies[%d]", [index]), "of": found} if {
	some index, found in lists.each(input.request.object.spec.policies)
}

levels contains {"field": part.field, "of": part.of} if some part in applications.parts

levels contains {"field": concat(".", [part.field, key]), "of": found} if {
	some part in applications.parts
	some key in ["metadata", "value", "release", "volumeMounts"]
	part.of[key]
	found := part.of[key]
}

levels contains {"field": concat(".", [part.field, "value.metadata"]), "of": found} if {
	some part in applications.parts
	part.of.value.metadata
	found := part.of.value.metadata
}

levels contains {"field": sprintf("%s.%s[%d]", [part.field, key, index]), "of": found} if {
	some part in applications.parts
	some key in ["objects", "items", "envs", "operations", "volumes", "placements"]
	some index, found in lists.each(part.of[key])
}

levels contains {"field": sprintf("%s.%s[%d].%s", [part.field, key, index, below]), "of": found} if {
	some part in applications.parts
	some key in ["objects", "items", "envs"]
	some index, one in lists.each(part.of[key])
	some below in ["metadata", "placement"]
	one[below]
	found := one[below]
}

levels contains {"field": sprintf("%s.envs[%d].placement.%s", [part.field, index, below]), "of": found} if {
	some part in applications.parts
	some index, one in lists.each(part.of.envs)
	some below in ["namespaceSelector", "clusterSelector"]
	one.placement[below]
	found := one.placement[below]
}

levels contains {"field": sprintf("%s.objects[%d].items[%d]", [part.field, index, at]), "of": found} if {
	some part in applications.parts
	some index, one in lists.each(part.of.objects)
	some at, found in lists.each(one.items)
}

levels contains {"field": sprintf("%s.objects[%d].items[%d].metadata", [part.field, index, at]), "of": found} if {
	some part in applications.parts
	some index, one in lists.each(part.of.objects)
	some at, item in lists.each(one.items)
	item.metadata
	found := item.metadata
}
