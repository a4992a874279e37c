package portcullis.administrator_notice_test

import data.portcullis.administrator_notice
import data.portcullis.lib.world

test_administrators_are_told if {
	some message in administrator_notice.warn with input as world.review("root", "DELETE", "pods", "A", null, {})
	count(message) < 120
}

test_nobody_else_is if {
	every who in object.keys(world.people) - {"root"} {
		count(administrator_notice.warn) == 0 with input as world.review(who, "DELETE", "pods", "A", null, {})
	}
}
