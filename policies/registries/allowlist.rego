# METADATA
# title: Images come from allowed registries
# description: >-
#   For every user, each image of a workload must be a well-formed reference inside the platform's ceiling and in the
#   tenant's own list or the platform's. A tenant without a list cannot run any image. New and changed images are denied;
#   existing images that would be denied cause a warning. Deletion and status are not checked. The images that components
#   of a KubeVela Application name are checked early; the Pods that run are checked again.
# custom:
#   id: registry-allowlist
#   severity: critical
#   mode: enforce
#   on_error: deny
#   params_schema:
#     type: object
#     properties:
#       placeholders: {type: array, items: {type: string}, combine: intersect}
#     additionalProperties: false
#   match:
#     - operations: [CREATE, UPDATE]
#       resources:
#         - pods
#         - pods/ephemeralcontainers
#         - podtemplates
#         - replicationcontrollers
#         - deployments.apps
#         - replicasets.apps
#         - statefulsets.apps
#         - daemonsets.apps
#         - jobs.batch
#         - cronjobs.batch
#         - applications.core.oam.dev
#       namespaces: [app, sandbox, unregistered]
package portcullis.registry_allowlist

import data.portcullis.lib.request

deny contains finding if {
	not all_admitted
	some image in array.slice(refused, 0, 500)
	finding := named(refusal(image), image)
}

# A denial shows twenty. Composing thousands of messages would exceed the policy's budget.
deny contains finding if {
	not all_admitted
	count(refused) > 500
	finding := {"msg": sprintf("%d more images are not admitted", [count(refused) - 500]), "fix": "fix those that are named first"}
}

refused := [image |
	some image in input.images
	not image.path in admitted
	not image.changed == false
]

deny contains finding if {
	not input.images
	finding := {"msg": sprintf("the images of %s could not be read, and what cannot be read is not admitted", [request.resource]), "fix": "check the pod template's shape"}
}

deny contains finding if {
	not all_admitted
	some image in input.images
	not readable(image)
	finding := {"msg": sprintf("an image of %s could not be read, and what cannot be read is not admitted", [request.resource]), "fix": "check the pod template's shape"}
}

# A finding with an undefined message would be undefined and not deny.
readable(image) if {
	is_string(image.path)
	is_string(image.raw)
	is_string(image.reason)
	is_string(image.registry)
}

# An image that was allowed before the lists changed stays allowed until it is changed.
warn contains message if {
	input.request.operation == "UPDATE"
	not all_admitted
	some image in input.images
	not image.path in admitted
	image.changed == false
	message := {
		"field": image.path,
		"observed": image.raw,
		"msg": "was there before and would be denied today",
	}
}

# Paths are unique, so a set of the same length is complete.
all_admitted if count(admitted) == count(input.images)

admitted contains image.path if {
	some image in input.images
	image.ok == true
	image.entries.ceiling != ""
	listed(image)
}

# Placeholders that an injector replaces in each Pod, such as `auto` of Istio's gateways. In a Pod they are image names.
admitted contains image.path if {
	input.request.resource.resource != "pods"
	some image in input.images
	image.raw in data.params["registry-allowlist"].placeholders
}

# The gate looks each image up, because a loop over long lists for each of many images would not end in time.
# The tenant's own list may be empty; then only the platform's applies.
listed(image) if {
	is_array(policy)
	image.entries.platform != ""
}

listed(image) if {
	is_array(policy)
	image.entries.tenant != ""
}

# The whole ceiling.
listed(image) if policy == "inherit"

has_policy if is_array(policy)

has_policy if policy == "inherit"

policy := data.tenancy.tenants[input.tenancy.namespace.tenant].registries

# The author of an Application knows its components by name.
named(finding, image) := object.union(finding, {"msg": sprintf("of component %s %s", [image.container, finding.msg])}) if {
	image.list == "components"
} else := finding

# The reasons, in the order in which a user can fix them.
refusal(image) := {
	"field": image.path,
	"observed": image.raw,
	"msg": sprintf("is not a usable image reference (%s)", [image.reason]),
	"fix": "write it as registry/repository:tag or registry/repository@sha256:…, in lower case",
} if {
	not image.ok == true
	image.reason != ""
} else := {
	"field": image.path,
	"observed": image.raw,
	"msg": "is in a namespace that is not registered with the platform, which therefore has no registry policy",
	"fix": "if the namespace was created a moment ago, try again shortly",
} if {
	not input.tenancy.namespace.tenant
} else := {
	"field": image.path,
	"observed": image.raw,
	"msg": sprintf("is refused: no registry policy for tenant %s, so it may run no image at all", [input.tenancy.namespace.tenant]),
	"fix": "ask an administrator of the platform to give the tenant a list of registries",
} if {
	not has_policy
} else := {
	"field": image.path,
	"observed": image.raw,
	"msg": sprintf("is not in an allowed registry (`%s` is a registry with a port, so this has no tag and means latest)", [image.registry]),
	"allowed": allowed,
	"fix": "push the image to an allowed registry, or have it added to the tenant's list",
} if {
	image.tagDefaulted == true
	contains(image.registry, ":")
} else := {
	"field": image.path,
	"observed": image.raw,
	"msg": "is not in an allowed registry",
	"allowed": allowed,
	"fix": "push the image to an allowed registry, or have it added to the tenant's list",
} if {
	image.raw != ""
} else := {
	"msg": "an image is empty or could not be read",
	"fix": "write it as registry/repository:tag or registry/repository@sha256:…, in lower case",
}

default allowed := []

# What this tenant may use, sorted; never the lists of other tenants.
allowed := sort({entry | some entry in data.tenancy.settings.registries.platform} | {entry | some entry in policy}) if {
	is_array(policy)
} else := sort(data.tenancy.settings.registries.ceiling) if {
	policy == "inherit"
}
