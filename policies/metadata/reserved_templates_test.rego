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

hold := {"finalizers": ["example.com/mine", "kubenova.io/hold"]}

app_owner := {"ownerReferences": [{"apiVersion": "core.oam.dev/v1beta1", "kind": "Application", "name": "shop", "uid": "1"}, {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "2"}]}

fields(findings) := {finding.field | some finding in findings}

test_finalizers_and_owners_in_templates if {
	at := "spec.template.metadata.finalizers.kubenova.io/hold"
	every resource in ["deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch", "replicationcontrollers"] {
		fields(created("acme-dev", resource, "spec.template", deployment(hold), template(hold))) == {at}
	}
	fields(created("acme-dev", "podtemplates", "template", {"template": template(hold)}, template(hold))) == {"template.metadata.finalizers.kubenova.io/hold"}
	fields(created("acme-dev", "deployments.apps", "spec.template", deployment(app_owner), template(app_owner))) == {"spec.template.metadata.ownerReferences.core.oam.dev/v1beta1 Application shop 1"}
	legacy := {"finalizers": ["kubenova.finalizer"]}
	count(created("acme-dev", "deployments.apps", "spec.template", deployment(legacy), template(legacy))) == 1
	mine := {"finalizers": ["example.com/mine"], "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "2"}]}
	count(created("acme-dev", "deployments.apps", "spec.template", deployment(mine), template(mine))) == 0
}

test_finalizers_and_owners_of_jobs_and_claims if {
	plain := template({})
	cron := {"spec": {"jobTemplate": {"metadata": object.union(hold, app_owner), "spec": {"template": plain}}}}
	count(created("acme-dev", "cronjobs.batch", "spec.jobTemplate.spec.template", cron, plain)) == 2
	inner := template(hold)
	count(created("acme-dev", "cronjobs.batch", "spec.jobTemplate.spec.template", {"spec": {"jobTemplate": {"spec": {"template": inner}}}}, inner)) == 1
	claims := {"spec": {"template": plain, "volumeClaimTemplates": [{"metadata": {}}, {"metadata": object.union(hold, app_owner)}]}}
	fields(created("acme-dev", "statefulsets.apps", "spec.template", claims, plain)) == {
		"spec.volumeClaimTemplates[1].metadata.finalizers.kubenova.io/hold",
		"spec.volumeClaimTemplates[1].metadata.ownerReferences.core.oam.dev/v1beta1 Application shop 1",
	}
	pod := {"metadata": {}, "spec": {"volumes": [{"name": "b", "ephemeral": {"volumeClaimTemplate": {"metadata": hold}}}]}}
	count(created("acme-dev", "pods", "", pod, pod)) == 1
}

test_finalizers_and_owners_that_stay_pass if {
	both := object.union(hold, app_owner)
	count(updated(both, both)) == 0
	count(updated({}, both)) == 2
	count(updated({"finalizers": ["kubenova.io/hold"]}, hold)) == 0
	other := {"ownerReferences": [{"apiVersion": "core.oam.dev/v1beta1", "kind": "Application", "name": "other", "uid": "1"}]}
	count(updated(other, app_owner)) == 2
	every who in ["controller", "unknown", "globex-dev"] {
		count(created(who, "deployments.apps", "spec.template", deployment(both), template(both))) == 2
	}
	count(created("system", "replicasets.apps", "spec.template", deployment(both), template(both))) == 0
}

test_what_is_no_list_holds_nothing if {
	odd := {"finalizers": null, "ownerReferences": [{"kind": "Pod"}, "x"], "labels": null}
	count(created("acme-dev", "deployments.apps", "spec.template", deployment(odd), template(odd))) == 0
}

with_volumes(volumes) := {"metadata": {}, "spec": {"volumes": volumes}}

claiming(name, metadata) := {"name": name, "ephemeral": {"volumeClaimTemplate": {"metadata": metadata}}}

changed_volumes(now, before) := fields(findings) if {
	after := with_volumes(now)
	review := world.review("acme-dev", "UPDATE", "deployments.apps", "S", {"spec": {"template": after}}, {"spec": {"template": with_volumes(before)}})
	findings := reserved_template_metadata.deny with input as seen(review, "spec.template", after) with data.tenancy as world.tenancy
}

at(index) := {sprintf("volumes[%d].ephemeral.volumeClaimTemplate.metadata.finalizers.kubenova.io/hold", [index])}

test_claims_of_volumes_that_stay_pass if {
	held := claiming("data", hold)
	other := {"name": "tmp", "emptyDir": {}}
	changed_volumes([held], [held]) == set()
	changed_volumes([other, held], [held]) == set()
	changed_volumes([held], []) == at(0)
	changed_volumes([held], null) == at(0)
	changed_volumes([other, claiming("more", hold)], [other]) == at(1)
	changed_volumes([claiming("data", {})], [other, held]) == at(0)
	changed_volumes([{"name": "data", "emptyDir": {}}], [other, held]) == at(1)
	changed_volumes([], [held]) == at(0)
	changed_volumes(null, [held]) == at(0)
	changed_volumes([], [claiming("data", {"labels": {"app": "x"}})]) == set()
}

test_claims_of_volumes_of_every_template if {
	held := with_volumes([claiming("data", hold)])
	every row in [
		["podtemplates", "template", {"template": held}],
		["cronjobs.batch", "spec.jobTemplate.spec.template", {"spec": {"jobTemplate": {"spec": {"template": held}}}}],
		["pods", "", held],
	] {
		review := world.review("acme-dev", "UPDATE", row[0], "S", row[2], row[2])
		found := reserved_template_metadata.deny with input as seen(review, row[1], held) with data.tenancy as world.tenancy
		found == set()
	}
}
