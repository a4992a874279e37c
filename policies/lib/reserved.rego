# METADATA
# title: Which keys are not a tenant's to write
# description: >-
#   Families of metadata keys, by domain (with the domains below it). The same test serves labels, annotations,
#   finalizers and the apiVersion of an owner, which all begin with a domain and a slash.
package portcullis.lib.reserved

# Vela's, Capsule's and Pod Security's. What an operator may add stands in the parameters (injectors); these may not go.
families := ["oam.dev", "capsule.clastix.io", "projectcapsule.dev", "pod-security.kubernetes.io"]

# The generation before wrote `kubenova.app` and its like, and its agents still act on them.
legacy := "kubenova."

# Keys joined by newlines that hold nothing reserved but `times` keys under the platform's own prefix: decided by a few
# builtins and no loop, for it is the usual case. Split at slashes, each key's domain ends a piece, so the suffixes find
# every reserved domain, and few others. It must be shown: where settings or parameters lack, nothing is clean.
clean_but(joined, times) if {
	prefix := data.tenancy.settings.labelPrefix
	strings.count(joined, prefix) == times
	strings.count(joined, legacy) == times * strings.count(prefix, legacy)
	domains := split(joined, "/")
	strings.any_suffix_match(domains, families) == false
	strings.any_suffix_match(domains, data.params["reserved-metadata"].injectors) == false
}

# Without these nothing counts as free.
known if {
	data.tenancy.settings.labelPrefix != ""
	is_array(data.params["reserved-metadata"].injectors)
}

is_legacy(key) if startswith(key, legacy)

is_reserved(key) if is_legacy(key)

is_reserved(key) if {
	contains(key, "/")
	of_family(split(key, "/")[0])
}

of_family(domain) if domain == data.tenancy.settings.labelPrefix

of_family(domain) if {
	some family in families
	within(domain, family)
}

of_family(domain) if {
	some family in data.params["reserved-metadata"].injectors
	within(domain, family)
}

within(domain, family) if domain == family

within(domain, family) if endswith(domain, concat("", [".", family]))
