# METADATA
# title: Workflow steps are on a list
# description: >-
#   Most workflow steps of KubeVela write into other namespaces, read Secrets or call services outside the cluster, with
#   Vela's rights. An Application, Workflow or WorkflowRun can have only the listed types (params), sub-steps included.
#   Unchanged steps are allowed.
# custom:
#   id: vela-workflow-steps
#   severity: high
#   mode: enforce
#   on_error: deny
#   params_schema:
#     type: object
#     properties:
#       allowed: {type: array, items: {type: string}, combine: intersect}
#   match:
#     - operations: [CREATE, UPDATE]
#       resources: [applications.core.oam.dev, workflows.core.oam.dev, workflowruns.core.oam.dev]
#       namespaces: [app, sandbox, unregistered]
package portcullis.vela_workflow_steps

import data.portcullis.lib.applications
import data.portcullis.lib.lists

deny contains finding if {
	not unchanged
	some step in steps
	not step.type in allowed
	finding := {
		"field": step.field,
		"observed": step.type,
		"msg": "is not a workflow step that Applications may use",
		"allowed": allowed,
		"fix": "leave the step out; the platform's own pipeline can do it, or an operator adds it to params/vela-workflow-steps",
	}
}

# A step outside of a list has no type that is checked.
deny contains finding if {
	not unchanged
	some place in unlisted
	not is_array(place.of)
	finding := {
		"field": place.field,
		"msg": "is no list, and a workflow has a list of steps",
		"fix": "write a list",
	}
}

unlisted contains {"field": sprintf("spec.%s.steps", [key]), "of": found} if {
	some key in ["workflow", "workflowSpec"]
	input.request.object.spec[key].steps != null
	found := input.request.object.spec[key].steps
}

unlisted contains {"field": "steps", "of": found} if {
	input.request.object.steps != null
	found := input.request.object.steps
}

unlisted contains {"field": concat(".", [at.field, "subSteps"]), "of": found} if {
	some at in applications.steps
	at.of.subSteps != null
	found := at.of.subSteps
}

default allowed := []

allowed := data.params["vela-workflow-steps"].allowed

unchanged if {
	input.request.operation == "UPDATE"
	input.request.object.spec.workflow == input.request.oldObject.spec.workflow
	input.request.resource.resource == "applications"
}

unchanged if {
	input.request.operation == "UPDATE"
	input.request.object.steps == input.request.oldObject.steps
	input.request.resource.resource == "workflows"
}

unchanged if {
	input.request.operation == "UPDATE"
	input.request.object.spec.workflowSpec == input.request.oldObject.spec.workflowSpec
	input.request.resource.resource == "workflowruns"
}

# The paths of steps in an Application, a WorkflowRun and a Workflow.
steps contains {"field": sprintf("spec.workflow.steps[%d].type", [index]), "type": kind_of(step)} if {
	some index, step in lists.each(input.request.object.spec.workflow.steps)
}

steps contains {"field": sprintf("spec.workflow.steps[%d].subSteps[%d].type", [index, below]), "type": kind_of(sub)} if {
	some index, step in lists.each(input.request.object.spec.workflow.steps)
	some below, sub in lists.each(step.subSteps)
}

steps contains {"field": sprintf("spec.workflowSpec.steps[%d].type", [index]), "type": kind_of(step)} if {
	some index, step in lists.each(input.request.object.spec.workflowSpec.steps)
}

steps contains {"field": sprintf("spec.workflowSpec.steps[%d].subSteps[%d].type", [index, below]), "type": kind_of(sub)} if {
	some index, step in lists.each(input.request.object.spec.workflowSpec.steps)
	some below, sub in lists.each(step.subSteps)
}

steps contains {"field": sprintf("steps[%d].type", [index]), "type": kind_of(step)} if {
	some index, step in lists.each(input.request.object.steps)
}

steps contains {"field": sprintf("steps[%d].subSteps[%d].type", [index, below]), "type": kind_of(sub)} if {
	some index, step in lists.each(input.request.object.steps)
	some below, sub in lists.each(step.subSteps)
}

# A step without a type is unknown.
kind_of(step) := step.type if {
	is_string(step.type)
} else := ""
