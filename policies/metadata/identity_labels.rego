# METADATA
# title: Identity labels of an object must be those of its namespace
# description: >-
#   Quota, billing and audit use the ids of tenant, project and app in an object's labels, and controllers and the
#   scheduler copy labels. So these ids must be those of the namespace, for every user except administrators, and also in
#   the labels of a Binding. Unchanged labels and objects without ids are allowed. In a namespace that is not in the
#   snapshot, only identities that may write there can set ids, in the ledger's spelling, and none that belongs to a
#   sandbox or to another tenant.
# custom:
#   id: identity-labels
#   severity: high
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: ["*/*"]
#       namespaces: [app, sandbox, unregistered]
package portcullis.identity_labels

import data.portcullis.lib.ids
import data.portcullis.lib.request

deny contains finding if {
	not own
	not repairs
	not is_namespace
	some name in ["tenant-id", "project-id", "app-id"]
	key := concat("", [data.tenancy.settings.labelPrefix, "/", name])
	input.request.object.metadata.labels[key] != null
	value := input.request.object.metadata.labels[key]
	not value == input.tenancy.namespace.labels[key]
	not value == input.request.oldObject.metadata.labels[key]
	finding := {
		"field": concat(".", ["metadata.labels", key]),
		"observed": sprintf("%v", [value]),
		"msg": sprintf("is not what namespace %s is labelled with: an object belongs to the owner of its namespace%s", [request.namespace, expected(key)]),
		"fix": "leave the label out, and the platform sets it",
	}
}

# An object that is newer than the snapshot has ids that are not in the index, or ids of its own tenant.
deny contains finding if {
	some key, claim in claims
	holder := data.tenancy.ids[claim.id]
	not may_be(holder, claim.kind)
	finding := {
		"field": concat(".", ["metadata.labels", key]),
		"observed": sprintf("%v", [claim.id]),
		"msg": sprintf("is the id of something else, not of the %s of namespace %s", [claim.kind, request.namespace]),
		"fix": "give the id that the ledger has for it, or leave the label out",
	}
}

# The index does not find another spelling, so the owner of such an id is unknown.
deny contains finding if {
	some key, claim in claims
	ids.is_other_spelling(claim.id)
	finding := {
		"field": concat(".", ["metadata.labels", key]),
		"observed": sprintf("%v", [claim.id]),
		"msg": "is another spelling of an id: the ledger writes them as UUIDs in lower case, with hyphens",
		"fix": "write the id as the ledger does, or leave the label out",
	}
}

claims[key] := {"id": id, "kind": kind} if {
	input.tenancy.namespace.kind == "unregistered"
	repairs
	not input.tenancy.requester.class == "admin"
	not is_namespace
	some name, kind in {"tenant-id": "tenant", "project-id": "project", "app-id": "app"}
	key := concat("", [data.tenancy.settings.labelPrefix, "/", name])
	id := input.request.object.metadata.labels[key]
	not id == input.request.oldObject.metadata.labels[key]
}

# A tenant's slug has no hyphen, so a name starts with exactly one tenant's slug. The whole name is not composed here,
# because earlier forms of names differ, and their Pods must start.
may_be(holder, kind) if {
	holder.kind == kind
	startswith(request.namespace, concat("-", [data.tenancy.settings.prefix, holder.tenant, ""]))
}

# The usual case: the labels that the gate itself sets.
own if {
	count(input.tenancy.namespace.labels) == 3
	is_object(input.request.object.metadata.labels)
	object.union(input.request.object.metadata.labels, input.tenancy.namespace.labels) == input.request.object.metadata.labels
}

repairs if input.tenancy.requester.class == "admin"

# The manager may be ahead of the snapshot, and the system copies existing labels.
repairs if {
	input.tenancy.namespace.kind == "unregistered"
	input.tenancy.requester.createsNamespaces == true
}

repairs if {
	input.tenancy.namespace.kind == "unregistered"
	input.tenancy.requester.class in {"system", "node"}
}

# Namespace objects have their own policies.
is_namespace if request.is_namespace

expected(key) := sprintf(" (here it is %s)", [input.tenancy.namespace.labels[key]]) if {
	input.tenancy.namespace.labels[key]
} else := ""
