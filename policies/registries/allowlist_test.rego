package portcullis.registry_allowlist_test

import data.portcullis.lib.world
import data.portcullis.registry_allowlist

image(registry, repository, changed) := {
	"path": "spec.containers[0].image",
	"list": "containers",
	"container": "app",
	"raw": concat("/", [registry, repository]),
	"valid": true,
	"ok": true,
	"reason": "",
	"registry": registry,
	"repository": repository,
	"tag": "1",
	"tagDefaulted": false,
	"digest": "",
	"canonical": "",
	"changed": changed,
}

pod(who, operation, where, images) := pod_under(world.tenancy, who, operation, where, images)

# Under another tenancy, by whose lists the images are looked up.
pod_under(tenancy, who, operation, where, images) := object.union(
	world.review(who, operation, "pods", where, {}, {}),
	{"images": [world.looked_up(tenancy, where, one) | some one in images]},
)

# registry, repository, where, denied; a Pod made by its tenant
rows := [
	["registry.example.com", "tenants/acme/app", "S", false],
	["registry.example.com", "tenants/acme", "S", false],
	["docker.io", "library/nginx", "S", false],
	["docker.io", "istio/proxyv2", "S", false],
	["registry.example.com", "tenants/acme-evil/app", "S", true],
	["registry.example.com", "tenants", "S", true],
	["registry.example.com.evil.io", "tenants/acme/app", "S", true],
	["registry.example.com:5000", "tenants/acme/app", "S", true],
	["evil.io", "registry.example.com/tenants/acme/app", "S", true],
	["docker.io", "acme/app", "S", true],
	["registry.example.com", "anything", "G", false],
	["evil.io", "anything", "G", true],
	["docker.io", "istio/proxyv2", "I", true],
	["docker.io", "istio/proxyv2", "H", false],
	["registry.example.com", "tenants/hooli/app", "H", true],
	["docker.io", "library/nginx", "U", true],
]

test_places if {
	wrong := {row |
		some row in rows
		found := registry_allowlist.deny with input as pod("acme-dev", "CREATE", row[2], [image(row[0], row[1], true)]) with data.tenancy as world.tenancy
		count(found) > 0 != row[3]
	}
	wrong == set()
}

test_whoever_asks if {
	every who in object.keys(world.people) {
		count(registry_allowlist.deny) == 1 with input as pod(who, "CREATE", "S", [image("evil.io", "x", true)])
			with data.tenancy as world.tenancy
	}
}

test_an_empty_ceiling_admits_nothing if {
	nothing := object.union(world.tenancy, {"settings": {"registries": {"ceiling": []}}})
	every where in ["S", "G"] {
		count(registry_allowlist.deny) == 1 with input as pod_under(nothing, "acme-dev", "CREATE", where, [image("docker.io", "istio/proxyv2", true)])
			with data.tenancy as nothing
	}
}

test_the_ceiling_binds_the_lists if {
	wide := object.union(world.tenancy, {"tenants": {"acme": {"registries": ["evil.io"]}}})
	count(registry_allowlist.deny) == 1 with input as pod_under(wide, "acme-dev", "CREATE", "S", [image("evil.io", "x", true)])
		with data.tenancy as wide
}

test_missing_settings_admit_nothing if {
	count(registry_allowlist.deny) == 1 with input as pod("acme-dev", "CREATE", "S", [image("docker.io", "library/nginx", true)])
		with data.tenancy as {}
}

test_every_image_counts if {
	images := [
		image("docker.io", "library/nginx", true),
		object.union(image("evil.io", "x", true), {"path": "spec.initContainers[0].image", "list": "initContainers"}),
		object.union(image("evil.io", "y", true), {"path": "spec.volumes[0].image.reference", "list": "volumes"}),
	]
	fields := {finding.field | some finding in registry_allowlist.deny} with input as pod("acme-dev", "CREATE", "S", images)
		with data.tenancy as world.tenancy
	fields == {"spec.initContainers[0].image", "spec.volumes[0].image.reference"}
}

test_unchanged_images_warn if {
	before := [image("evil.io", "x", false)]
	count(registry_allowlist.deny) == 0 with input as pod("acme-dev", "UPDATE", "S", before) with data.tenancy as world.tenancy
	some warning in registry_allowlist.warn with input as pod("acme-dev", "UPDATE", "S", before) with data.tenancy as world.tenancy
	warning.observed == "evil.io/x"
}

test_allowed_images_do_not_warn if {
	count(registry_allowlist.warn) == 0 with input as pod("acme-dev", "UPDATE", "S", [image("docker.io", "library/nginx", false)])
		with data.tenancy as world.tenancy
}

test_bad_references if {
	bad := object.union(image("", "app", true), {"raw": "my_registry.io/app:1", "ok": false, "reason": "empty-registry"})
	some finding in registry_allowlist.deny with input as pod("acme-dev", "CREATE", "S", [bad]) with data.tenancy as world.tenancy
	contains(finding.msg, "empty-registry")
	finding.observed == "my_registry.io/app:1"
}

test_unreadable_images if {
	count(registry_allowlist.deny) > 0 with input as pod("acme-dev", "CREATE", "S", [{"ok": true}]) with data.tenancy as world.tenancy
	unread := json.remove(pod("acme-dev", "CREATE", "S", []), ["images"])
	count(registry_allowlist.deny) > 0 with input as unread with data.tenancy as world.tenancy
}

test_a_port_is_not_a_tag if {
	untagged := object.union(image("registry.example.com:5000", "app", true), {"tagDefaulted": true, "tag": "latest"})
	some finding in registry_allowlist.deny with input as pod("acme-dev", "CREATE", "S", [untagged]) with data.tenancy as world.tenancy
	contains(finding.msg, "port")
	contains(finding.msg, "latest")
}

test_no_policy_says_so if {
	some finding in registry_allowlist.deny with input as pod("acme-dev", "CREATE", "I", [image("docker.io", "library/nginx", true)])
		with data.tenancy as world.tenancy
	contains(finding.msg, "no registry policy for tenant initech")
}

test_only_the_tenants_own_lists_are_named if {
	some finding in registry_allowlist.deny with input as pod("acme-dev", "CREATE", "S", [image("evil.io", "x", true)])
		with data.tenancy as world.tenancy
	finding.allowed == ["docker.io/istio", "docker.io/library", "registry.example.com/tenants/acme"]
}

test_an_image_of_an_application_is_told_by_its_component if {
	named := object.union(image("evil.io", "miner", true), {"list": "components", "container": "web", "path": "spec.components[0].properties.image"})
	found := registry_allowlist.deny with input as pod("agent", "CREATE", "A", [named]) with data.tenancy as world.tenancy
	{finding.msg | some finding in found} == {"of component web is not in an allowed registry"}
}

test_a_placeholder_passes_in_a_template_alone if {
	placeholder := object.union(image("docker.io", "other/auto", true), {"raw": "auto"})
	params := {"registry-allowlist": {"placeholders": ["auto"]}}
	evil := pod_under(world.tenancy, "acme-dev", "CREATE", "G", [placeholder])
	template := object.union(evil, {"request": {"resource": {"group": "apps", "version": "v1", "resource": "deployments"}}})
	count(registry_allowlist.deny) == 1 with input as evil with data.tenancy as world.tenancy with data.params as params
	count(registry_allowlist.deny) == 0 with input as template with data.tenancy as world.tenancy with data.params as params
	count(registry_allowlist.deny) == 1 with input as template with data.tenancy as world.tenancy with data.params as {}
}
