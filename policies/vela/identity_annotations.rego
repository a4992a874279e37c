# METADATA
# title: Metadata cannot choose whom Vela impersonates, which labels it omits, or which cluster it writes to
# description: >-
#   Vela impersonates the user in the annotations `app.oam.dev/username`, `/group` and `/service-account-name` of an
#   Application and trusts them from any writer (kubevela #7139); `system:masters` gives cluster-admin rights. So no user
#   can set or change them. Where Vela's own webhook writes them (`authentication: true` in the parameters), they must name
#   the requester. Labels of an Application are copied to all its objects, and `app.oam.dev/cluster` sends these to another
#   cluster.
# custom:
#   id: vela-identity-annotations
#   severity: critical
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: ["*.oam.dev", "*.oam.dev/*"]
#       namespaces: [app, sandbox, unregistered]
package portcullis.vela_identity_annotations

import data.portcullis.lib.request

deny contains finding if {
	some key in ["app.oam.dev/username", "app.oam.dev/group", "app.oam.dev/service-account-name"]
	input.request.object.metadata.annotations[key] != null
	value := input.request.object.metadata.annotations[key]
	not input.request.oldObject.metadata.annotations[key] == value
	not says_who_asks(key, value)
	finding := {
		"field": concat(".", ["metadata.annotations", key]),
		"observed": sprintf("%v", [value]),
		"msg": sprintf("would make Vela impersonate another user: no user may set this on %s", [request.resource]),
		"fix": "remove the annotation; Vela then deploys as itself, into the Application's own namespace only",
	}
}

# The gate cannot check objects by labels that Vela omits.
deny contains finding if {
	some key, value in annotations
	filters(lower(upper(key)))
	not input.request.oldObject.metadata.annotations[key] == value
	finding := {
		"field": concat(".", ["metadata.annotations", key]),
		"observed": sprintf("%v", [value]),
		"msg": sprintf("would keep labels from what Vela makes of %s, and by them it is known whose it is", [request.resource]),
		"fix": "remove the annotation",
	}
}

# Labels of the Application are merged into its objects' (generateAndFilterCommonLabels in pkg/appfile/appfile.go).
deny contains finding if {
	cluster := input.request.object.metadata.labels["app.oam.dev/cluster"]
	not cluster in {"", "local"}
	not input.request.oldObject.metadata.labels["app.oam.dev/cluster"] == cluster
	finding := {
		"field": "metadata.labels.app.oam.dev/cluster",
		"observed": sprintf("%v", [cluster]),
		"msg": sprintf("would send what Vela makes of %s to another cluster, where this gate sees nothing", [request.resource]),
		"fix": "remove the label",
	}
}

default annotations := {}

annotations := found if {
	found := input.request.object.metadata.annotations
	is_object(found)
}

filters(key) if startswith(key, "filter.oam.dev/")

filters(key) if contains(key, ".filter.oam.dev/")

says_who_asks("app.oam.dev/username", value) if {
	data.params["vela-identity-annotations"].authentication == true
	value == input.request.userInfo.username
}

# Of the groups Vela's webhook writes those that fit its pattern: usually none, and then an empty text.
says_who_asks("app.oam.dev/group", value) if {
	data.params["vela-identity-annotations"].authentication == true
	named := {group | some group in split(value, ","); group != ""}
	asking := {group | some group in input.request.userInfo.groups}
	count(named - asking) == 0
}

# What Vela remembers of an Application it copies whole; it acts by what stands in the Application itself.
says_who_asks(_, _) if {
	data.params["vela-identity-annotations"].authentication == true
	input.tenancy.requester.class == "vela"
	input.request.resource.group == "core.oam.dev"
	input.request.resource.resource == "applicationrevisions"
}
