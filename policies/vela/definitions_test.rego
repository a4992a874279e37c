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

test_other_kinds_and_finalizers_pass if {
	not denied("vela", "CREATE", "applicationrevisions.core.oam.dev")
	count(vela_definitions.deny) == 0 with input as world.letting_go("vela", "policydefinitions.core.oam.dev", "A", {}, {})
}
