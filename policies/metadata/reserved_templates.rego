# METADATA
# title: Reserved metadata is not a tenant's to write into a template either
# description: >-
#   A controller copies a template's labels and annotations to what it makes, and controllers are trusted: so a tenant
#   sets, changes and removes no reserved key in the template of a Pod, Job or volume claim, nor in any map of labels or
#   annotations within a custom resource. Selectors are free, they never reach beyond their namespace.
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
#       namespaces: [app, sandbox]
#     - operations: [CREATE]
#       resources: [pods]
#       namespaces: [app, sandbox]
#     - operations: [CREATE, UPDATE]
#       resources: ["*"]
#       namespaces: [app, sandbox]
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

# The usual Pod has no template, and no volume that is made from one.
plain_pod if {
	template_path == ""
	input.request.resource.resource == "pods"
	not makes_claims
}

makes_claims if input.workload.spec.volumes[_].ephemeral

trusted if reserved.trusted_writer

own := input.tenancy.namespace.labels

# Where settings or parameters lack, every key counts as reserved.
reserved_key(key) := reserved.is_reserved(key) if {
	reserved.is_reserved(key)
} else := false if {
	reserved.known
} else := true

# Wherever a custom resource has labels and annotations for what its controller makes.
parts contains {"field": map.field, "entries": map.entries, "old": map.old} if some map in input.templates

# Each map of keys that a controller copies, with what it held before.
parts contains {
	"field": concat("", [template_path, ".metadata.labels"]),
	"entries": template_labels,
	"old": filled(old_template, "labels"),
} if {
	template_path != ""
}

parts contains {
	"field": concat("", [template_path, ".metadata.annotations"]),
	"entries": template_annotations,
	"old": filled(old_template, "annotations"),
} if {
	template_path != ""
}

parts contains {
	"field": concat("", ["spec.jobTemplate.metadata.", kind]),
	"entries": filled(job, kind),
	"old": filled(old_job, kind),
} if {
	input.request.resource.resource == "cronjobs"
	some kind in ["labels", "annotations"]
}

parts contains {
	"field": sprintf("spec.volumeClaimTemplates[%d].metadata.%s", [index, kind]),
	"entries": filled(claim.metadata, kind),
	"old": filled(old_claim(index), kind),
} if {
	some index, claim in lists.each(input.request.object.spec.volumeClaimTemplates)
	some kind in ["labels", "annotations"]
}

parts contains {
	"field": sprintf("volumes[%d].ephemeral.volumeClaimTemplate.metadata.%s", [index, kind]),
	"entries": filled(claim, kind),
	"old": nothing,
} if {
	some index
	claim := input.workload.spec.volumes[index].ephemeral.volumeClaimTemplate.metadata
	is_object(claim)
	some kind in ["labels", "annotations"]
}

# A claim of a volume comes with a new Pod or a new template only.
nothing := {}

default template_path := ""

template_path := input.workload.path

default template_labels := {}

template_labels := input.workload.metadata.labels if is_object(input.workload.metadata.labels)

default template_annotations := {}

template_annotations := input.workload.metadata.annotations if is_object(input.workload.metadata.annotations)

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

filled(metadata, kind) := metadata[kind] if {
	is_object(metadata[kind])
} else := {}
