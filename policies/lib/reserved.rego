# METADATA
# title: Which keys are not a tenant's to write
# description: >-
#   Families of metadata keys, by domain (with the domains below it). The same test serves labels, annotations,
#   finalizers and the apiVersion of an owner, which all begin with a domain and a slash.
package portcullis.lib.reserved

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

of_family(domain) if domain == data.tenancy.settings.labelPrefix

of_family(domain) if {
	some family in data.params["reserved-metadata"].domains
	within(domain, family)
}

within(domain, family) if domain == family

within(domain, family) if endswith(domain, concat("", [".", family]))

# What an injector itself leaves on a Pod looks as if its author had written it.
is_injected(key) if key in data.params["reserved-metadata"].injected
