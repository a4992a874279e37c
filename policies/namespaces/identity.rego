# METADATA
# title: Tenant namespaces keep their identity, and tenants cannot change them
# description: >-
#   Restricts who may change or delete a Namespace, its status and its finalizers. Only administrators may change its
#   identity labels. Tenants and Vela cannot change any Namespace: other platforms were taken over by a label or an owner
#   on a Namespace (CVE-2024-39690, CVE-2025-55205, CVE-2026-30963).
# custom:
#   id: namespace-identity
#   severity: critical
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [UPDATE, DELETE]
#       resources: [namespaces, namespaces/status, namespaces/finalize]
#       namespaces: [app, sandbox, unregistered, platform]
package portcullis.namespace_identity

import data.portcullis.lib.request
import data.portcullis.lib.reserved

deny contains finding if {
	not may_write
	finding := {
		"field": "metadata.name",
		"observed": request.namespace,
		"msg": sprintf("is a Namespace, and %s may not %s %s: the platform alone keeps namespaces", [request.username, request.operation, request.resource]),
		"fix": "create, change or delete the App or sandbox through the platform",
	}
}

deny contains finding if {
	input.request.operation == "UPDATE"
	not input.tenancy.namespace.kind == "platform"
	not input.tenancy.requester.class == "admin"
	may_write
	not labels == old_labels
	some key in (object.keys(labels) | object.keys(old_labels))
	not same(key)
	fixed(key)
	not restored(key)
	finding := {
		"field": concat(".", ["metadata.labels", key]),
		"observed": value_of(key),
		"msg": was(key),
		"fix": "leave it as it was; what a namespace is does not change, make another one",
	}
}

may_write if input.tenancy.requester.class == "admin"

may_write if input.tenancy.requester.createsNamespaces == true

may_write if {
	input.tenancy.namespace.kind == "platform"
	input.tenancy.requester.class in {"platform", "capsule", "system", "node", "controller", "unknown"}
}

may_write if {
	input.request.operation == "UPDATE"
	input.tenancy.requester.class in {"system", "capsule"}
}

# The garbage collector follows the owner that Capsule sets, and namespace deletion must not hang.
may_write if {
	input.tenancy.requester.class == "system"
	input.tenancy.requester.username in {
		"system:serviceaccount:kube-system:generic-garbage-collector",
		"system:serviceaccount:kube-system:namespace-controller",
		"system:kube-controller-manager",
	}
}

may_write if {
	input.finalizerRemoval == true
	input.tenancy.requester.class in {"platform", "controller"}
}

# A controller whose `writes` name namespaces may write its own metadata on them, but no identity.
may_write if {
	input.request.operation == "UPDATE"
	input.tenancy.requester.class == "controller"
	input.tenancy.requester.writes == true
	not input.tenancy.namespace.kind == "platform"
	noted
	only_notes
}

# `*` does not include status and finalizers of a Namespace; `writes` must name them.
noted if not input.request.subResource

noted if input.request.subResource == ""

noted if input.tenancy.requester.writesByName == true

only_notes if {
	object.get(input.request.object.metadata, "ownerReferences", []) == object.get(input.request.oldObject.metadata, "ownerReferences", [])
	object.get(input.request.object.metadata, "finalizers", []) == object.get(input.request.oldObject.metadata, "finalizers", [])
	reserved.known
	count(touched) == 0
}

touched contains key if {
	some pair in [[labels, old_labels], [annotations, old_annotations]]
	some key in object.keys(pair[0]) | object.keys(pair[1])
	object.get(pair[0], key, null) != object.get(pair[1], key, null)
	reserved.is_reserved(key)
}

default annotations := {}

annotations := input.request.object.metadata.annotations if is_object(input.request.object.metadata.annotations)

default old_annotations := {}

old_annotations := input.request.oldObject.metadata.annotations if is_object(input.request.oldObject.metadata.annotations)

default labels := {}

labels := input.request.object.metadata.labels if is_object(input.request.object.metadata.labels)

default old_labels := {}

old_labels := input.request.oldObject.metadata.labels if is_object(input.request.oldObject.metadata.labels)

same(key) if labels[key] == old_labels[key]

# The identity of a namespace.
fixed(key) if key in {concat("/", [data.tenancy.settings.labelPrefix, name]) | some name in ["tenant-id", "project-id", "app-id", "sandbox"]}

# Keys of earlier versions of the platform, without a slash; their agents still act on them.
fixed(key) if {
	startswith(key, "kubenova.")
	not contains(key, "/")
}

# Without the prefix, every key counts as identity.
fixed(_) if not data.tenancy.settings.labelPrefix

# Metadata of the platform, which neither Capsule nor controllers may write.
fixed(key) if {
	not input.tenancy.requester.class == "platform"
	strings.any_prefix_match(key, [concat("", [data.tenancy.settings.labelPrefix, "/"]), "pod-security.kubernetes.io/", "app.oam.dev/"])
}

# Restoring the ledger's value is a repair.
restored(key) if {
	not old_labels[key]
	labels[key] == input.tenancy.namespace.labels[key]
}

restored(key) if {
	not old_labels[key]
	key == concat("", [data.tenancy.settings.labelPrefix, "/sandbox"])
	labels[key] == "true"
	input.tenancy.namespace.kind == "sandbox"
}

value_of(key) := sprintf("%v", [labels[key]]) if {
	labels[key] != null
} else := "(removed)"

was(key) := sprintf("replaces %v: this label is part of what the namespace is", [old_labels[key]]) if {
	old_labels[key] != null
} else := "is new: this label is part of what the namespace is, and set when it is made"
