# METADATA
# title: Metadata keys that tenants cannot write
# description: >-
#   Reserved metadata keys by domain, subdomains included. The same test applies to labels, annotations, finalizers and
#   the apiVersion of an owner, which all start with a domain and a slash.
package portcullis.lib.reserved

# Who may write reserved keys. Configured controllers copy templates and metadata from objects that tenants write, so they
# count as tenants here, except for those that the parameters name.
trusted_writer if input.tenancy.requester.class in {"platform", "vela", "capsule", "system", "node", "admin"}

trusted_writer if {
	input.tenancy.requester.class == "controller"
	input.tenancy.requester.name in data.params["reserved-metadata"].writers
}

# True where newline-joined keys have nothing reserved but `times` keys under the platform's prefix. This usual case needs a
# few builtins and no loop: split at slashes, each key's domain ends a piece, so testing suffixes finds every reserved
# domain, and few others. Without settings or parameters it is undefined, so nothing counts as clean.
clean_but(joined, times) if {
	prefix := data.tenancy.settings.labelPrefix
	strings.count(joined, prefix) == times
	strings.count(joined, "kubenova.") == product([times, strings.count(prefix, "kubenova.")])
	strings.any_suffix_match(split(joined, "/"), data.params["reserved-metadata"].domains) == false
}

# Without these, every key counts as reserved.
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

# Earlier versions of the platform used keys such as `kubenova.app`, and their agents still act on them. Without a slash,
# since `kubenova.io.example.com/x` belongs to another domain.
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

# Keys that an injector sets on a Pod look like the author's own. A key that ends in `*` is a prefix.
is_injected(key) if {
	some entry in data.params["reserved-metadata"].injected
	not contains(entry, "=")
	names(entry, key)
	not says_injected(key)
}

# The same for a key that is allowed with one value only: `key=value`.
is_injected_as(key, value) if {
	some entry in data.params["reserved-metadata"].injected
	parts := split(entry, "=")
	count(parts) > 1
	names(parts[0], key)
	value == trim_prefix(entry, concat("", [parts[0], "="]))
}

# A key that marks a Pod as injected: the injector skips such a Pod, so it must have the sidecar, from the platform's own
# registries.
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
