package portcullis.no_vela_in_sandboxes_test

import data.portcullis.lib.world
import data.portcullis.no_vela_in_sandboxes

# who, resource, labels, denied; deletes never reach this policy
rows := [
	["acme-dev", "applications.core.oam.dev", {}, true],
	["agent", "applications.core.oam.dev", {}, true],
	["mgr", "applications.core.oam.dev", {}, true],
	["root", "applications.core.oam.dev", {}, true],
	["system", "applications.core.oam.dev/status", {}, true],
	["acme-dev", "configurations.terraform.core.oam.dev", {}, true],
	["acme-dev", "eventlisteners.standard.oam.dev", {}, true],
	["acme-dev", "packages.cue.oam.dev", {}, true],
	["acme-dev", "widgets.oam.dev", {}, true],
	["acme-dev", "widgets.notoam.dev", {}, false],
	["acme-dev", "pods", {}, false],
	["vela", "deployments.apps", {}, true],
	["vela", "applications.core.oam.dev", {}, true],
	["root", "configmaps", {"app.oam.dev/name": "x"}, true],
	["mgr", "serviceaccounts", {"kubenova.io/managed-by": "vela"}, true],
	["mgr", "serviceaccounts", {"kubenova.io/managed-by": "platform"}, false],
	["acme-dev", "configmaps", {"app.oam.dev/name": "x"}, true],
	["unknown", "configmaps", {"kubenova.io/managed-by": "vela"}, true],
	["root", "configmaps", null, false],
	["system", "endpoints", {"app.oam.dev/name": "x"}, false],
]

test_who_writes if {
	wrong := {row |
		some row in rows
		some operation in ["CREATE", "UPDATE"]
		found := no_vela_in_sandboxes.deny with input as world.review(row[0], operation, row[1], "S", {"metadata": {"labels": row[2]}}, {"metadata": {}})
			with data.tenancy as world.tenancy
		count(found) > 0 != row[3]
	}
	wrong == set()
}

test_what_was_labelled_stays if {
	labelled := {"metadata": {"labels": {"app.oam.dev/name": "x"}}}
	count(no_vela_in_sandboxes.deny) == 0 with input as world.review("root", "UPDATE", "configmaps", "S", labelled, labelled)
		with data.tenancy as world.tenancy
}

test_cleaning_up if {
	every who in ["vela", "acme-dev", "root"] {
		count(no_vela_in_sandboxes.deny) == 0 with input as world.letting_go(who, "applications.core.oam.dev", "S", {}, {})
			with data.tenancy as world.tenancy
	}
}
