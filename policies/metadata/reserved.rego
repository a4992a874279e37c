# METADATA
# title: Tenants cannot write reserved metadata
# description: >-
#   Labels, annotations, finalizers and owners with keys of the platform, Vela, Capsule, Pod Security and injectors control
#   programs with more rights than a tenant. A tenant cannot set, change or remove them on any object or subresource. The
#   same applies to controllers, which copy what tenants write, except for those that the parameters name. Unchanged
#   metadata and the namespace's own ownership labels are allowed.
# custom:
#   id: reserved-metadata
#   severity: high
#   mode: enforce
#   on_error: deny
#   params_schema:
#     type: object
#     properties:
#       domains: {type: array, items: {type: string}, combine: union}
#       injected: {type: array, items: {type: string}, combine: intersect}
#       capsule: {type: array, items: {type: string}, combine: intersect}
#       writers: {type: array, items: {type: string}, combine: intersect}
#       sidecars: {type: object, additionalProperties: {type: string}, combine: platform-only}
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: ["*/*"]
#       namespaces: [app, sandbox, unregistered]
package portcullis.reserved_metadata

import data.portcullis.lib.request
import data.portcullis.lib.reserved

deny contains finding if {
	not trusted
	not clean
	some finding in findings
}

trusted if reserved.trusted_writer

# Labels of a Binding reach the Pod without an update of it (LB-10), so only the system may set them.
deny contains finding if {
	input.request.object.kind == "Binding"
	not binds
	said := {"labels": labels, "annotations": annotations}
	some part, entries in said
	some key, value in entries
	finding := {
		"field": sprintf("metadata.%s.%s", [part, key]),
		"observed": sprintf("%v", [value]),
		"msg": "would be written into the Pod by binding it, past every other check",
		"fix": "leave labels and annotations of a Binding empty",
	}
}

binds if input.tenancy.requester.class in {"system", "admin"}

# The usual cases, decided without a loop; other metadata is checked key by key. A new object has the ownership labels and
# no other reserved metadata.
clean if {
	input.request.operation == "CREATE"
	not input.request.object.metadata.ownerReferences
	not input.request.object.metadata.finalizers
	owned
	reserved.clean_but(concat("\n", [concat("\n", object.keys(input.request.object.metadata.labels)), concat("\n", object.keys(annotations))]), count(own))
}

clean if {
	input.request.operation == "UPDATE"
	labels == old_labels
	finalizers_clean
	owners == old_owners
	annotations_clean
}

finalizers_clean if finalizers == old_finalizers

finalizers_clean if {
	reserved.clean_but(concat("\n", finalizers), 0)
	reserved.clean_but(concat("\n", old_finalizers), 0)
}

annotations_clean if annotations == old_annotations

annotations_clean if {
	reserved.clean_but(concat("\n", object.keys(annotations)), 0)
	reserved.clean_but(concat("\n", object.keys(old_annotations)), 0)
}

owned if {
	count(own) > 0
	object.union(labels, own) == labels
}

own := input.tenancy.namespace.labels

default labels := {}

labels := found if {
	found := input.request.object.metadata.labels
	is_object(found)
}

default annotations := {}

annotations := found if {
	found := input.request.object.metadata.annotations
	is_object(found)
}

default finalizers := []

finalizers := found if {
	found := input.request.object.metadata.finalizers
	is_array(found)
}

default owners := []

owners := found if {
	found := input.request.object.metadata.ownerReferences
	is_array(found)
}

default old_labels := {}

old_labels := found if {
	found := input.request.oldObject.metadata.labels
	is_object(found)
}

default old_annotations := {}

old_annotations := found if {
	found := input.request.oldObject.metadata.annotations
	is_object(found)
}

default old_finalizers := []

old_finalizers := found if {
	found := input.request.oldObject.metadata.finalizers
	is_array(found)
}

default old_owners := []

old_owners := found if {
	found := input.request.oldObject.metadata.ownerReferences
	is_array(found)
}

findings contains finding if {
	some key, value in labels
	reserved.is_reserved(key)
	not old_labels[key] == value
	not own[key] == value
	not by_capsule(key, value)
	not injected(key, value)
	finding := {
		"field": concat(".", ["metadata.labels", key]),
		"observed": sprintf("%v", [value]),
		"msg": sprintf("is a reserved label: tenants neither set nor change it%s", [expected(key)]),
		"fix": sprintf("remove it, or leave it as it was; %s", [who_sets]),
	}
}

