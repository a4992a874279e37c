# METADATA
# title: Only the deployment controller writes the hash in a ReplicaSet's template
# description: >-
#   A Pod names its ReplicaSet and no Deployment. An exemption for a Deployment extends to Pods whose label
#   `pod-template-hash` ends the name of their ReplicaSet, and the deployment controller writes this label into the
#   templates of its ReplicaSets. Other writers are refused, so that a ReplicaSet with a name like that of
#   a Deployment's does not use the Deployment's exemption. An unchanged label passes.
# custom:
#   id: replicaset-hash
#   severity: medium
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: [replicasets.apps]
#       namespaces: [app, sandbox, unregistered]
package portcullis.replicaset_hash

import data.portcullis.lib.request
import data.portcullis.lib.reserved

deny contains finding if {
	not permitted
	input.request.object.spec.template.metadata.labels["pod-template-hash"] != null
	hash := input.request.object.spec.template.metadata.labels["pod-template-hash"]
	not hash == input.request.oldObject.spec.template.metadata.labels["pod-template-hash"]
	finding := {
		"field": "spec.template.metadata.labels.pod-template-hash",
		"observed": sprintf("%v", [hash]),
		"msg": sprintf("is the deployment controller's to write, and not %s's: by this label an exemption for a Deployment extends to its Pods", [request.username]),
		"fix": "create a Deployment, or leave the label out of the template and of the selector",
	}
}

permitted if {
	input.tenancy.requester.class == "system"
	input.tenancy.requester.username in {"system:serviceaccount:kube-system:deployment-controller", "system:kube-controller-manager"}
}

permitted if input.tenancy.requester.class in {"platform", "admin"}

# Controllers that restore objects write them unchanged.
permitted if {
	input.tenancy.requester.class == "controller"
	reserved.trusted_writer
}
