# METADATA
# title: Only controllers write ControllerRevisions
# description: >-
#   The StatefulSet controller merges a revision's data into the whole StatefulSet, its namespace included, and creates
#   Pods from it with its own rights. So only the controllers that manage revisions may write them, configured controllers
#   only where their `writes` name them, and a revision cannot have metadata of its owner that the owner does not have.
#   Deletion is allowed.
# custom:
#   id: controller-revisions
#   severity: critical
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: [controllerrevisions.apps]
#       namespaces: [app, sandbox, unregistered]
package portcullis.controller_revisions

import data.portcullis.lib.lists
import data.portcullis.lib.request

deny contains finding if {
	not permitted
	finding := {
		"msg": sprintf("%s may not %s %s: a revision becomes Pods without a review of its template", [request.username, request.operation, request.resource]),
		"fix": "change the StatefulSet or DaemonSet, whose controller writes its revisions; for a controller that keeps revisions an operator adds `controllerrevisions.apps` to its `writes`, where `*` does not name it",
	}
}

permitted if input.tenancy.requester.class in {"system", "vela", "admin"}

permitted if {
	input.tenancy.requester.class == "controller"
	input.tenancy.requester.writesByName == true
}

permitted if input.finalizerRemoval == true

# A revision is a patch; a value that is not an object sets nothing that a policy reads.
deny contains finding if {
	not input.finalizerRemoval == true
	input.request.object.data != null
	not is_object(input.request.object.data)
	not input.request.object.data == input.request.oldObject.data
	finding := {
		"field": "data",
		"msg": "is no object, and policies look for one",
		"fix": "change the StatefulSet or DaemonSet, whose controller writes its revisions",
	}
}

# KubeVela stores components in revisions. A revision with other content comes from an Application's manifest.
deny contains finding if {
	input.tenancy.requester.class == "vela"
	not input.finalizerRemoval == true
	not input.request.object.data == input.request.oldObject.data
	some path in beyond_component
	finding := {
		"field": concat(".", ["data", path]),
		"msg": "is no part of a component, and Vela keeps nothing but components in revisions",
		"fix": "take the ControllerRevision out of the Application",
	}
}

beyond_component contains key if {
	some key, _ in revision
	not key in {"apiVersion", "kind", "metadata", "spec"}
}

beyond_component contains "spec" if {
	revision.spec != null
	not is_object(revision.spec)
}

beyond_component contains concat(".", ["spec", key]) if {
	is_object(revision.spec)
	some key, _ in revision.spec
	not key in {"workload", "helm", "parameters"}
}

deny contains finding if {
	some key, value in revision
	lower(upper(key)) == "metadata"
	not value == input.request.oldObject.data[key]
	some finding in said_of(key, value)
}

default revision := {}

revision := found if {
	found := input.request.object.data
	is_object(found)
}

said_of(key, value) := {finding |
	some name, said in value
	not owned(key, name, said)
	finding := {
		"field": sprintf("data.%s.%s", [key, name]),
		"observed": sprintf("%v", [said]),
		"msg": "would become the owner's when the revision is applied, and is not what the owner has",
		"fix": "leave the metadata out of the revision",
	}
} if {
	is_object(value)
} else := {{
	"field": concat(".", ["data", key]),
	"msg": "is no metadata of the revision's owner",
	"fix": "leave the metadata out of the revision",
}}

owned("metadata", "namespace", said) if said == input.tenancy.namespace.name

owned("metadata", "name", said) if {
	some owner in lists.each(input.request.object.metadata.ownerReferences)
	owner.name == said
}

# How serializers write an unset time.
owned("metadata", "creationTimestamp", said) if said == null
