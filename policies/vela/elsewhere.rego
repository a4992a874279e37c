# METADATA
# title: What Vela makes for an App stays in the App's namespace
# description: >-
#   However an Application names another namespace, Vela labels what it makes with the namespace of the Application. So no
#   object outside tenant namespaces carries the label of one, whoever writes it, since Vela may write as a person whom it
#   impersonates. An update that drops the label is Vela's own clean-up and passes; deletion and ResourceTrackers do too.
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

import data.portcullis.lib.request

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

of_a_tenant if startswith(said, concat("", [data.tenancy.settings.prefix, "-"]))

# Without the prefix no namespace is known to be none of a tenant's.
of_a_tenant if {
	said != ""
	not data.tenancy.settings.prefix
}

default said := ""

said := input.request.object.metadata.labels["app.oam.dev/namespace"]

# KubeVela's own ledger of what it made, which is cluster-wide.
tracker if {
	input.request.resource.group == "core.oam.dev"
	input.request.resource.resource == "resourcetrackers"
}
