# METADATA
# title: Only its own tenant writes into a sandbox
# description: >-
#   A tenant may write anything into its own sandbox, also from its other sandboxes. An expired sandbox is read-only until
#   the platform removes it. The manager and Capsule write the few kinds that set up a namespace (params), configured
#   controllers the kinds that their `writes` name, and the system's controllers anything. Other tenants, unknown
#   requesters and Vela write nothing.
# custom:
#   id: sandbox-writers
#   severity: high
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE, DELETE, CONNECT]
#       resources: ["*/*"]
#       namespaces: [sandbox]
package portcullis.sandbox_writers

import data.portcullis.lib.request

deny contains finding if {
	not permitted
	finding := reason
}

permitted if {
	own
	not expired
}

own if {
	input.tenancy.namespace.tenant in input.tenancy.requester.tenants
	input.tenancy.requester.class == "tenant"
}

expired if input.tenancy.namespace.expired == true

permitted if input.tenancy.requester.class in {"system", "node", "admin"}

# Vela may delete what it created before the namespace became a sandbox.
permitted if {
	input.tenancy.requester.class == "vela"
	input.request.operation == "DELETE"
}

permitted if {
	input.tenancy.requester.class == "platform"
	input.tenancy.requester.createsNamespaces == true
	request.covered_by(data.params["sandbox-writers"].platform)
}

permitted if {
	input.tenancy.requester.class == "capsule"
	request.covered_by(data.params["sandbox-writers"].capsule)
}

permitted if {
	input.tenancy.requester.class == "controller"
	input.tenancy.requester.writes == true
	not request.by_name
}

# A Binding assigns a Pod to a node.
permitted if {
	input.tenancy.requester.class == "controller"
	input.tenancy.requester.writesByName == true
}

# The owner of a finalizer must be able to remove it, or the namespace is never deleted.
permitted if {
	input.finalizerRemoval == true
	input.tenancy.requester.class in {"platform", "capsule", "controller", "vela"}
}

permitted if {
	own
	input.finalizerRemoval == true
	input.tenancy.requester.serviceAccountNamespace == input.tenancy.namespace.name
}

permitted if request.is_namespace

permitted if request.is_virtual

reason := {
	"msg": sprintf("%s may not %s %s in sandbox %s: it has expired and is being removed, so it can only be read", [request.username, request.operation, request.resource, request.namespace]),
	"fix": "make a new sandbox and copy into it what is still needed",
} if {
	own
} else := {
	"msg": sprintf("%s may not %s %s in sandbox %s: it belongs to another tenant", [request.username, request.operation, request.resource, request.namespace]),
	"fix": "use a namespace of your own tenant; a tenant never writes into another's sandbox",
} if {
	input.tenancy.requester.class == "tenant"
} else := {
	"msg": sprintf("%s may not %s %s in sandbox %s: controllers write only the kinds that their setting names", [request.username, request.operation, request.resource, request.namespace]),
	"fix": sprintf("an operator adds `%s` to `writes` of `%s` in settings.identities", [request.resource, request.identity]),
} if {
	input.tenancy.requester.class == "controller"
} else := {
	"msg": sprintf("%s may not %s %s in sandbox %s: sandboxes are their tenant's, the platform itself writes only RBAC, quota, limits, network policies and service accounts there", [request.username, request.operation, request.resource, request.namespace]),
	"fix": "let the tenant write it, or use an app namespace; the kinds are listed in params/sandbox-writers",
} if {
	input.tenancy.requester.class in {"platform", "capsule"}
} else := {
	"msg": sprintf("Vela may not %s %s in sandbox %s: Vela never writes into a sandbox", [request.operation, request.resource, request.namespace]),
	"fix": "take the namespace out of the Application; it deploys into its own",
} if {
	input.tenancy.requester.class == "vela"
} else := {
	"msg": sprintf("%s may not %s %s in sandbox %s: the requester is not known to the platform, and unknown means untrusted", [request.username, request.operation, request.resource, request.namespace]),
	"fix": sprintf("if it is a controller of the cluster, an operator adds it to settings.identities with class controller and writes [%s]; if it is a person, check the groups of the tenant", [request.resource]),
}
