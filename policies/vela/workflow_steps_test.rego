package portcullis.vela_workflow_steps_test

import data.portcullis.lib.world
import data.portcullis.vela_workflow_steps

application(steps) := {"spec": {"components": [], "workflow": {"steps": steps}}}

created(resource, object) := findings if {
	findings := vela_workflow_steps.deny with input as world.review("agent", "CREATE", resource, "A", object, null)
}

test_listed_steps if {
	every type in ["deploy", "suspend", "step-group", "print-message-in-status"] {
		count(created("applications.core.oam.dev", application([{"name": "s", "type": type}]))) == 0
	}
	count(created("applications.core.oam.dev", {"spec": {"components": []}})) == 0
}

test_other_steps if {
	every type in ["apply-object", "depends-on-app", "read-object", "export2secret", "vela-cli", "request", "webhook", "build-push-image", "", 7] {
		count(created("applications.core.oam.dev", application([{"name": "s", "type": type}]))) == 1
	}
	count(created("applications.core.oam.dev", application([{"name": "s"}]))) == 1
}

test_wherever_they_stand if {
	bad := [{"name": "s", "type": "webhook"}]
	nested := application([{"name": "g", "type": "step-group", "subSteps": bad}])
	{finding.field | some finding in created("applications.core.oam.dev", nested)} == {"spec.workflow.steps[0].subSteps[0].type"}
	{finding.field | some finding in created("workflows.core.oam.dev", {"steps": bad})} == {"steps[0].type"}
	{finding.field | some finding in created("workflowruns.core.oam.dev", {"spec": {"workflowSpec": {"steps": bad}}})} == {"spec.workflowSpec.steps[0].type"}
}

test_unchanged_steps_pass if {
	old := application([{"name": "s", "type": "webhook"}])
	count(vela_workflow_steps.deny) == 0 with input as world.review("vela", "UPDATE", "applications.core.oam.dev", "A", old, old)
	more := application([{"name": "s", "type": "webhook"}, {"name": "t", "type": "deploy"}])
	count(vela_workflow_steps.deny) == 1 with input as world.review("agent", "UPDATE", "applications.core.oam.dev", "A", more, old)
}

test_without_a_list_nothing_is_listed if {
	count(vela_workflow_steps.deny) == 1 with input as world.review("agent", "CREATE", "applications.core.oam.dev", "A", application([{"type": "deploy"}]), null)
		with data.params as {}
}

test_steps_that_are_no_list if {
	bad := {"0": {"name": "s", "type": "webhook"}}
	nested := application([{"name": "g", "type": "step-group", "subSteps": bad}])
	{finding.field | some finding in created("applications.core.oam.dev", application(bad))} == {"spec.workflow.steps"}
	{finding.field | some finding in created("applications.core.oam.dev", nested)} == {"spec.workflow.steps[0].subSteps"}
	{finding.field | some finding in created("workflows.core.oam.dev", {"steps": bad})} == {"steps"}
	{finding.field | some finding in created("workflowruns.core.oam.dev", {"spec": {"workflowSpec": {"steps": "x"}}})} == {"spec.workflowSpec.steps"}
	count(created("applications.core.oam.dev", application(null))) == 0
}
