package portcullis.reserved_metadata_test

import data.portcullis.lib.world
import data.portcullis.reserved_metadata

own := {"kubenova.io/tenant-id": "t-acme", "kubenova.io/project-id": "p-shop"}

object_with(metadata) := {"metadata": object.union({"name": "x"}, metadata)}

created(who, metadata) := findings if {
	findings := reserved_metadata.deny with input as world.review(who, "CREATE", "configmaps", "S", object_with(metadata), null) with data.tenancy as world.tenancy
}

updated(who, resource, metadata, old) := findings if {
	findings := reserved_metadata.deny with input as world.review(who, "UPDATE", resource, "S", object_with(metadata), object_with(old)) with data.tenancy as world.tenancy
}

reserved := [
	"kubenova.io/app-id", "kubenova.io/managed-by", "kubenova.io/anything",
	"kubenova.app", "kubenova.tenant", "kubenova.project", "kubenova.namespace-type",
	"app.oam.dev/name", "oam.dev/kubevela-version", "trait.oam.dev/type", "whatever.below.oam.dev/x", "x.kubenova.io/foo",
	"capsule.clastix.io/tenant", "quota.resources.capsule.clastix.io/x", "projectcapsule.dev/tenant", "owner.projectcapsule.dev/promote",
	"pod-security.kubernetes.io/enforce", "sidecar.istio.io/proxyImage", "config.linkerd.io/proxy-image",
]

free := ["kubenova.io.example.com/app-id", "linkerd.io/created-by", "app", "app.kubernetes.io/name", "notoam.dev/x", "kubenova", "example.com/oam.dev", "kubectl.kubernetes.io/restartedAt"]

test_reserved_keys_are_not_set if {
	wrong := {[key, part] |
		some key in reserved
		some part in ["labels", "annotations"]
		some base in [{}, own]
		metadata := object.union({"labels": base}, {part: {key: "x"}})
		count(created("acme-dev", metadata)) != 1
	}
	wrong == set()
}

test_free_keys_are if {
	wrong := {[key, part] |
		some key in free
		some part in ["labels", "annotations"]
		some base in [{}, own]
		metadata := object.union({"labels": base}, {part: {key: "x"}})
		count(created("acme-dev", metadata)) != 0
	}
	wrong == set()
}

test_keys_are_not_changed_or_removed if {
	wrong := {[key, part] |
		some key in reserved
		some part in ["labels", "annotations"]
		some now in [{part: {key: "y"}}, {part: {}}, {}]
		count(updated("acme-dev", "configmaps", now, {part: {key: "x"}})) != 1
	}
	wrong == set()
}

test_unchanged_keys_pass if {
	wrong := {[key, part] |
		some key in reserved
		some part in ["labels", "annotations"]
		count(updated("acme-dev", "configmaps", {part: {key: "x", "app": "new"}}, {part: {key: "x", "app": "old"}})) != 0
	}
	wrong == set()
}

injected(annotations, images) := count(findings) if {
	review := world.review("acme-dev", "CREATE", "pods", "S", object_with({"labels": own, "annotations": annotations}), null)
	findings := reserved_metadata.deny with input as object.union(review, {"images": images}) with data.tenancy as world.tenancy
}

sidecar(name, platform) := {"container": name, "ok": true, "entries": {"platform": platform}}

test_a_key_that_says_injected_needs_its_sidecar if {
	status := {"sidecar.istio.io/status": "{}"}
	injected(status, [sidecar("istio-proxy", "docker.io/istio")]) == 0
	injected(status, []) == 1
	injected(status, [sidecar("web", "docker.io/istio")]) == 1
	injected(status, [{"container": "istio-proxy", "ok": true, "entries": {"tenant": "docker.io/library"}}]) == 1
	injected({"linkerd.io/proxy-version": "1"}, [sidecar("istio-proxy", "docker.io/istio")]) == 1
	count(updated("acme-dev", "pods", {"annotations": status}, {})) == 1
}

