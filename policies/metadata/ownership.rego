# METADATA
# title: Every object carries the labels of its owner
# description: >-
#   Sets the ids of the namespace's tenant, project and app on every object that is written there, for quota, billing and
#   audit. Only on the object, not on its pod template, which selectors match. For every user: a Pod that a controller
#   creates belongs to the tenant like the Deployment that a user creates.
# custom:
#   id: ownership-labels
#   severity: medium
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: ["*"]
#       namespaces: [app, sandbox]
package portcullis.ownership_labels

import data.portcullis.lib.request

merge contains {"metadata": {"labels": missing}} if {
	count(missing) > 0
	stamped_kind
}

# Only labels that differ, so that a second call and Vela's re-sync every five minutes change nothing.
missing := {key: value |
	some key, value in input.tenancy.namespace.labels
	not input.request.object.metadata.labels[key] == value
}

stamped_kind if {
	not request.is_namespace
	not request.is_virtual
	not unowned
	not housekeeping
	not mirror
}

# The labels of a Binding are merged into its Pod, and only the scheduler may set them.
unowned if {
	input.request.resource.resource == "bindings"
	input.request.resource.group == ""
}

# A mirror Pod of a static Pod: the kubelet compares the two and would recreate it each time.
mirror if {
	input.request.resource.resource == "pods"
	input.request.object.metadata.annotations["kubernetes.io/config.mirror"]
	input.tenancy.requester.class == "node"
}

# The system writes these all the time, and the webhook configuration does not send them to the gate; skipping them here
# gives the same result when they are sent.
housekeeping if {
	input.request.resource.resource in {"endpoints", "endpointslices", "events", "leases"}
	input.tenancy.requester.class in {"system", "node"}
}
