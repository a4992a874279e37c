# METADATA
# title: Names composed from slugs
# description: Namespace names are composed and compared, never parsed; a name over 63 characters is undefined, never cut.
package portcullis.lib.names

max_length := 63

# Whether a name is short enough to be a namespace's.
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

# The last part of an app's name; tenant and project come from the ledger, which has checked theirs.
is_slug(slug) if {
	count(slug) <= 20
	regex.match(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?\z`, slug)
}

# Exactly three digits, 001 to 999.
is_number(text) if {
	regex.match(`^[0-9]{3}\z`, text)
	text != "000"
}
