package portcullis.lib.names_test

import data.portcullis.lib.names

# tenant, project, app, name; the vectors of tests/cases/names.json
apps := [
	["acme", "shop", "frontend", "tn-acme-shop-app-frontend"],
	["globex", "web", "api", "tn-globex-web-app-api"],
	["acme", "shop", "todo-app", "tn-acme-shop-app-todo-app"],
	["acme", "my-shop", "sbx-001", "tn-acme-my-shop-app-sbx-001"],
	["a", "0", "0", "tn-a-0-app-0"],
	["abcdefghij0123456789", "abcdefghij0123456789", "abcdefghij0123", "tn-abcdefghij0123456789-abcdefghij0123456789-app-abcdefghij0123"],
]

sandboxes := [
	["acme", "shop", 1, "tn-acme-shop-sbx-001"],
	["acme", "shop", 42, "tn-acme-shop-sbx-042"],
	["globex", "web", 999, "tn-globex-web-sbx-999"],
]

test_names if {
	every row in apps {
		count(row[3]) <= 63
		names.app("tn", row[0], row[1], row[2]) == row[3]
	}
	every row in sandboxes {
		names.sandbox("tn", row[0], row[1], row[2]) == row[3]
	}
}

test_too_long_is_refused_not_cut if {
	longest := "abcdefghij0123456789"
	not names.app("tn", longest, longest, "abcdefghij01234")
	not names.app("tn", longest, longest, longest)
}

test_slugs if {
	every bad in ["", "-a", "a-", "A", "a_b", "a.b", "abcdefghij01234567890", "a\n"] {
		not names.app("tn", "acme", "shop", bad)
	}
}

test_numbers if {
	every bad in [0, 1000, -1] {
		not names.sandbox("tn", "acme", "shop", bad)
	}
	every good in ["001", "042", "999"] {
		names.is_number(good)
	}
	every bad in ["000", "1", "0001", "abc", "1e3", "", "01a", "001\n"] {
		not names.is_number(bad)
	}
}
