# METADATA
# title: How an id is written
# description: >-
#   The ledger writes ids as lower-case UUIDs with hyphens, and an id is looked up as it is written. Another spelling is
#   not found, though programs that read UUIDs take it for the same id.
package portcullis.lib.ids

is_other_spelling(id) if lower(id) != id

is_other_spelling(id) if {
	digits := replace(trim_prefix(trim(lower(id), "{}"), "urn:uuid:"), "-", "")
	regex.match(`^[0-9a-f]{32}\z`, digits)
	not regex.match(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\z`, id)
}
