# METADATA
# title: App namespaces are read-only for tenants
# description: >-
#   Only the platform, the delegated controllers, the system controllers and configured controllers write into an app
#   namespace. Its tenant may read, exec and attach; its service accounts write what settings.workloadWrites lists.
#   Everything else is denied, unknown kinds and subresources included. vela-own-namespace checks what Vela writes.
# custom:
#   id: app-namespace-read-only
#   severity: high
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE, DELETE, CONNECT]
#       resources: ["*/*"]
#       namespaces: [app]
package portcullis.app_namespace_read_only

import data.portcullis.lib.request

deny contains finding if {
	not permitted
	finding := reason
}

permitted if input.tenancy.requester.class in {"system", "vela", "platform", "node", "admin"}

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

permitted if {
	input.tenancy.requester.class == "capsule"
	request.covered_by(data.params["app-namespace-read-only"].capsule)
}

# The owner of a finalizer must be able to remove it, or the object is never deleted.
permitted if {
	input.finalizerRemoval == true
	input.tenancy.requester.class in {"capsule", "controller"}
}

permitted if {
	input.request.operation == "CONNECT"
	own_tenant
	connect_allowed
}

permitted if {
	input.tenancy.requester.class == "tenant"
	own_workload
	input.request.operation in {"CREATE", "UPDATE", "DELETE"}
	request.covered_by(data.tenancy.settings.workloadWrites)
}

permitted if request.is_namespace

permitted if request.is_virtual

own_tenant if {
	input.tenancy.requester.class == "tenant"
	input.tenancy.namespace.tenant in input.tenancy.requester.tenants
}

# A service account of this namespace, not of another namespace of the tenant.
own_workload if {
	input.tenancy.requester.serviceAccountNamespace != ""
	input.tenancy.requester.serviceAccountNamespace == input.tenancy.namespace.name
}

connect_allowed if {
	input.request.resource.group == ""
	input.request.resource.resource in {"pods", "services"}
	data.tenancy.settings.connect[input.request.subResource] == true
	input.request.subResource in {"exec", "attach", "portforward", "proxy"}
}

reason := {
	"msg": sprintf("%s may not open %s in app namespace %s: its tenant may %s there", [request.username, request.resource, request.namespace, granted]),
	"fix": sprintf("an operator switches it with settings.connect.%s; logs and reads need no grant of the gate", [connect_word]),
} if {
	own_tenant
	input.request.operation == "CONNECT"
} else := {
	"msg": sprintf("%s may not %s %s in app namespace %s: app namespaces are read-only for tenants", [request.username, request.operation, request.resource, request.namespace]),
	"fix": sprintf("change the App through the platform, which rolls it out, or try it in a sandbox of the project; an operator may let workloads write `%s` with settings.workloadWrites", [request.resource]),
} if {
	own_tenant
	own_workload
} else := {
	"msg": sprintf("%s may not %s %s in app namespace %s: app namespaces are read-only for tenants", [request.username, request.operation, request.resource, request.namespace]),
	"fix": "change the App through the platform, which rolls it out, or try it in a sandbox of the project",
} if {
	own_tenant
} else := {
	"msg": sprintf("%s may not %s %s in app namespace %s: it belongs to another tenant", [request.username, request.operation, request.resource, request.namespace]),
	"fix": "use a namespace of your own tenant",
} if {
	input.tenancy.requester.class == "tenant"
} else := {
	"msg": sprintf("%s may not %s %s in app namespace %s: controllers write only the kinds that their setting names", [request.username, request.operation, request.resource, request.namespace]),
	"fix": sprintf("an operator adds `%s` to `writes` of `%s` in settings.identities", [request.resource, request.identity]),
} if {
	input.tenancy.requester.class == "controller"
} else := {
	"msg": sprintf("%s may not %s %s in app namespace %s: Capsule writes only RBAC, quota, limits, network policies, service accounts and its own kinds there", [request.username, request.operation, request.resource, request.namespace]),
	"fix": "let the platform write it; the kinds are listed in params/app-namespace-read-only",
} if {
	input.tenancy.requester.class == "capsule"
} else := {
	"msg": sprintf("%s may not %s %s in app namespace %s: the requester is not known to the platform, and unknown means untrusted", [request.username, request.operation, request.resource, request.namespace]),
	"fix": sprintf("if it is a controller of the cluster, an operator adds it to settings.identities with class controller and writes [%s]", [request.resource]),
}

default connect_word := "exec"

connect_word := input.request.subResource if input.request.subResource != ""

default granted := "not connect"

granted := concat(" and ", words) if {
	words := [word |
		some word in ["exec", "attach", "portforward", "proxy"]
		data.tenancy.settings.connect[word] == true
	]
	count(words) > 0
}
