# METADATA
# title: Reserved metadata is not a tenant's to write
# description: >-
#   Labels, annotations, finalizers and owners under the platform's, Vela's, Capsule's, Pod Security's and injectors'
#   keys drive machines with more rights than a tenant has. A tenant neither sets, changes nor removes them, on any
#   object and any subresource, and neither does a controller, which copies what tenants write; but for those that the
#   parameters name. What stays as it was passes, and so do the namespace's own ownership labels.
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

# Labels of a Binding end in the Pod without an update of it (LB-10): nobody but the scheduler and its like may speak.
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

# The usual cases, decided without a loop; what is not clean is looked at key by key. A new object carries the
# ownership labels and nothing else that is reserved.
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
		"fix": "put it back; whoever set it removes it when its work is done",
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

# Capsule's webhook labels every object in the namespaces of its Tenants, under the name of whoever writes the object, and
# says whose it is. The truth may be said; it fails open, so who tells a lie is refused here. Capsule's Tenant is called
# as ours is, or as the namespaces begin.
by_capsule(key, value) if {
	key in data.params["reserved-metadata"].capsule
	value in {input.tenancy.namespace.tenant, concat("-", [data.tenancy.settings.prefix, input.tenancy.namespace.tenant])}
}

# Without the list of what is reserved nothing is known to be free.
findings contains finding if {
	not reserved.known
	finding := {
		"msg": "settings.labelPrefix or params/reserved-metadata is missing, so no metadata is known to be free",
		"fix": "an operator restores them",
	}
}

# Letting go of a finalizer on an object that is being deleted passes, or it stays for ever; the platform's own are kept.
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
