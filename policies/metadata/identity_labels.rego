# METADATA
# title: What an object says of its owner is true, whoever writes it
# description: >-
#   Quota, billing and audit go by the ids of tenant, project and app in an object's labels, and controllers and the
#   scheduler copy labels. So the ids that an object names are those of its namespace, for every writer, labels of a
#   Binding included, but for administrators, who repair. What stays as it was passes, and so does an object that names
#   none. Of a namespace that the ledger does not know no id is known: there only those who may fill it name one, and
#   none that belongs to something else (a sandbox, or what is another tenant's), in the spelling of the ledger.
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

# An object ahead of the ledger has ids that the ledger does not know, or ids of its own tenant.
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

# What is not known as it is written may still be something else's.
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

# A tenant's slug has no hyphen, so a name begins with one tenant's alone. It is not composed from the project and the App
# here, because names of an earlier form are not, and their Pods have to start.
may_be(holder, kind) if {
	holder.kind == kind
	startswith(request.namespace, concat("-", [data.tenancy.settings.prefix, holder.tenant, ""]))
}

# The usual case: as the gate itself labels it.
own if {
	count(input.tenancy.namespace.labels) == 3
	is_object(input.request.object.metadata.labels)
	object.union(input.request.object.metadata.labels, input.tenancy.namespace.labels) == input.request.object.metadata.labels
}

repairs if input.tenancy.requester.class == "admin"

# The manager is ahead of the ledger's snapshot, and the system copies what stands there.
repairs if {
	input.tenancy.namespace.kind == "unregistered"
	input.tenancy.requester.createsNamespaces == true
}

repairs if {
	input.tenancy.namespace.kind == "unregistered"
	input.tenancy.requester.class in {"system", "node"}
}

# A Namespace has policies of its own.
is_namespace if request.is_namespace

expected(key) := sprintf(" (here it is %s)", [input.tenancy.namespace.labels[key]]) if {
	input.tenancy.namespace.labels[key]
} else := ""
