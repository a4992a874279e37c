package portcullis.vela_identity_annotations_test

import data.portcullis.lib.world
import data.portcullis.vela_identity_annotations

with_annotations(annotations) := {"metadata": {"annotations": annotations}}

# key, old value, new value (null: absent), denied
rows := [
	["app.oam.dev/username", null, "x", true],
	["app.oam.dev/group", null, "system:masters", true],
	["app.oam.dev/service-account-name", null, "x", true],
	["app.oam.dev/username", "x", "y", true],
	["app.oam.dev/username", "x", "x", false],
	["app.oam.dev/username", "x", null, false],
	["app.oam.dev/publishVersion", null, "v1", false],
]

annotated(key, value) := {key: value} if {
	value != null
} else := {}

test_changes if {
	wrong := {row |
		some row in rows
		some who in ["agent", "root", "vela", "acme-dev"]
		review := world.review(who, "UPDATE", "applications.core.oam.dev", "A", with_annotations(annotated(row[0], row[2])), with_annotations(annotated(row[0], row[1])))
		found := vela_identity_annotations.deny with input as review
		count(found) > 0 != row[3]
	}
	wrong == set()
}

# Labels of an Application are copied to what it makes, and this one says to which cluster that goes.
test_labels if {
	labelled := {value: {"metadata": {"labels": {"app.oam.dev/cluster": value}}} | some value in ["prod", "local", ""]}
	every who in ["agent", "root", "vela", "acme-dev"] {
		every value, denied in {"prod": 1, "local": 0, "": 0} {
			count(vela_identity_annotations.deny) == denied with input as world.review(who, "CREATE", "applications.core.oam.dev", "A", labelled[value], null)
			count(vela_identity_annotations.deny) == denied with input as world.review(who, "UPDATE", "applications.core.oam.dev", "A", labelled[value], {"metadata": {}})
		}
		count(vela_identity_annotations.deny) == 0 with input as world.review(who, "UPDATE", "applications.core.oam.dev", "A", labelled.prod, labelled.prod)
	}
}

test_creation if {
	named := with_annotations({"app.oam.dev/username": "agent"})
	count(vela_identity_annotations.deny) == 1 with input as world.review("agent", "CREATE", "applications.core.oam.dev", "A", named, null)
	count(vela_identity_annotations.deny) == 0 with input as world.review("agent", "CREATE", "applications.core.oam.dev", "A", {"metadata": {}}, null)
}

test_with_authentication_they_say_who_asks if {
	on := {"vela-identity-annotations": {"authentication": true}}
	every annotations in [{"app.oam.dev/username": "agent"}, {"app.oam.dev/username": "agent", "app.oam.dev/group": ""}] {
		count(vela_identity_annotations.deny) == 0 with input as world.review("agent", "CREATE", "applications.core.oam.dev", "A", with_annotations(annotations), null)
			with data.params as on
	}
	every annotations in [{"app.oam.dev/username": "root"}, {"app.oam.dev/group": "system:masters"}, {"app.oam.dev/service-account-name": "agent"}] {
		count(vela_identity_annotations.deny) == 1 with input as world.review("agent", "CREATE", "applications.core.oam.dev", "A", with_annotations(annotations), null)
			with data.params as on
	}
}

test_vela_remembers_whom_an_application_names if {
	named := with_annotations({"app.oam.dev/username": "agent", "app.oam.dev/group": ""})
	on := {"vela-identity-annotations": {"authentication": true}}
	every operation in ["CREATE", "UPDATE"] {
		count(vela_identity_annotations.deny) == 0 with input as world.review("vela", operation, "applicationrevisions.core.oam.dev", "A", named, {"metadata": {}})
			with data.params as on
		count(vela_identity_annotations.deny) > 0 with input as world.review("vela", operation, "applications.core.oam.dev", "A", named, {"metadata": {}})
			with data.params as on
		count(vela_identity_annotations.deny) > 0 with input as world.review("agent", operation, "applicationrevisions.core.oam.dev", "A", named, {"metadata": {}})
			with data.params as {"vela-identity-annotations": {"authentication": false}}
		count(vela_identity_annotations.deny) > 0 with input as world.review("root", operation, "applicationrevisions.core.oam.dev", "A", named, {"metadata": {}})
			with data.params as on
	}
}
