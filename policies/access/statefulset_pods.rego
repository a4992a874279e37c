# METADATA
# title: Pods of the StatefulSet controller have its names and labels
# description: >-
#   The StatefulSet controller names a Pod after its StatefulSet and a number, and labels it with its name and revision. A
#   Pod by this controller without them belongs to no StatefulSet that the gate has reviewed. This does not prove that the
#   StatefulSet is in this namespace; controller-revisions stops one from creating Pods elsewhere.
# custom:
#   id: statefulset-pods
#   severity: high
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE]
#       resources: [pods]
#       namespaces: [app, sandbox, unregistered]
package portcullis.statefulset_pods

import data.portcullis.lib.lists
import data.portcullis.lib.request

deny contains finding if {
	by_controller
	not made
	finding := {
		"field": "metadata",
		"msg": sprintf("%s makes Pods called after their StatefulSet and a number, with the labels `%s` and `%s`; this Pod is not one", [request.username, name_label, revision_label]),
		"fix": "create the StatefulSet in this namespace and let its controller make the Pods; a Pod without a set is created under its author's own name",
	}
}

name_label := "statefulset.kubernetes.io/pod-name"

revision_label := "controller-revision-hash"

by_controller if {
	input.tenancy.requester.class == "system"
	input.tenancy.requester.username == "system:serviceaccount:kube-system:statefulset-controller"
}

# All controllers of kube-system may share one username; then the ownerReference names the controller.
by_controller if {
	input.tenancy.requester.class == "system"
	some owner in owners
	owner.kind == "StatefulSet"
	startswith(owner.apiVersion, "apps/")
}

owners := [owner |
	some owner in lists.each(input.request.object.metadata.ownerReferences)
	owner.controller == true
]

made if {
	pod := input.request.object.metadata
	some owner in owners
	owner.kind == "StatefulSet"
	startswith(owner.apiVersion, "apps/")
	startswith(pod.name, concat("", [owner.name, "-"]))
	regex.match(`^(0|[1-9][0-9]{0,9})$`, trim_prefix(pod.name, concat("", [owner.name, "-"])))
	pod.labels[name_label] == pod.name
	pod.labels[revision_label] != ""
}
