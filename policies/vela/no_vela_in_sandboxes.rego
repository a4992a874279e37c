# METADATA
# title: No Vela objects in sandboxes
# description: >-
#   Tenants can write anything into a sandbox, and Vela deploys what it reads with cluster-admin rights. So a sandbox
#   cannot have kinds of an oam.dev group, objects that Vela writes, or objects that look like Vela's, for every user,
#   administrators included. Deletion and removing finalizers are allowed, to clean up.
# custom:
#   id: no-vela-in-sandboxes
#   severity: critical
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE, CONNECT]
#       resources: ["*/*"]
#       namespaces: [sandbox]
package portcullis.no_vela_in_sandboxes

import data.portcullis.lib.request

deny contains finding if {
	endswith(input.request.resource.group, "oam.dev")
	vela_kind
	not passes
	finding := {
		"msg": sprintf("%s may not %s %s in sandbox %s: KubeVela's kinds are not allowed in a sandbox, for any user", [request.username, request.operation, request.resource, request.namespace]),
		"fix": "create an App through the platform, which makes an app namespace for it, or write plain Kubernetes objects here",
	}
}

deny contains finding if {
	input.tenancy.requester.class == "vela"
	not vela_kind
	not passes
	finding := {
		"msg": sprintf("Vela may not %s %s in sandbox %s: Vela never writes into a sandbox", [request.operation, request.resource, request.namespace]),
		"fix": "take the namespace out of the Application; it deploys into its own",
	}
}

# The system's controllers copy objects that were reviewed when they were written.
deny contains finding if {
	not copies
	not vela_kind
	some key, value in labels
	vela_made(key, value)
	not input.request.oldObject.metadata.labels[key] == value
	not passes
	finding := {
		"field": concat(".", ["metadata.labels", key]),
		"observed": sprintf("%v", [value]),
		"msg": sprintf("marks %s as made by Vela, and nothing in sandbox %s is", [request.resource, request.namespace]),
		"fix": "remove the label",
	}
}

copies if input.tenancy.requester.class in {"system", "node"}

vela_kind if input.request.resource.group == "oam.dev"

vela_kind if endswith(input.request.resource.group, ".oam.dev")

passes if input.finalizerRemoval == true

passes if request.is_namespace

passes if request.is_virtual

default labels := {}

labels := found if {
	found := input.request.object.metadata.labels
	is_object(found)
}

vela_made(key, _) if startswith(key, "app.oam.dev/")

vela_made(key, value) if {
	value == "vela"
	key == concat("/", [data.tenancy.settings.labelPrefix, "managed-by"])
}
