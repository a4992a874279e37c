# METADATA
# title: Every object carries the labels of its owner
# description: >-
#   Stamps the ids of the namespace's own tenant, project and app on whatever is written there, so that quota,
#   billing and audit find it. The object alone, not its pod template: selectors match on that. Whoever writes: a Pod
#   made by a controller belongs to the tenant as much as the Deployment that a person made.
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

# Only what differs, so that a second call and Vela's re-sync every five minutes find nothing to do.
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

# The labels of a Binding are merged into its Pod, and the scheduler is the only one to speak there.
unowned if {
	input.request.resource.resource == "bindings"
	input.request.resource.group == ""
}

# The kubelet's own picture of a static Pod: it compares the two, and would make it anew each time.
mirror if {
	input.request.resource.resource == "pods"
	input.request.object.metadata.annotations["kubernetes.io/config.mirror"]
	input.tenancy.requester.class == "node"
}

# Written by the system without pause, found through what they belong to, and not sent to the gate by the webhook
# configuration; skipping them here keeps "not sent" and "sent and judged" the same.
housekeeping if {
	input.request.resource.resource in {"endpoints", "endpointslices", "events", "leases"}
	input.tenancy.requester.class in {"system", "node"}
}
