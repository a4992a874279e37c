# METADATA
# title: What is written, in words and as questions
# description: >-
#   Words for messages, each with a fallback, because a finding built from an undefined word is no finding and the
#   write would pass; and the few questions that several laws ask in the same way. What is asked of every review is a
#   function: the register machine looks a rule of another package up slowly and calls a function at once.
package portcullis.lib.request

default resource := "this resource"

# `deployments.apps/scale`, as kubectl and the settings write it.
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

# The name of a configured identity, as settings.identities spells it.
identity := input.tenancy.requester.name if input.tenancy.requester.name != ""

default operation := "this operation"

operation := input.request.operation

# Everyone whom the settings or Kubernetes name; who is left is a tenant or unknown, which in a tenant namespace is the
# same. Ask in a rule of the policy's own (`trusted if request.trusts(…)`, then `not trusted`): `not` of a call with a
# missing class is undefined in OPA, and undefined denies nothing.
trusts(class) if class in {"platform", "vela", "capsule", "system", "node", "controller", "admin"}

# A Namespace has policies of its own (namespaces/); those for what lies in a namespace step aside for exactly the forms
# that those cover. The gate itself denies every other subresource, but to administrators and the system: theirs is
# judged as content.
is_namespace if {
	input.request.resource.resource == "namespaces"
	input.request.resource.group == ""
	covered_namespace_form
}

covered_namespace_form if not input.request.subResource

covered_namespace_form if input.request.subResource in {"", "status", "finalize"}

# Reviews of access and tokens persist nothing, and kubectl, capsule-proxy and delegated authorisation live on them.
# By group of the resource, not by kind: `serviceaccounts/token` is in the core group and must not slip through.
is_virtual if input.request.resource.group in {"authorization.k8s.io", "authentication.k8s.io"}

# What a controller writes only where its `writes` name it: `*` and the like leave it out.
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
