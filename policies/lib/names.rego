# METADATA
# title: Names composed from slugs
# description: Namespace names are composed and compared, never parsed; a name over 63 characters is undefined, never truncated.
package portcullis.lib.names

max_length := 63

# Whether a name is short enough for a namespace.
fits(name) if count(name) <= 63

app(prefix, tenant, project, slug) := name if {
	is_slug(slug)
	name := concat("-", [prefix, tenant, project, "app", slug])
	fits(name)
}

sandbox(prefix, tenant, project, number) := name if {
	to_number(number) >= 1
	to_number(number) <= 999
	name := sprintf("%s-%s-%s-sbx-%03d", [prefix, tenant, project, number])
	fits(name)
}

app_stem(prefix, tenant, project) := concat("-", [prefix, tenant, project, "app", ""])

sandbox_stem(prefix, tenant, project) := concat("-", [prefix, tenant, project, "sbx", ""])

# The app's part of a name; the ledger has checked the slugs of tenant and project.
is_slug(slug) if {
	count(slug) <= 20
	regex.match(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?\z`, slug)
}

# Exactly three digits, 001 to 999.
is_number(text) if {
	regex.match(`^[0-9]{3}\z`, text)
	text != "000"
}
