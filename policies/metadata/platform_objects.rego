# METADATA
# title: Tenants cannot change platform objects
# description: >-
#   The quotas, limits, network policies and role bindings that the platform creates in a tenant namespace have the label
#   `managed-by: platform`. A tenant cannot change or delete them, including their finalizers, status and this label.
# custom:
#   id: platform-objects
#   severity: high
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [UPDATE, DELETE]
#       resources: ["*/*"]
#       namespaces: [app, sandbox, unregistered]
package portcullis.platform_objects

import data.portcullis.lib.request

deny contains finding if {
	not trusted
	input.request.oldObject.metadata.labels[concat("/", [data.tenancy.settings.labelPrefix, "managed-by"])] == "platform"
	not request.is_namespace
	finding := {
		"msg": sprintf("%s may not %s %s in %s: this one belongs to the platform (label %s/managed-by=platform)", [request.username, request.operation, request.resource, request.namespace, data.tenancy.settings.labelPrefix]),
		"fix": "leave it as it is; to change a limit or a network rule, ask for another plan or for the rule",
	}
}

trusted if request.trusts(input.tenancy.requester.class)
