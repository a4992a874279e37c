# METADATA
# title: Spelling of ids
# description: >-
#   The ledger writes ids as lower-case UUIDs with hyphens, and ids are looked up by text. Another spelling is not found,
#   although programs that parse UUIDs take it for the same id.
package portcullis.lib.ids

is_other_spelling(id) if lower(id) != id

is_other_spelling(id) if {
	digits := replace(trim_prefix(trim(lower(id), "{}"), "urn:uuid:"), "-", "")
	regex.match(`^[0-9a-f]{32}\z`, digits)
	not regex.match(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\z`, id)
}
