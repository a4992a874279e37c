# METADATA
# title: Capsule's replicating resources are not for tenants
# description: >-
#   A TenantResource makes Capsule write objects elsewhere, with Capsule's rights (CVE-2026-22872, CVE-2026-65835).
#   Tenants cannot create or change one; they can delete it. cluster-scope denies the cluster-wide kind.
# custom:
#   id: capsule-kinds
#   severity: critical
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: ["*.capsule.clastix.io", "*.capsule.clastix.io/*", "*.projectcapsule.dev", "*.projectcapsule.dev/*"]
#       namespaces: [app, sandbox, unregistered]
package portcullis.capsule_kinds

import data.portcullis.lib.request

deny contains finding if {
	not permitted
	not input.finalizerRemoval == true
	finding := {
		"msg": sprintf("%s may not %s %s: Capsule would act on it with rights that the requester does not have", [request.username, request.operation, request.resource]),
		"fix": "write the objects themselves into your sandbox",
	}
}

permitted if input.tenancy.requester.class in {"platform", "capsule", "system", "admin"}

# A ResourcePoolClaim is the only kind of Capsule that is meant for tenants.
permitted if input.request.resource.resource == "resourcepoolclaims"
