# METADATA
# title: Properties of the request
# description: >-
#   Texts for messages, each with a fallback, because a finding with an undefined value is undefined and the write would
#   be allowed; and tests that several policies share. What every review needs is a function: the register machine
#   evaluates a rule of another package slowly and calls a function fast.
package portcullis.lib.request

default resource := "this resource"

# `deployments.apps/scale`, in the notation of kubectl and the settings.
resource := concat("", [input.request.resource.resource, dot_group, slash_subresource])

default dot_group := ""

dot_group := concat("", [".", input.request.resource.group]) if input.request.resource.group != ""

default slash_subresource := ""

slash_subresource := concat("", ["/", input.request.subResource]) if input.request.subResource != ""

default namespace := "this namespace"

namespace := input.tenancy.namespace.name if input.tenancy.namespace.name != ""

default username := "this requester"

username := input.tenancy.requester.username if input.tenancy.requester.username != ""

default identity := "the identity"

# The name of a configured identity, as in settings.identities.
identity := input.tenancy.requester.name if input.tenancy.requester.name != ""

default operation := "this operation"

operation := input.request.operation

# Identities of the settings and of Kubernetes; any other requester is a tenant or unknown, which in a tenant namespace is
# the same. Call it from a rule of the policy (`trusted if request.trusts(…)`, then `not trusted`): `not` of a call with a
# missing class is undefined in OPA and would not deny.
trusts(class) if class in {"platform", "vela", "capsule", "system", "node", "controller", "admin"}

# Namespace objects have their own policies (namespaces/), so the policies for objects in a namespace skip exactly what
# those cover. The gate itself denies every other subresource, except to administrators and the system, for whom these
# policies apply.
is_namespace if {
	input.request.resource.resource == "namespaces"
	input.request.resource.group == ""
	covered_namespace_form
}

covered_namespace_form if not input.request.subResource

covered_namespace_form if input.request.subResource in {"", "status", "finalize"}

# Access and token reviews persist nothing, and kubectl, capsule-proxy and delegated authorization depend on them.
# Tested by group of the resource, not by kind: `serviceaccounts/token` is in the core group and must not be skipped.
is_virtual if input.request.resource.group in {"authorization.k8s.io", "authentication.k8s.io"}

# Resources that a controller may write only where its `writes` name them; `*` and other wildcards do not include them.
by_name if {
	input.request.resource.group == ""
	input.request.resource.resource == "bindings"
}

by_name if {
	input.request.resource.resource == "pods"
	input.request.subResource == "binding"
}

# Whether a list of kubectl patterns covers this resource: `pods`, `pods/exec`, `deployments.apps`, `*.oam.dev`,
# `*.oam.dev/*`, `*/scale`, `*/*`, `*`.
covered_by(patterns) if resource in patterns

covered_by(patterns) if "*/*" in patterns

covered_by(patterns) if {
	slash_subresource == ""
	"*" in patterns
}

covered_by(patterns) if {
	slash_subresource != ""
	concat("", ["*", slash_subresource]) in patterns
}

covered_by(patterns) if {
	some pattern in patterns
	startswith(pattern, "*.")
	family := split(trim_prefix(pattern, "*."), "/")
	in_family(family[0])
	family_subresource(family)
}

# The group itself or anything below it: `oam.dev`, `core.oam.dev`.
in_family(group) if input.request.resource.group == group

in_family(group) if endswith(input.request.resource.group, concat("", [".", group]))

family_subresource(family) if {
	count(family) == 1
	slash_subresource == ""
}

family_subresource(family) if family[1] == "*"

family_subresource(family) if {
	slash_subresource != ""
	concat("", ["/", family[1]]) == slash_subresource
}
