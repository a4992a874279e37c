# METADATA
# title: The world of the tests
# description: A small tenancy, its people and a review of anything by anyone, so that a test says only what it is about.
package portcullis.lib.world

tenancy := {
	"settings": {
		"prefix": "tn",
		"labelPrefix": "kubenova.io",
		"registries": {
			"ceiling": ["registry.example.com", "docker.io/library", "docker.io/istio"],
			"platform": ["docker.io/istio"],
		},
		"connect": {"exec": true, "attach": true, "portforward": false, "proxy": false},
		"workloadWrites": ["leases.coordination.k8s.io", "events", "events.events.k8s.io"],
	},
	"tenants": {
		"acme": {
			"id": "t-acme",
			"status": "active",
			"groups": ["acme-devs"],
			"registries": ["registry.example.com/tenants/acme", "docker.io/library"],
			"projects": {"shop": {"id": "p-shop"}},
			"apps": {"shop/frontend": {"id": "a-frontend"}},
		},
		"globex": {
			"id": "t-globex",
			"status": "active",
			"groups": ["globex-devs"],
			"registries": "inherit",
			"projects": {"web": {"id": "p-web"}},
			"apps": {"web/api": {"id": "a-api"}},
		},
		"initech": {"id": "t-initech", "status": "active", "groups": ["initech-devs"], "projects": {}, "apps": {}},
		"hooli": {"id": "t-hooli", "status": "suspended", "groups": [], "registries": [], "projects": {}, "apps": {}},
	},
	"ids": {
		"t-acme": {"kind": "tenant", "tenant": "acme"},
		"t-globex": {"kind": "tenant", "tenant": "globex"},
		"t-initech": {"kind": "tenant", "tenant": "initech"},
		"t-hooli": {"kind": "tenant", "tenant": "hooli"},
		"p-shop": {"kind": "project", "tenant": "acme", "project": "shop"},
		"p-web": {"kind": "project", "tenant": "globex", "project": "web"},
		"a-frontend": {"kind": "app", "tenant": "acme", "project": "shop", "app": "frontend"},
		"a-api": {"kind": "app", "tenant": "globex", "project": "web", "app": "api"},
		"s-1": {"kind": "sandbox", "tenant": "acme", "project": "shop", "sandbox": 1},
		"s-2": {"kind": "sandbox", "tenant": "globex", "project": "web", "sandbox": 1},
	},
}

namespaces := {
	"A": {
		"kind": "app", "name": "tn-acme-shop-app-frontend", "tenant": "acme", "project": "shop", "app": "frontend",
		"tenantId": "t-acme", "projectId": "p-shop", "appId": "a-frontend", "status": "active",
		"labels": {"kubenova.io/tenant-id": "t-acme", "kubenova.io/project-id": "p-shop", "kubenova.io/app-id": "a-frontend"},
	},
	"S": {
		"kind": "sandbox", "name": "tn-acme-shop-sbx-001", "tenant": "acme", "project": "shop", "sandbox": 1,
		"tenantId": "t-acme", "projectId": "p-shop", "sandboxId": "s-1", "status": "active", "expired": false,
		"labels": {"kubenova.io/tenant-id": "t-acme", "kubenova.io/project-id": "p-shop"},
	},
	"G": {
		"kind": "sandbox", "name": "tn-globex-web-sbx-001", "tenant": "globex", "project": "web", "sandbox": 1,
		"tenantId": "t-globex", "projectId": "p-web", "sandboxId": "s-2", "status": "active",
		"labels": {"kubenova.io/tenant-id": "t-globex", "kubenova.io/project-id": "p-web"},
	},
	"I": {
		"kind": "sandbox", "name": "tn-initech-tps-sbx-001", "tenant": "initech", "project": "tps", "sandbox": 1,
		"tenantId": "t-initech", "projectId": "p-tps", "sandboxId": "s-3", "status": "active",
		"labels": {"kubenova.io/tenant-id": "t-initech", "kubenova.io/project-id": "p-tps"},
	},
	"H": {
		"kind": "sandbox", "name": "tn-hooli-search-sbx-001", "tenant": "hooli", "project": "search", "sandbox": 1,
		"tenantId": "t-hooli", "projectId": "p-search", "sandboxId": "s-4", "status": "suspended",
		"labels": {"kubenova.io/tenant-id": "t-hooli", "kubenova.io/project-id": "p-search"},
	},
	"X": {
		"kind": "sandbox", "name": "tn-acme-shop-sbx-002", "tenant": "acme", "project": "shop", "sandbox": 2,
		"tenantId": "t-acme", "projectId": "p-shop", "sandboxId": "s-5", "status": "active", "expired": true,
		"labels": {"kubenova.io/tenant-id": "t-acme", "kubenova.io/project-id": "p-shop"},
	},
	"U": {"kind": "unregistered", "name": "tn-acme-shop-sbx-777"},
	"K": {"kind": "platform", "name": "kube-system"},
	"": {"kind": "cluster", "name": ""},
}

