# METADATA
# title: Tenant namespaces cannot have definitions of KubeVela
# description: >-
#   KubeVela looks a type up in the Application's own namespace first, and a definition's template can name any namespace.
#   So no user can create or change a definition, a revision of one or a CUE package in a tenant namespace. KubeVela
#   deploys the Application and definitions in an ApplicationRevision, so only Vela, the system's controllers,
#   administrators and controllers whose `writes` name it may write one, with an Application of its own namespace.
#   Deletion is allowed.
# custom:
#   id: vela-definitions
#   severity: critical
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: ["*.oam.dev", "*.oam.dev/*"]
#       namespaces: [app, sandbox, unregistered]
package portcullis.vela_definitions

import data.portcullis.lib.request

deny contains finding if {
	defines
	not input.finalizerRemoval == true
	finding := {
		"msg": sprintf("%s may not %s %s in %s: a definition there would go before KubeVela's own of the same name", [request.username, request.operation, request.resource, request.namespace]),
		"fix": "install definitions in KubeVela's own namespace, and name their types in params/vela-application-shape",
	}
}

defines if endswith(input.request.resource.resource, "definitions")

# `type: worker@v1` is read from a revision of that name, in the App's namespace first (pkg/oam/util/helper.go).
defines if input.request.resource.resource == "definitionrevisions"

# Listed without a namespace, and a provider of theirs is called with what a step holds (pkg/cue/cuex/runtime of kubevela/pkg).
deny contains finding if {
	input.request.resource.group == "cue.oam.dev"
	input.request.resource.resource == "packages"
	not input.finalizerRemoval == true
	finding := {
		"msg": sprintf("%s may not %s %s in %s: KubeVela loads packages of every namespace, for the definitions of all", [request.username, request.operation, request.resource, request.namespace]),
		"fix": "install packages in KubeVela's own namespace",
	}
}

# With `app.oam.dev/publishVersion`, KubeVela deploys what the revision says, under the name, the namespace and the
# annotations of the Application that the revision holds (GenerateAppFileFromRevision in pkg/appfile/parser.go).
deny contains finding if {
	input.request.resource.group == "core.oam.dev"
	input.request.resource.resource == "applicationrevisions"
	not keeps_revisions
	finding := {
		"msg": sprintf("%s may not %s %s: KubeVela deploys what a revision says, and no policy looks into one", [request.username, request.operation, request.resource]),
		"fix": "change the Application; KubeVela writes its revisions, and an operator names `applicationrevisions.core.oam.dev` in the `writes` of a controller that restores them, where `*` does not name it",
	}
}

# Vela's own revisions hold the Application of their own namespace. Administrators repair what others wrote.
deny contains finding if {
	revision
	not input.tenancy.requester.class == "admin"
	input.request.object.spec.application.metadata.namespace != null
	held := input.request.object.spec.application.metadata.namespace
	not held == input.tenancy.namespace.name
	not held == ""
	not input.request.oldObject.spec.application.metadata.namespace == held
	finding := {
		"field": "spec.application.metadata.namespace",
		"observed": sprintf("%v", [held]),
		"msg": sprintf("is another namespace, and KubeVela would deploy there what %s says", [request.resource]),
		"fix": "take the revision out of the Application; KubeVela writes its revisions itself",
	}
}

# Every manifest of an Application gets this label (generateAndFilterCommonLabels), and Vela's own revisions do not. What a
# revision holds may be compressed, and then no policy reads it.
deny contains finding if {
	revision
	input.tenancy.requester.class == "vela"
	component := input.request.object.metadata.labels["app.oam.dev/component"]
	not input.request.oldObject.metadata.labels["app.oam.dev/component"] == component
	finding := {
		"field": "metadata.labels.app.oam.dev/component",
		"observed": sprintf("%v", [component]),
		"msg": "says that the revision comes from an Application's manifest, and no Application brings one along",
		"fix": "take the revision out of the Application; where the Application itself carries the label, remove it there",
	}
}

revision if {
	input.request.resource.group == "core.oam.dev"
	input.request.resource.resource == "applicationrevisions"
	not input.finalizerRemoval == true
}

keeps_revisions if input.tenancy.requester.class in {"system", "vela", "admin"}

keeps_revisions if {
	input.tenancy.requester.class == "controller"
	input.tenancy.requester.writesByName == true
}

keeps_revisions if input.finalizerRemoval == true
