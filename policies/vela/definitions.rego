# METADATA
# title: No tenant namespace holds definitions of KubeVela
# description: >-
#   KubeVela looks a type up in the Application's own namespace first, and a definition's template names whatever
#   namespace it likes. So a definition, a revision of one and a CUE package are neither created nor changed in a tenant
#   namespace, by anyone. An ApplicationRevision holds a whole Application with its definitions, and KubeVela deploys what
#   it says: Vela, the system's controllers, administrators and controllers that may write it do. Deletion passes.
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
		"fix": "change the Application; KubeVela writes its revisions",
	}
}

keeps_revisions if input.tenancy.requester.class in {"system", "vela", "admin"}

keeps_revisions if {
	input.tenancy.requester.class == "controller"
	input.tenancy.requester.writes == true
}

keeps_revisions if input.finalizerRemoval == true
