# METADATA
# title: Lists that may be null
# description: >-
#   A list that is null, or no list at all, has nothing in it. The interpreter stops with an error where one iterates
#   over null, the register machine passes over it; the same verdict from both begins with the same input.
package portcullis.lib.lists

each(list) := list if {
	is_array(list)
} else := []
