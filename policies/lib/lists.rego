# METADATA
# title: Lists that may be null
# description: >-
#   A list that is null or not a list counts as empty. Iterating over null is an error in the interpreter and skipped by
#   the register machine; this function makes both give the same verdict.
package portcullis.lib.lists

each(list) := list if {
	is_array(list)
} else := []
