# METADATA
# title: Parts of an Application
# description: >-
#   Components, traits, policies and steps of Applications, Workflows, WorkflowRuns and Policies. Each is bound in a body,
#   not in a head: the interpreter loses the whole set when one head is undefined, and the register machine does not stop
#   at an undefined `:=`, so a bare line precedes each.
package portcullis.lib.applications

import data.portcullis.lib.lists

# Policies of an Application, and a Policy object, which is one policy.
policies contains {"field": sprintf("spec.policies[%d]", [index]), "type": type_of(policy), "of": properties_of(policy)} if {
	some index, policy in lists.each(input.request.object.spec.policies)
}

policies contains {"field": "(policy)", "type": type_of(input.request.object), "of": properties_of(input.request.object)} if {
	input.request.resource.resource == "policies"
}

# A part without a type has no known type.
type_of(part) := part.type if {
	is_string(part.type)
} else := ""

properties_of(part) := part.properties if {
	part.properties
} else := {}

# Steps and the steps below them.
steps contains {"field": sprintf("spec.workflow.steps[%d]", [index]), "of": step} if {
	some index, step in lists.each(input.request.object.spec.workflow.steps)
}

steps contains {"field": sprintf("spec.workflowSpec.steps[%d]", [index]), "of": step} if {
	some index, step in lists.each(input.request.object.spec.workflowSpec.steps)
}

steps contains {"field": sprintf("steps[%d]", [index]), "of": step} if {
	some index, step in lists.each(input.request.object.steps)
}

all_steps contains step if some step in steps

all_steps contains {"field": sprintf("%s.subSteps[%d]", [at.field, index]), "of": sub} if {
	some at in steps
	some index, sub in lists.each(at.of.subSteps)
}

# Components of an Application, and those that a policy overrides, which need no type.
components contains {"field": sprintf("spec.components[%d]", [index]), "type": type_of(component), "of": component} if {
	some index, component in lists.each(input.request.object.spec.components)
}

overridden contains {"field": sprintf("%s.properties.components[%d]", [policy.field, index]), "type": type_of(component), "of": component} if {
	some policy in policies
	some index, component in lists.each(policy.of.components)
}

all_components contains component if some component in components

all_components contains component if some component in overridden

traits contains {"field": sprintf("%s.traits[%d]", [component.field, at]), "type": type_of(trait), "of": trait} if {
	some component in all_components
	some at, trait in lists.each(component.of.traits)
}

# Every part with `properties`, with its kind and type.
parts contains {"kind": "policy", "type": policy.type, "field": concat(".", [policy.field, "properties"]), "of": policy.of} if {
	some policy in policies
}

parts contains {"kind": "step", "type": type_of(at.of), "field": concat(".", [at.field, "properties"]), "of": found} if {
	some at in all_steps
	at.of.properties
	found := at.of.properties
}

parts contains {"kind": "component", "type": at.type, "field": concat(".", [at.field, "properties"]), "of": found} if {
	some at in all_components
	at.of.properties
	found := at.of.properties
}

parts contains {"kind": "trait", "type": at.type, "field": concat(".", [at.field, "properties"]), "of": found} if {
	some at in traits
	at.of.properties
	found := at.of.properties
}

# Inputs, which a workflow sets while it runs.
inputs contains {"field": sprintf("%s.inputs[%d]", [at.field, index]), "of": found} if {
	some at in all_steps | all_components
	some index, found in lists.each(at.of.inputs)
}