test_a_proxy_is_not_injected if {
	injected({"sidecar.istio.io/inject": "false"}, [sidecar("istio-proxy", "docker.io/istio")]) == 0
	injected({"sidecar.istio.io/inject": "false"}, []) == 1
	injected({"sidecar.istio.io/inject": "false"}, [{"container": "istio-proxy", "ok": true, "entries": {"tenant": "docker.io/library"}}]) == 1
	injected({"sidecar.istio.io/inject=false": "x"}, [sidecar("istio-proxy", "docker.io/istio")]) == 1
	injected({"sidecar.istio.io/inject": "true"}, [sidecar("istio-proxy", "docker.io/istio")]) == 1
	injected({"ambient.istio.io/redirection": "enabled", "istio.io/dataplane-mode": "none"}, []) == 0
}

test_some_keys_pass_with_one_value if {
	injected({"traffic.sidecar.istio.io/excludeInboundPorts": "15020"}, []) == 0
	injected({"traffic.sidecar.istio.io/excludeInboundPorts": "15020,80"}, []) == 1
	injected({"sidecar.istio.io/interceptionMode": "REDIRECT", "traffic.sidecar.istio.io/includeInboundPorts": "*"}, []) == 0
	injected({"sidecar.istio.io/interceptionMode": "NONE"}, []) == 1
	injected({"traffic.sidecar.istio.io/includeInboundPorts": ""}, []) == 1
	injected({"traffic.sidecar.istio.io/excludeOutboundPorts": "*"}, []) == 1
	count(created("acme-dev", {"labels": {"linkerd.io/proxy-deployment": "web"}})) == 0
}

test_own_labels_pass if {
	count(created("acme-dev", {"labels": own})) == 0
	count(created("acme-dev", {"labels": object.union(own, {"app": "x"}), "annotations": {"a": "b"}})) == 0
	count(updated("acme-dev", "configmaps", {"labels": own}, {})) == 0
}

unregistered(who, labels) := count(findings) if {
	findings := reserved_metadata.deny with input as world.review(who, "CREATE", "configmaps", "U", object_with({"labels": labels}), null) with data.tenancy as world.tenancy
}

test_where_the_ledger_knows_no_namespace if {
	every who in ["acme-dev", "acme-sa", "controller", "unknown"] {
		unregistered(who, own) == 2
		unregistered(who, {"app.oam.dev/name": "x"}) == 1
		unregistered(who, {"projectcapsule.dev/tenant": "acme"}) == 1
		unregistered(who, {"app": "x"}) == 0
	}
	every who in ["mgr", "system", "node", "root"] {
		unregistered(who, own) == 0
	}
}

test_foreign_ids_do_not if {
	some finding in created("acme-dev", {"labels": object.union(own, {"kubenova.io/tenant-id": "t-globex"})})
	finding.field == "metadata.labels.kubenova.io/tenant-id"
	contains(finding.msg, "t-acme")
}

# One key in two places is one text in a set of keys.
test_own_keys_are_labels_only if {
	count(created("acme-dev", {"labels": own, "annotations": {"kubenova.io/tenant-id": "t-acme"}})) == 1
}

test_removing_an_own_label if {
	count(updated("acme-dev", "pods", {"labels": {}}, {"labels": {"kubenova.io/tenant-id": "t-acme"}})) == 1
	count(updated("acme-dev", "pods/status", {"labels": {"kubenova.io/app-id": "x"}}, {})) == 1
}

test_finalizers if {
	count(updated("acme-dev", "configmaps", {"finalizers": ["app.oam.dev/orphan-resource"]}, {})) == 1
	count(updated("acme-dev", "configmaps", {}, {"finalizers": ["app.oam.dev/orphan-resource"]})) == 1
	count(updated("acme-dev", "configmaps", {"finalizers": ["example.com/mine"]}, {})) == 0
	count(created("acme-dev", {"finalizers": ["kubenova.io/finalizer-project"]})) == 1
}

letting_go(finalizer) := findings if {
	findings := reserved_metadata.deny with input as world.letting_go("acme-dev", "configmaps", "S", object_with({}), object_with({"finalizers": [finalizer]})) with data.tenancy as world.tenancy
}

test_finalizers_of_what_goes_away if {
	count(letting_go("app.oam.dev/resource-tracker-finalizer")) == 0
	count(letting_go("kubenova.io/finalizer-project")) == 1
	count(letting_go("kubenova.finalizer")) == 1
}

