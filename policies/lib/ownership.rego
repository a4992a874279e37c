# METADATA
# title: The ownership labels of a namespace
# description: >-
#   Which labels every object in a namespace carries, and their values; undefined where the snapshot does not say. A
#   function, because the register machine looks a rule of another package up slowly and calls a function at once.
package portcullis.lib.ownership

# The gate may have composed them already (`input.tenancy.namespace.labels`), which saves a review two microseconds.
labels(namespace, _) := namespace.labels

labels(namespace, prefix) := {
	concat("", [prefix, "/tenant-id"]): namespace.tenantId,
	concat("", [prefix, "/project-id"]): namespace.projectId,
	concat("", [prefix, "/sandbox"]): "true",
} if {
	not namespace.labels
	namespace.kind == "sandbox"
}

labels(namespace, prefix) := {
	concat("", [prefix, "/tenant-id"]): namespace.tenantId,
	concat("", [prefix, "/project-id"]): namespace.projectId,
	concat("", [prefix, "/app-id"]): namespace.appId,
} if {
	not namespace.labels
	namespace.kind == "app"
}
