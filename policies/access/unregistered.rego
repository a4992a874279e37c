# METADATA
# title: Nothing is written into a namespace that the ledger does not know
# description: >-
#   A namespace with a tenant's name prefix that is not in the snapshot is either new or being removed. Identities that
#   create namespaces may write there, and the system controllers and nodes, so that it does not stay Terminating; other
#   requesters get the answer to try again shortly. Labels do not matter.
# custom:
#   id: unregistered-namespace
#   severity: high
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE, DELETE, CONNECT]
#       resources: ["*/*"]
#       namespaces: [unregistered]
package portcullis.unregistered_namespace

import data.portcullis.lib.request

deny contains finding if {
	not permitted
	finding := {
		"msg": sprintf("%s may not %s %s: namespace %s is not registered with the platform, or not yet", [request.username, request.operation, request.resource, request.namespace]),
		"fix": "if it was created a moment ago, try again shortly; otherwise create the App or sandbox through the platform, which makes its namespace",
	}
}

permitted if input.tenancy.requester.class in {"system", "node", "admin"}

permitted if input.tenancy.requester.createsNamespaces == true

permitted if {
	input.finalizerRemoval == true
	input.tenancy.requester.class in {"platform", "vela", "capsule", "controller"}
}

# Operators must be able to remove their finalizers, or the namespace stays Terminating.
permitted if {
	input.finalizerRemoval == true
	input.tenancy.requester.class == "tenant"
	input.tenancy.requester.serviceAccountNamespace == input.tenancy.namespace.name
}

permitted if request.is_namespace

permitted if request.is_virtual