tenant_owner := [{"apiVersion": "capsule.clastix.io/v1beta2", "kind": "Tenant", "name": "acme", "uid": "1"}]

plain_owner := [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "2"}]

test_owners if {
	count(created("acme-dev", {"ownerReferences": tenant_owner})) == 1
	count(created("acme-dev", {"ownerReferences": [{"apiVersion": "core.oam.dev/v1beta1", "kind": "Application", "name": "x", "uid": "3"}]})) == 1
	count(created("acme-dev", {"ownerReferences": plain_owner})) == 0
	count(updated("acme-dev", "configmaps", {}, {"ownerReferences": tenant_owner})) == 1
	count(updated("acme-dev", "configmaps", {"ownerReferences": array.concat(plain_owner, tenant_owner)}, {"ownerReferences": tenant_owner})) == 0
}

test_the_trusted_pass if {
	every who in ["mgr", "agent", "vela", "capsule", "system", "node", "root"] {
		count(created(who, {"labels": {"kubenova.io/app-id": "x"}})) == 0
	}
	every who in ["controller", "unknown", "acme-sa", "globex-dev", "nobody at all"] {
		count(created(who, {"labels": {"kubenova.io/app-id": "x"}})) == 1
	}
}

bound(who, resource, metadata) := count(findings) if {
	findings := reserved_metadata.deny with input as world.review(who, "CREATE", resource, "S", object.union({"kind": "Binding"}, object_with(metadata)), null) with data.tenancy as world.tenancy
}

test_bindings_carry_nothing if {
	bound("acme-dev", "pods/binding", {"labels": {"app": "x"}}) == 1
	bound("mgr", "bindings", {"annotations": {"a": "x"}}) == 1
	bound("acme-dev", "pods/binding", {}) == 0
	bound("system", "pods/binding", {"labels": {"app": "x"}}) == 0
}

test_without_settings_nothing_is_free if {
	review := world.review("acme-dev", "CREATE", "configmaps", "S", object_with({"labels": {"app": "x"}}), null)
	count(reserved_metadata.deny) > 0 with input as review with data.tenancy as {}
	count(reserved_metadata.deny) > 0 with input as review with data.tenancy as world.tenancy with data.params as {}
}

# The same review where the platform's keys stand under another prefix.
moved(ours, labels) := object.union(
	json.remove(world.review("acme-dev", "CREATE", "configmaps", "S", object_with({"labels": labels}), null), ["tenancy/namespace/labels"]),
	{"tenancy": {"namespace": {"labels": ours}}},
)

test_another_prefix if {
	elsewhere := object.union(world.tenancy, {"settings": {"labelPrefix": "paas.example.org"}})
	ours := {"paas.example.org/tenant-id": "t-acme", "paas.example.org/project-id": "p-shop"}
	every labels in [ours, object.union(ours, {"app": "x"})] {
		count(reserved_metadata.deny) == 0 with input as moved(ours, labels) with data.tenancy as elsewhere
	}
	every key in ["paas.example.org/app-id", "kubenova.app"] {
		count(reserved_metadata.deny) == 1 with input as moved(ours, object.union(ours, {key: "x"})) with data.tenancy as elsewhere
	}
}

# Whoever may not write at all is judged as if she might: another policy can be off, or lifted for her.
test_in_app_namespaces_everyone_is_judged if {
	forged := object_with({"labels": {"kubenova.managed": "x"}})
	every who in ["app-sa", "acme-dev", "globex-dev", "unknown"] {
		count(reserved_metadata.deny) == 1 with input as world.review(who, "CREATE", "events", "A", forged, null) with data.tenancy as world.tenancy
	}
}

test_a_controller_that_restores_is_named if {
	review := world.review("controller", "CREATE", "configmaps", "S", object_with({"labels": {"kubenova.io/managed-by": "platform"}}), null)
	named := object.union(data.params["reserved-metadata"], {"writers": ["cert-manager"]})
	count(reserved_metadata.deny) == 1 with input as review with data.tenancy as world.tenancy
	count(reserved_metadata.deny) == 0 with input as review with data.tenancy as world.tenancy with data.params as {"reserved-metadata": named}
}
