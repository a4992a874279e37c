# METADATA
# title: TITLE
# description: >-
#   Say here what the policy is for, in a sentence or two. Users read it when they are denied.
# custom:
#   id: ID
#   severity: medium  # low | medium | high | critical: told, and not used to decide
#   mode: enforce     # enforce denies | warn warns | audit only records | off
#   on_error: deny    # what is answered when the policy itself fails: deny | allow
#   match:            # an index: a policy costs nothing for what it does not match
#     - operations: [CREATE, UPDATE]  # CREATE | UPDATE | DELETE | CONNECT
#       resources: [pods, pods/ephemeralcontainers, deployments.apps]  # as kubectl has them; also */scale, *.oam.dev/*, */*
#       namespaces: [app, sandbox]  # app | sandbox | unregistered | platform | cluster
package portcullis.NAME

# The example: an image tagged `latest` is another image tomorrow.
#
# A policy sees
#   input.request       the AdmissionRequest as the API server sends it: object, oldObject, operation, userInfo, …
#   input.tenancy       {namespace: {kind, tenant, project, …}, requester: {class, name, tenants, …}}
#   input.workload      {path, metadata, spec} of the pod template, in whatever kind it stands
#   input.images        every image of it, already read: {path, raw, registry, repository, tag, digest, ok, …}
#   input.changed       on UPDATE, the JSON pointers that differ
#   data.params["ID"]   params/ID/data.yaml
# and has the rules `deny` and `warn`, which find, and `patch` and `merge`, which change.
deny contains finding if {
	some image in input.images
	image.tag == "latest"

	# A finding is one line: [id] field: "observed" msg; fix: fix. Or just a string.
	finding := {
		"field": image.path,
		"observed": image.raw,
		"msg": "is tagged latest, which is another image tomorrow",
		"fix": "name a version, or better a digest",
	}
}
