# METADATA
# title: Objects that Vela creates for an App stay in the App's namespace
# description: >-
#   Vela labels every object that it creates with the namespace of the Application. So an object outside tenant namespaces
#   cannot have the label of a tenant namespace, for every user, since Vela can impersonate any user; a malformed label is
#   refused too. Vela removes the label when it cleans up, so an update that removes it is allowed, and so is deletion. A
#   ResourceTracker can list only objects in its App's namespace.
# custom:
#   id: vela-elsewhere
#   severity: critical
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: ["*"]
#       namespaces: [platform, cluster]
package portcullis.vela_elsewhere

import data.portcullis.lib.lists
import data.portcullis.lib.request

# KubeVela deletes and restores what a tracker lists.
deny contains finding if {
	tracker
	of_a_tenant
	not input.finalizerRemoval == true
	some place in places_of(input.request.object)
	not place.namespace in {"", said}
	not place.namespace in before
	finding := {
		"field": place.field,
		"observed": sprintf("%v", [place.namespace]),
		"msg": sprintf("is another namespace than %s, where the App of this tracker is", [said]),
		"fix": "deploy the component into the Application's own namespace",
	}
}

# Vela labels its trackers itself; one without comes from a manifest.
deny contains finding if {
	tracker
	input.tenancy.requester.class == "vela"
	said == ""
	not input.finalizerRemoval == true
	some place in places_of(input.request.object)
	of_prefix(place.namespace)
	not place.namespace in before
	finding := {
		"field": place.field,
		"observed": sprintf("%v", [place.namespace]),
		"msg": "is a tenant's namespace, and the tracker does not say of which App it is",
		"fix": "take the tracker out of the Application; KubeVela keeps its own",
	}
}

# Objects that were listed before may be marked and removed.
before contains place.namespace if some place in places_of(input.request.oldObject)

# The object that KubeVela restores is read over its reference (ToUnstructuredWithData).
places_of(tracked) := {place |
	some index, managed in lists.each(tracked.spec.managedResources)
	some place in array.concat(
		[{"field": sprintf("spec.managedResources[%d].namespace", [index]), "namespace": found} | found := managed.namespace],
		[{"field": sprintf("spec.managedResources[%d].raw.metadata.namespace", [index]), "namespace": found} | found := managed.raw.metadata.namespace],
	)
	place.namespace != null
}

deny contains finding if {
	of_a_tenant
	not tracker
	not input.finalizerRemoval == true
	finding := {
		"field": "metadata.labels.app.oam.dev/namespace",
		"observed": said,
		"msg": sprintf("is the namespace of a tenant's App, and %s lies outside it: %s may not %s it", [request.resource, request.username, request.operation]),
		"fix": "deploy the component into the Application's own namespace",
	}
}

of_a_tenant if of_prefix(said)

of_prefix(name) if {
	is_string(name)
	startswith(name, concat("", [data.tenancy.settings.prefix, "-"]))
}

# Without the prefix, every namespace counts as a tenant's.
of_a_tenant if {
	said != ""
	not data.tenancy.settings.prefix
}

default said := ""

said := input.request.object.metadata.labels["app.oam.dev/namespace"]

# KubeVela's cluster-scoped record of the objects that it created.
tracker if {
	input.request.resource.group == "core.oam.dev"
	input.request.resource.resource == "resourcetrackers"
}
