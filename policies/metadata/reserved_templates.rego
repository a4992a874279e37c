# METADATA
# title: Tenants cannot write reserved metadata into templates
# description: >-
#   Controllers are trusted, and they copy a template's labels, annotations and finalizers to the objects that they create,
#   and for a volume claim its owners too. So a tenant cannot set, change or remove reserved metadata in the template of a
#   Pod, Job or volume claim, or anywhere in a custom resource. Selectors are not restricted.
# custom:
#   id: reserved-template-metadata
#   severity: high
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE]
#       resources:
#         - podtemplates
#         - replicationcontrollers
#         - deployments.apps
#         - replicasets.apps
#         - statefulsets.apps
#         - daemonsets.apps
#         - jobs.batch
#         - cronjobs.batch
#       namespaces: [app, sandbox, unregistered]
#     - operations: [CREATE]
#       resources: [pods]
#       namespaces: [app, sandbox, unregistered]
#     - operations: [CREATE, UPDATE]
#       resources: ["*"]
#       namespaces: [app, sandbox, unregistered]
package portcullis.reserved_template_metadata

import data.portcullis.lib.lists
import data.portcullis.lib.reserved

deny contains finding if {
	not trusted
	not plain_pod
	some part in parts
	some key, value in part.entries
	not reserved_key(key) == false
	not part.old[key] == value
	not own[key] == value
	not reserved.is_injected_as(key, value)
	finding := {
		"field": concat(".", [part.field, key]),
		"observed": sprintf("%v", [value]),
		"msg": "is reserved: tenants neither set nor change it, in a template as little as on an object",
		"fix": "remove it, or leave it as it was; the platform labels what controllers make",
	}
}

deny contains finding if {
	not trusted
	not plain_pod
	some part in parts
	some key in object.keys(part.old) - object.keys(part.entries)
	not reserved_key(key) == false
	value := part.old[key]
	finding := {
		"field": concat(".", [part.field, key]),
		"observed": sprintf("%v", [value]),
		"msg": "is reserved: tenants do not remove it, from a template as little as from an object",
		"fix": "put it back as it was",
	}
}

# The usual Pod has no template and no volume from one.
plain_pod if {
	template_path == ""
	input.request.resource.resource == "pods"
	not makes_claims
}

makes_claims if volumes[_].ephemeral

trusted if reserved.trusted_writer

own := input.tenancy.namespace.labels

# Without settings or parameters, every key counts as reserved.
reserved_key(key) := reserved.is_reserved(key) if {
	reserved.is_reserved(key)
} else := false if {
	reserved.known
} else := true

# Metadata anywhere in a custom resource, for the objects that its controller creates.
parts contains {"field": map.field, "entries": map.entries, "old": map.old} if some map in input.templates

# What a controller copies from each template, with the old value.
parts contains {"field": concat(".", [place.field, kind]), "entries": filled(place.now, kind), "old": filled(place.before, kind)} if {
	some place in places
	some kind in ["labels", "annotations", "finalizers", "ownerReferences"]
}

places contains {"field": concat("", [template_path, ".metadata"]), "now": template, "before": old_template} if {
	template_path != ""
}

places contains {"field": "spec.jobTemplate.metadata", "now": job, "before": old_job} if {
	input.request.resource.resource == "cronjobs"
}

places contains {"field": sprintf("spec.volumeClaimTemplates[%d].metadata", [index]), "now": metadata, "before": old_claim(index)} if {
	some index, claim in lists.each(input.request.object.spec.volumeClaimTemplates)
	is_object(claim.metadata)
	metadata := claim.metadata
}

places contains {"field": claim_field(index), "now": claim, "before": old_volume_claim(volume.name)} if {
	some index, volume in volumes
	claim := volume.ephemeral.volumeClaimTemplate.metadata
	is_object(claim)
}

# Removing a volume, or its metadata, removes its claim's metadata too.
places contains {"field": claim_field(index), "now": {}, "before": claim} if {
	some index, volume in old_volumes
	claim := volume.ephemeral.volumeClaimTemplate.metadata
	is_object(claim)
	not volume.name in claiming
}

claiming := {volume.name | some volume in volumes; is_object(volume.ephemeral.volumeClaimTemplate.metadata)}

claim_field(index) := sprintf("volumes[%d].ephemeral.volumeClaimTemplate.metadata", [index])

default volumes := []

volumes := lists.each(input.workload.spec.volumes) if input.workload.spec.volumes

# By name, because a volume may move within the list.
old_volume_claim(name) := found[0] if {
	found := [claim |
		some volume in old_volumes
		volume.name == name
		claim := volume.ephemeral.volumeClaimTemplate.metadata
		is_object(claim)
	]
	count(found) > 0
} else := {}

default old_volumes := []

old_volumes := lists.each(input.request.oldObject.spec.template.spec.volumes) if {
	template_path == "spec.template"
	input.request.oldObject.spec.template.spec.volumes
} else := lists.each(input.request.oldObject.spec.jobTemplate.spec.template.spec.volumes) if {
	template_path == "spec.jobTemplate.spec.template"
	input.request.oldObject.spec.jobTemplate.spec.template.spec.volumes
} else := lists.each(input.request.oldObject.template.spec.volumes) if {
	template_path == "template"
	input.request.oldObject.template.spec.volumes
} else := lists.each(input.request.oldObject.spec.volumes) if {
	input.request.resource.resource == "pods"
	input.request.oldObject.spec.volumes
}

default template_path := ""

template_path := input.workload.path

default template := {}

template := input.workload.metadata if is_object(input.workload.metadata)

default old_template := {}

old_template := input.request.oldObject.spec.template.metadata if {
	template_path == "spec.template"
	input.request.oldObject.spec.template.metadata
} else := input.request.oldObject.spec.jobTemplate.spec.template.metadata if {
	template_path == "spec.jobTemplate.spec.template"
	input.request.oldObject.spec.jobTemplate.spec.template.metadata
} else := input.request.oldObject.template.metadata if {
	template_path == "template"
	input.request.oldObject.template.metadata
}

default job := {}

job := input.request.object.spec.jobTemplate.metadata

default old_job := {}

old_job := input.request.oldObject.spec.jobTemplate.metadata

old_claim(index) := input.request.oldObject.spec.volumeClaimTemplates[index].metadata if {
	input.request.oldObject.spec.volumeClaimTemplates[index].metadata
} else := {}

# One part of the metadata as a map; its keys may be reserved.
filled(metadata, kind) := metadata[kind] if {
	is_object(metadata[kind])
} else := object.union_n([{name: ""} | some name in metadata.finalizers; is_string(name)]) if {
	kind == "finalizers"
	is_array(metadata.finalizers)
} else := object.union_n([{named(owner): ""} | some owner in metadata.ownerReferences; is_object(owner)]) if {
	kind == "ownerReferences"
	is_array(metadata.ownerReferences)
} else := {}

# It starts with the apiVersion, by which an owner is reserved.
named(owner) := trim_right(concat(" ", [sprintf("%v", [object.get(owner, key, "")]) | some key in ["apiVersion", "kind", "name", "uid"]]), " ")
