package portcullis.reserved_template_metadata_test

import data.portcullis.lib.world
import data.portcullis.reserved_template_metadata

template(metadata) := {"metadata": metadata, "spec": {"containers": []}}

deployment(metadata) := {"spec": {"template": template(metadata)}}

seen(review, path, found) := object.union(review, {"workload": {"path": path, "metadata": found.metadata, "spec": found.spec}})

created(who, resource, path, object, found) := findings if {
	findings := reserved_template_metadata.deny with input as seen(world.review(who, "CREATE", resource, "S", object, null), path, found) with data.tenancy as world.tenancy
}

updated(now, before) := findings if {
	review := world.review("acme-dev", "UPDATE", "deployments.apps", "S", deployment(now), deployment(before))
	findings := reserved_template_metadata.deny with input as seen(review, "spec.template", template(now)) with data.tenancy as world.tenancy
}

forged := {"labels": {"app": "x", "kubenova.io/app-id": "x"}}

test_templates if {
	every resource in ["deployments.apps", "statefulsets.apps", "jobs.batch", "replicationcontrollers"] {
		count(created("acme-dev", resource, "spec.template", deployment(forged), template(forged))) == 1
	}
	count(created("acme-dev", "podtemplates", "template", {"template": template(forged)}, template(forged))) == 1
	count(created("acme-dev", "deployments.apps", "spec.template", deployment({"labels": {"app": "x"}}), template({"labels": {"app": "x"}}))) == 0
	count(created("acme-dev", "deployments.apps", "spec.template", deployment({}), template({}))) == 0
}

test_both_metadata_of_a_cronjob if {
	plain := template({})
	object := {"spec": {"jobTemplate": {"metadata": {"annotations": {"app.oam.dev/name": "x"}}, "spec": {"template": plain}}}}
	some finding in created("acme-dev", "cronjobs.batch", "spec.jobTemplate.spec.template", object, plain)
	finding.field == "spec.jobTemplate.metadata.annotations.app.oam.dev/name"
	bad := template(forged)
	inner := {"spec": {"jobTemplate": {"spec": {"template": bad}}}}
	count(created("acme-dev", "cronjobs.batch", "spec.jobTemplate.spec.template", inner, bad)) == 1
}

test_claims if {
	plain := template({})
	claims := {"spec": {"template": plain, "volumeClaimTemplates": [{"metadata": forged}]}}
	count(created("acme-dev", "statefulsets.apps", "spec.template", claims, plain)) == 1
	pod := {"metadata": {}, "spec": {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "ephemeral": {"volumeClaimTemplate": {"metadata": forged}}}]}}
	count(created("acme-dev", "pods", "", pod, pod)) == 1
}

test_what_stays_passes if {
	count(updated(forged, forged)) == 0
	count(updated(object.union(forged, {"annotations": {"a": "b"}}), forged)) == 0
	count(updated({"labels": {"app": "x"}}, forged)) == 1
	count(updated({}, forged)) == 1
	count(updated({"labels": {"kubenova.io/app-id": "y"}}, forged)) == 1
}

test_own_ids_pass if {
	own := {"labels": {"kubenova.io/tenant-id": "t-acme"}}
	count(created("acme-dev", "deployments.apps", "spec.template", deployment(own), template(own))) == 0
}

test_the_trusted_pass if {
	count(created("agent", "deployments.apps", "spec.template", deployment(forged), template(forged))) == 0
	count(created("unknown", "deployments.apps", "spec.template", deployment(forged), template(forged))) == 1
}

told(who, maps) := {finding.field | some finding in findings} if {
	review := world.review(who, "UPDATE", "rollouts.argoproj.io", "S", {}, {})
	findings := reserved_template_metadata.deny with input as object.union(review, {"templates": maps}) with data.tenancy as world.tenancy
}

map(entries, old) := {"field": "spec.template.metadata.labels", "entries": entries, "old": old}

test_maps_within_a_custom_resource if {
	key := "app.oam.dev/name"
	every who in ["acme-dev", "controller", "unknown"] {
		told(who, [map({key: "x"}, {})]) == {sprintf("spec.template.metadata.labels.%s", [key])}
		told(who, [map({}, {key: "x"})]) == {sprintf("spec.template.metadata.labels.%s", [key])}
		told(who, [map({key: "x"}, {key: "x"})]) == set()
		told(who, [map({"app": "x", "kubenova.io/tenant-id": "t-acme"}, {})]) == set()
	}
	told("system", [map({key: "x"}, {})]) == set()
}
