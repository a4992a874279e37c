# METADATA
# title: No tenant namespace holds definitions of KubeVela
# description: >-
#   KubeVela looks a type up in the Application's own namespace first, and a definition's template names whatever
#   namespace it likes. So a definition is neither created nor changed in a tenant namespace, by anyone; deletion passes.
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
	endswith(input.request.resource.resource, "definitions")
	not input.finalizerRemoval == true
	finding := {
		"msg": sprintf("%s may not %s %s in %s: a definition there would go before KubeVela's own of the same name", [request.username, request.operation, request.resource, request.namespace]),
		"fix": "install definitions in KubeVela's own namespace, and name their types in params/vela-application-shape",
	}
}
