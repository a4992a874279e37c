# METADATA
# title: Which keys are not a tenant's to write
# description: >-
#   Families of metadata keys, by domain (with the domains below it). The same test serves labels, annotations,
#   finalizers and the apiVersion of an owner, which all begin with a domain and a slash.
package portcullis.lib.reserved

# Who may write reserved keys. Configured controllers copy templates and metadata out of objects that tenants write, so
# they are tenants here, but for those that an operator names.
trusted_writer if input.tenancy.requester.class in {"platform", "vela", "capsule", "system", "node", "admin"}

trusted_writer if {
	input.tenancy.requester.class == "controller"
	input.tenancy.requester.name in data.params["reserved-metadata"].writers
}

# Keys joined by newlines that hold nothing reserved but `times` keys under the platform's own prefix: decided by a few
# builtins and no loop, for it is the usual case. Split at slashes, each key's domain ends a piece, so the suffixes find
# every reserved domain, and few others. It must be shown: where settings or parameters lack, nothing is clean.
clean_but(joined, times) if {
	prefix := data.tenancy.settings.labelPrefix
	strings.count(joined, prefix) == times
	strings.count(joined, "kubenova.") == product([times, strings.count(prefix, "kubenova.")])
	strings.any_suffix_match(split(joined, "/"), data.params["reserved-metadata"].domains) == false
}

# Without these nothing counts as free.
known if {
	data.tenancy.settings.labelPrefix != ""
	is_array(data.params["reserved-metadata"].domains)
}

is_reserved(key) if is_legacy(key)

is_reserved(key) if {
	contains(key, "/")
	of_family(split(key, "/")[0])
	not is_injected(key)
}

# The generation before wrote `kubenova.app` and its like, and its agents still act on them. Without a slash:
# `kubenova.io.example.com/x` is somebody's domain and nobody's business.
is_legacy(key) if {
	startswith(key, "kubenova.")
	not contains(key, "/")
}

of_family(domain) if within(domain, data.tenancy.settings.labelPrefix)

of_family(domain) if {
	some family in data.params["reserved-metadata"].domains
	within(domain, family)
}

within(domain, family) if domain == family

within(domain, family) if endswith(domain, concat("", [".", family]))

# What an injector itself leaves on a Pod looks as if its author had written it. A key that ends in `*` is a beginning.
is_injected(key) if {
	some entry in data.params["reserved-metadata"].injected
	not contains(entry, "=")
	names(entry, key)
	not says_injected(key)
}

# The same for a key that passes with one value only: `key=value`.
is_injected_as(key, value) if {
	some entry in data.params["reserved-metadata"].injected
	parts := split(entry, "=")
	count(parts) > 1
	names(parts[0], key)
	value == trim_prefix(entry, concat("", [parts[0], "="]))
}

# A key by which an injector knows that it has been there: it would not come again, so the sidecar must be there, from the
# platform's own registries.
is_injected_as(key, _) if {
	not contains(key, "=")
	some image in input.images
	image.container == data.params["reserved-metadata"].sidecars[key]
	image.ok == true
	image.entries.platform != ""
}

is_injected_as(key, value) if {
	is_string(value)
	some image in input.images
	image.container == data.params["reserved-metadata"].sidecars[concat("=", [key, value])]
	image.ok == true
	image.entries.platform != ""
}

says_injected(key) if data.params["reserved-metadata"].sidecars[key]

names(entry, key) if entry == key

names(entry, key) if {
	endswith(entry, "*")
	startswith(key, trim_suffix(entry, "*"))
}
