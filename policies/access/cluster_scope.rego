# METADATA
# title: Tenants and Vela write nothing cluster-wide
# description: >-
#   Cluster-scoped objects belong to the platform. Tenants may only create access reviews; vela-core, which renders
#   Applications with cluster-admin rights, may write only its own cluster-scoped kinds.
# custom:
#   id: cluster-scope
#   severity: critical
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE, DELETE, CONNECT]
#       resources: ["*/*"]
#       namespaces: [cluster]
package portcullis.cluster_scope

import data.portcullis.lib.request

deny contains finding if {
	not permitted
	finding := reason
}

# The policy applies to tenants and Vela only.
permitted if {
	input.tenancy.requester.class in {"platform", "capsule", "system", "node", "controller", "admin", "unknown"}
	named
}

# The API server sets a username for every requester, `system:anonymous` included.
named if {
	is_string(input.request.userInfo.username)
	input.request.userInfo.username != ""
}

permitted if request.is_virtual

permitted if {
	input.tenancy.requester.class == "vela"
	request.in_family("oam.dev")
}

permitted if {
	input.tenancy.requester.class == "vela"
	input.finalizerRemoval == true
}

reason := {
	"msg": sprintf("Vela may not %s %s: it writes no cluster-scoped kinds but its own on behalf of an App", [request.operation, request.resource]),
	"fix": "take the component out of the Application, or have an administrator install what it needs for the whole cluster",
} if {
	input.tenancy.requester.class == "vela"
} else := {
	"msg": sprintf("%s may not %s %s: the review does not say who asks, and unknown means untrusted", [request.username, request.operation, request.resource]),
	"fix": "send the review with the name of its requester, as the API server does",
} if {
	not named
} else := {
	"msg": sprintf("%s may not %s %s: it belongs to the whole cluster, and tenants write only inside their own namespaces", [request.username, request.operation, request.resource]),
	"fix": "use a namespaced kind in a sandbox (Role instead of ClusterRole, for example), or ask the platform team",
}
