# METADATA
# title: Vela writes only what belongs to the App of the namespace
# description: >-
#   vela-core has cluster-admin rights and renders any Application. In a tenant namespace it may write only objects whose
#   `app.oam.dev/namespace` is that namespace, before and after, and its own kinds; any other object belongs to an App of
#   another namespace.
# custom:
#   id: vela-own-namespace
#   severity: critical
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE, DELETE, CONNECT]
#       resources: ["*/*"]
#       namespaces: [app, sandbox]
package portcullis.vela_own_namespace

import data.portcullis.lib.lists
import data.portcullis.lib.request

deny contains finding if {
	input.tenancy.requester.class == "vela"
	not permitted
	finding := {
		"field": "metadata.labels.app.oam.dev/namespace",
		"observed": said,
		"msg": sprintf("is not %s: Vela may not %s %s there for an App of another namespace", [request.namespace, request.operation, request.resource]),
		"fix": "deploy the component into the Application's own namespace",
	}
}

permitted if {
	belongs
	belonged
}

# Vela's own kinds need no such label, but if they have one, it must be correct.
permitted if {
	own_kind
	not foreign
}

permitted if input.finalizerRemoval == true

permitted if request.is_virtual

belongs if input.request.object.metadata.labels["app.oam.dev/namespace"] == input.tenancy.namespace.name

belongs if {
	input.request.operation == "DELETE"
	belonged
}

# Vela cannot take over other objects: an update needs the label on the old object too.
belonged if input.request.operation == "CREATE"

belonged if input.request.oldObject.metadata.labels["app.oam.dev/namespace"] == input.tenancy.namespace.name

foreign if input.request.object.metadata.labels["app.oam.dev/namespace"] != input.tenancy.namespace.name

foreign if input.request.oldObject.metadata.labels["app.oam.dev/namespace"] != input.tenancy.namespace.name

own_kind if request.in_family("oam.dev")

own_kind if {
	input.request.resource.group == "apps"
	input.request.resource.resource == "controllerrevisions"
}

own_kind if {
	input.request.resource.resource == "events"
	input.request.resource.group in {"", "events.k8s.io"}
}

# The ConfigMap with a workflow's step outputs; its owner is the Application or WorkflowRun that it is named after.
own_kind if {
	input.request.resource.group == ""
	input.request.resource.resource == "configmaps"
	workflow_context
}

workflow_context if {
	input.request.operation == "DELETE"
	is_context(input.request.oldObject.metadata)
}

workflow_context if {
	input.request.operation in {"CREATE", "UPDATE"}
	is_context(input.request.object.metadata)
}

is_context(metadata) if {
	some owner in lists.each(metadata.ownerReferences)
	startswith(owner.apiVersion, "core.oam.dev/")
	owner.kind in {"Application", "WorkflowRun"}
	metadata.name == concat("", ["workflow-", owner.name, "-context"])
}

default said := "(no label)"

said := input.request.object.metadata.labels["app.oam.dev/namespace"]