findings contains finding if {
	some key in object.keys(old_labels) - object.keys(labels)
	reserved.is_reserved(key)
	value := old_labels[key]
	finding := {
		"field": concat(".", ["metadata.labels", key]),
		"observed": sprintf("%v", [value]),
		"msg": "is a reserved label: tenants do not remove it",
		"fix": sprintf("put it back as it was; %s", [who_sets]),
	}
}

findings contains finding if {
	some key, value in annotations
	reserved.is_reserved(key)
	not old_annotations[key] == value
	not injected(key, value)
	finding := {
		"field": concat(".", ["metadata.annotations", key]),
		"observed": sprintf("%v", [value]),
		"msg": "is a reserved annotation: tenants neither set nor change it",
		"fix": sprintf("remove it, or leave it as it was; %s", [who_sets]),
	}
}

findings contains finding if {
	some key in object.keys(old_annotations) - object.keys(annotations)
	reserved.is_reserved(key)
	value := old_annotations[key]
	finding := {
		"field": concat(".", ["metadata.annotations", key]),
		"observed": sprintf("%v", [value]),
		"msg": "is a reserved annotation: tenants do not remove it",
		"fix": sprintf("put it back as it was; %s", [who_sets]),
	}
}

findings contains finding if {
	some name in {one | some one in finalizers} - {one | some one in old_finalizers}
	reserved.is_reserved(name)
	finding := {
		"field": "metadata.finalizers",
		"observed": sprintf("%v", [name]),
		"msg": "is a reserved finalizer: tenants do not add it",
		"fix": "remove it",
	}
}

findings contains finding if {
	some name in {one | some one in old_finalizers} - {one | some one in finalizers}
	kept(name)
	finding := {
		"field": "metadata.finalizers",
		"observed": sprintf("%v", [name]),
		"msg": "is a reserved finalizer: tenants do not remove it",
		"fix": "put it back; its owner removes it when its work is done",
	}
}

findings contains finding if {
	reserved_owners != old_reserved_owners
	finding := {
		"field": "metadata.ownerReferences",
		"msg": sprintf("names owners that are not a tenant's to give or take: %s", [concat(", ", changed_owners)]),
		"fix": "leave references to the platform's, Vela's and Capsule's objects as they were",
	}
}

injected(key, value) if {
	input.request.operation == "CREATE"
	reserved.is_injected_as(key, value)
}

# Capsule's webhook sets this label on every object in its Tenants' namespaces, as part of the user's own request. It fails
# open, so the correct value is allowed and any other is refused. Capsule's Tenant has the name of ours, or the first part
# of the namespaces' names.
by_capsule(key, value) if {
	key in data.params["reserved-metadata"].capsule
	value in {input.tenancy.namespace.tenant, concat("-", [data.tenancy.settings.prefix, input.tenancy.namespace.tenant])}
}

# Without the list of reserved keys, every key counts as reserved.
findings contains finding if {
	not reserved.known
	finding := {
		"msg": "settings.labelPrefix or params/reserved-metadata is missing, so no metadata is known to be free",
		"fix": "an operator restores them",
	}
}

# A finalizer may be removed from an object that is being deleted, except for the platform's own.
kept(name) if {
	not input.finalizerRemoval == true
	reserved.is_reserved(name)
}

kept(name) if startswith(name, concat("", [data.tenancy.settings.labelPrefix, "/"]))

kept(name) if reserved.is_legacy(name)

reserved_owners := {owner | some owner in owners; owned_by_others(owner)}

old_reserved_owners := {owner | some owner in old_owners; owned_by_others(owner)}

changed_owners := sort({words |
	some owner in ((reserved_owners - old_reserved_owners) | (old_reserved_owners - reserved_owners))
	words := sprintf("%v %v", [object.get(owner, "kind", "?"), object.get(owner, "name", "?")])
})

owned_by_others(owner) if reserved.is_reserved(owner.apiVersion)

default who_sets := "the platform sets it"

who_sets := sprintf("the platform sets what belongs under %s/ itself", [data.tenancy.settings.labelPrefix])

expected(key) := sprintf(" (here it is %s)", [own[key]]) if {
	own[key]
} else := ""
