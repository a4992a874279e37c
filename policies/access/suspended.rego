# METADATA
# title: A suspended tenant changes nothing
# description: >-
#   While a tenant is suspended or being deleted, its users and service accounts cannot create, change or connect to
#   anything in its namespaces. They can delete, to clean up. The platform and the controllers are not affected.
# custom:
#   id: suspended-tenant
#   severity: high
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE, CONNECT]
#       resources: ["*/*"]
#       namespaces: [app, sandbox]
package portcullis.suspended_tenant

import data.portcullis.lib.request

deny contains finding if {
	not input.tenancy.namespace.status == "active"
	not trusted
	not permitted
	finding := {
		"msg": sprintf("%s may not %s %s in %s: tenant %s is %s, so nothing is created or changed; deleting is possible", [request.username, request.operation, request.resource, request.namespace, tenant, status]),
		"fix": "ask the platform team to reactivate the tenant",
	}
}

trusted if request.trusts(input.tenancy.requester.class)

# Removing finalizers completes a deletion, which is allowed.
permitted if input.finalizerRemoval == true

permitted if request.is_namespace

permitted if request.is_virtual

default tenant := "of this namespace"

tenant := input.tenancy.namespace.tenant

default status := "not active"

status := input.tenancy.namespace.status
