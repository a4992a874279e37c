package portcullis.vela_own_namespace_test

import data.portcullis.lib.world
import data.portcullis.vela_own_namespace

of(namespace) := {"metadata": {"name": "web", "labels": {"app.oam.dev/namespace": namespace}}}

mine := of("tn-acme-shop-app-frontend")

theirs := of("tn-globex-web-app-api")

plain := {"metadata": {"name": "web"}}

owned_by(kind, name) := {"metadata": {
	"name": "workflow-web-context",
	"ownerReferences": [{"apiVersion": "core.oam.dev/v1beta1", "kind": kind, "name": name, "uid": "1", "controller": true}],
}}

handed_on := owned_by("Application", "web")

# who, operation, resource, object, old, denied
rows := [
	["vela", "CREATE", "deployments.apps", mine, null, false],
	["vela", "UPDATE", "deployments.apps", mine, mine, false],
	["vela", "DELETE", "deployments.apps", null, mine, false],
	["vela", "CREATE", "deployments.apps", theirs, null, true],
	["vela", "CREATE", "deployments.apps", plain, null, true],
	["vela", "UPDATE", "deployments.apps", mine, plain, true],
	["vela", "UPDATE", "deployments.apps", mine, theirs, true],
	["vela", "UPDATE", "deployments.apps", theirs, mine, true],
	["vela", "DELETE", "resourcequotas", null, plain, true],
	["vela", "CONNECT", "pods/exec", {}, null, true],
	["vela", "CREATE", "applicationrevisions.core.oam.dev", plain, null, false],
	["vela", "CREATE", "applicationrevisions.core.oam.dev", theirs, null, true],
	["vela", "UPDATE", "applications.core.oam.dev/status", plain, plain, false],
	["vela", "CREATE", "controllerrevisions.apps", plain, null, false],
	["vela", "CREATE", "events", plain, null, false],
	["vela", "CREATE", "configmaps", handed_on, null, false],
	["vela", "DELETE", "configmaps", null, handed_on, false],
	["vela", "DELETE", "configmaps", null, {"metadata": {"name": "workflow-web-context"}}, true],
	["vela", "CREATE", "configmaps", owned_by("WorkflowRun", "web"), null, false],
	["vela", "CREATE", "configmaps", {"metadata": {"name": "workflow-web-context"}}, null, true],
	["vela", "CREATE", "configmaps", owned_by("Application", "other"), null, true],
	["vela", "CREATE", "configmaps", owned_by("Deployment", "web"), null, true],
	["vela", "CREATE", "configmaps", plain, null, true],
	["agent", "CREATE", "deployments.apps", plain, null, false],
	["system", "CREATE", "pods", plain, null, false],
]

test_who_writes if {
	wrong := {row |
		some row in rows
		found := vela_own_namespace.deny with input as world.review(row[0], row[1], row[2], "A", row[3], row[4])
		count(found) > 0 != row[5]
	}
	wrong == set()
}

test_finalizers_are_let_go if {
	count(vela_own_namespace.deny) == 0 with input as world.letting_go("vela", "deployments.apps", "A", plain, plain)
}
