package portcullis.vela_definitions_test

import data.portcullis.lib.world
import data.portcullis.vela_definitions

denied(who, operation, resource) if {
	count(vela_definitions.deny) > 0 with input as world.review(who, operation, resource, "A", {}, {})
}

test_definitions_are_nobodys if {
	every who in object.keys(world.people) {
		denied(who, "CREATE", "componentdefinitions.core.oam.dev")
		denied(who, "UPDATE", "traitdefinitions.core.oam.dev")
	}
	denied("vela", "UPDATE", "workflowstepdefinitions.core.oam.dev/status")
}

test_revisions_of_definitions_and_packages_are_refused_to_everyone if {
	every who in object.keys(world.people) {
		denied(who, "CREATE", "definitionrevisions.core.oam.dev")
		denied(who, "UPDATE", "definitionrevisions.core.oam.dev")
		denied(who, "CREATE", "packages.cue.oam.dev")
		denied(who, "UPDATE", "packages.cue.oam.dev/status")
	}
	not denied("agent", "CREATE", "packages.example.com")
}

test_only_vela_and_the_platforms_operators_write_application_revisions if {
	every operation in ["CREATE", "UPDATE"] {
		every who in ["mgr", "agent", "capsule", "node", "acme-dev", "acme-sa", "app-sa", "globex-dev", "elsewhere", "unknown", "nobody at all"] {
			denied(who, operation, "applicationrevisions.core.oam.dev")
			denied(who, operation, "applicationrevisions.core.oam.dev/status")
		}
		every who in ["vela", "system", "gc", "root", "controller"] {
			not denied(who, operation, "applicationrevisions.core.oam.dev")
		}
	}
	not denied("agent", "CREATE", "applications.core.oam.dev")
	count(vela_definitions.deny) == 0 with input as world.letting_go("agent", "applicationrevisions.core.oam.dev", "A", {}, {})
}

test_other_kinds_and_finalizers_pass if {
	not denied("vela", "CREATE", "applicationrevisions.core.oam.dev")
	count(vela_definitions.deny) == 0 with input as world.letting_go("vela", "policydefinitions.core.oam.dev", "A", {}, {})
}