nobody := {
	"class": "unknown", "name": "", "tenants": [], "createsNamespaces": false, "writes": false, "writesByName": false,
	"serviceAccountNamespace": "", "username": "system:serviceaccount:somewhere:someone",
}

people := {who: object.union(nobody, said) |
	some who, said in {
		"mgr": {"class": "platform", "name": "manager", "createsNamespaces": true, "username": "manager"},
		"agent": {"class": "platform", "name": "agent", "username": "agent"},
		"vela": {"class": "vela", "name": "vela", "username": "vela"},
		"capsule": {"class": "capsule", "name": "capsule", "username": "capsule"},
		"system": {"class": "system", "username": "system:serviceaccount:kube-system:replicaset-controller"},
		"gc": {"class": "system", "username": "system:serviceaccount:kube-system:generic-garbage-collector"},
		"node": {"class": "node", "username": "system:node:n1"},
		"controller": {"class": "controller", "name": "cert-manager", "username": "cert-manager", "writes": true, "writesByName": true},
		"everything": {"class": "controller", "name": "velero", "username": "velero", "writes": true},
		"elsewhere": {"class": "controller", "name": "csi", "username": "csi"},
		"root": {"class": "admin", "name": "masters", "username": "kubernetes-admin"},
		"acme-dev": {"class": "tenant", "tenants": ["acme"], "username": "alice@acme.io"},
		"both-dev": {"class": "tenant", "tenants": ["acme", "globex"], "username": "dana@acme.io"},
		"globex-dev": {"class": "tenant", "tenants": ["globex"], "username": "bob@globex.io"},
		"hooli-dev": {"class": "tenant", "tenants": ["hooli"], "username": "dave@hooli.io"},
		"acme-sa": {
			"class": "tenant", "tenants": ["acme"], "serviceAccountNamespace": "tn-acme-shop-sbx-001",
			"username": "system:serviceaccount:tn-acme-shop-sbx-001:owner",
		},
		"app-sa": {
			"class": "tenant", "tenants": ["acme"], "serviceAccountNamespace": "tn-acme-shop-app-frontend",
			"username": "system:serviceaccount:tn-acme-shop-app-frontend:frontend",
		},
		"unknown": {},
	}
}

# A requester about whom the gate says nothing at all must be denied as well.
requester(who) := people[who] if {
	people[who]
} else := {}

# `deployments.apps/scale` as the API server sends it.
resource_of(written) := {"group": concat(".", array.slice(words, 1, count(words))), "version": "v1", "resource": words[0]} if {
	words := split(split(written, "/")[0], ".")
}

subresource_of(written) := split(written, "/")[1] if {
	contains(written, "/")
} else := ""

# What a policy sees when `who` does `operation` on `resource` in namespace `where` (a key above).
review(who, operation, resource, where, object, old) := {
	"request": {
		"uid": "00000000-0000-0000-0000-000000000000",
		"operation": operation,
		"resource": resource_of(resource),
		"subResource": subresource_of(resource),
		"namespace": namespaces[where].name,
		"userInfo": {"username": object_username(who), "groups": []},
		"object": object,
		"oldObject": old,
	},
	"tenancy": {"namespace": namespaces[where], "requester": requester(who)},
	"images": [],
	"finalizerRemoval": false,
	"now": "2026-01-01T00:00:00Z",
}

object_username(who) := people[who].username if {
	people[who]
} else := ""

# The same, of an object that is going away and lets go of a finalizer.
letting_go(who, resource, where, new, old) := object.union(
	review(who, "UPDATE", resource, where, new, old),
	{"finalizerRemoval": true},
)

# An image with what the gate finds in the lists: the narrowest entry of each that holds it.
looked_up(tenancy, where, image) := object.union(image, {"entries": {list: entry |
	some list, entries in lists_of(tenancy, namespaces[where])
	image.ok == true
	holding := sort([[count(entry), entry] |
		some entry in entries
		startswith(concat("/", [image.registry, image.repository, ""]), concat("", [entry, "/"]))
	])
	count(holding) > 0
	entry := holding[count(holding) - 1][1]
}})

lists_of(tenancy, namespace) := object.union(
	{
		"ceiling": tenancy.settings.registries.ceiling,
		"platform": tenancy.settings.registries.platform,
	},
	{"tenant": entries |
		some slug, tenant in tenancy.tenants
		slug == namespace.tenant
		entries := tenant.registries
		is_array(entries)
	},
)
