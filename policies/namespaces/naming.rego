# METADATA
# title: Only the platform creates tenant namespaces, with the name that their labels define
# description: >-
#   Only administrators and identities that may create namespaces can create one with the prefix; tenants and Vela cannot
#   create any. The name must be composed from the tenant and project in the labels, which must be in the snapshot; it is
#   compared, never parsed, and cannot be generated. The namespace itself may be new. A name of an earlier form (params)
#   must have ids of the tenant whose slug it starts with, or none.
# custom:
#   id: namespace-naming
#   severity: critical
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE]
#       resources: [namespaces, namespaces/status, namespaces/finalize]
#       namespaces: [app, sandbox, unregistered, platform]
package portcullis.namespace_naming

import data.portcullis.lib.ids
import data.portcullis.lib.names
import data.portcullis.lib.request

deny contains finding if {
	not may_create
	finding := {
		"field": "metadata.name",
		"observed": shown,
		"msg": sprintf("is not %s's to create: the platform alone makes namespaces", [request.username]),
		"fix": "create an App or a sandbox through the platform, which makes its namespace; an operator lets an identity do so with `createsNamespaces: true` in settings.identities",
	}
}

deny contains finding if {
	may_create
	tenant_name
	generated
	finding := {
		"field": "metadata.generateName",
		"observed": generate_name,
		"msg": "leaves the name to chance, and the name of a tenant namespace is composed from its tenant and project",
		"fix": "set metadata.name",
	}
}

deny contains finding if {
	tenant_name
	not input.tenancy.requester.class == "admin"
	may_create
	not generated
	not composes
	not exempted
	count(misspelt) == 0
	finding := problem
}

# The index does not find another spelling, so the id would seem unused.
deny contains finding if {
	tenant_name
	not input.tenancy.requester.class == "admin"
	may_create
	some key, id in misspelt
	finding := {
		"field": concat("", ["metadata.labels.", label_prefix, "/", key]),
		"observed": sprintf("%v", [id]),
		"msg": "is another spelling of an id: the ledger writes them as UUIDs in lower case, with hyphens",
		"fix": "write the id as the ledger does",
	}
}

misspelt[key] := id if {
	some key, id in {"tenant-id": tenant_id, "project-id": project_id, "app-id": app_id}
	ids.is_other_spelling(id)
}

may_create if input.tenancy.requester.class == "admin"

may_create if input.tenancy.requester.createsNamespaces == true

# Namespaces without the prefix are not checked, except for requesters that may not write any namespace.
may_create if {
	input.tenancy.namespace.kind == "platform"
	input.tenancy.requester.class in {"platform", "capsule", "system", "node", "controller", "unknown"}
}

tenant_name if not input.tenancy.namespace.kind == "platform"

# At the validating call the API server has set the name, and generateName is still there.
generated if generate_name != ""

default generate_name := ""

generate_name := input.request.object.metadata.generateName

default name := ""

name := input.request.object.metadata.name

shown := name if name != ""

else := generate_name

# Earlier forms of names that are still in use, from the parameters.
default migrated := []

migrated := data.params["namespace-naming"].migrated

# An earlier form of name cannot have the id of another object, or ids of another tenant.
exempted if {
	name in migrated
	not at_odds
	not taken
}

at_odds if {
	some pair in [[tenant_id, "tenant"], [project_id, "project"]]
	pair[0] != ""
	not of_its_tenant(pair[0], pair[1])
}

# A tenant's slug has no hyphen, so a name of any form starts with exactly one tenant's slug.
of_its_tenant(id, kind) if {
	owner := data.tenancy.ids[id]
	owner.kind == kind
	startswith(name, concat("-", [prefix, owner.tenant, ""]))
}

prefix := data.tenancy.settings.prefix

label_prefix := data.tenancy.settings.labelPrefix

default tenant_id := ""

tenant_id := input.request.object.metadata.labels[concat("/", [label_prefix, "tenant-id"])]

default project_id := ""

project_id := input.request.object.metadata.labels[concat("/", [label_prefix, "project-id"])]

default app_id := ""

app_id := input.request.object.metadata.labels[concat("/", [label_prefix, "app-id"])]

default sandbox := ""

sandbox := input.request.object.metadata.labels[concat("/", [label_prefix, "sandbox"])]

# The ledger gives each id to one tenant or project. If two have it, neither counts.
tenant := only({slug | some slug, known in data.tenancy.tenants; known.id == tenant_id})

project := only({slug | some slug, known in data.tenancy.tenants[tenant].projects; known.id == project_id})

only(slugs) := min(slugs) if count(slugs) == 1

composes if {
	sandbox == ""
	app_id != ""
	names.fits(name)
	names.app(prefix, tenant, project, app) == name
}

composes if {
	sandbox == "true"
	app_id == ""
	names.fits(name)
	startswith(name, names.sandbox_stem(prefix, tenant, project))
	names.is_number(trim_prefix(name, names.sandbox_stem(prefix, tenant, project)))
}

# The App with the id of the label. An App that is not in the snapshot yet is identified by the end of the name, unless
# another App has that name.
app := registered if {
	registered
} else := slug if {
	not held
	startswith(name, names.app_stem(prefix, tenant, project))
	slug := trim_prefix(name, names.app_stem(prefix, tenant, project))
	slug != ""
	not data.tenancy.tenants[tenant].apps[concat("/", [project, slug])]
}

# The App with this id in this project of the ledger.
registered := holder.app if {
	holder.kind == "app"
	holder.tenant == tenant
	holder.project == project
}

# The tenant, project, App or sandbox with this id, of any tenant.
holder := data.tenancy.ids[app_id]

held if holder

# Without the index, every id counts as used.
held if not data.tenancy.ids

taken if {
	app_id != ""
	held
	not registered
}

# The first problem only: the name can be checked only when the labels are correct.
problem := of_labels if {
	of_labels
} else := of_name

of_labels := label_missing("tenant-id") if {
	tenant_id == ""
} else := {
	"field": concat("", ["metadata.labels.", label_prefix, "/tenant-id"]),
	"observed": sprintf("%v", [tenant_id]),
	"msg": "is no tenant that the ledger knows",
	"fix": "create the tenant first; if it was created a moment ago, try again shortly",
} if {
	not tenant
} else := label_missing("project-id") if {
	project_id == ""
} else := {
	"field": concat("", ["metadata.labels.", label_prefix, "/project-id"]),
	"observed": sprintf("%v", [project_id]),
	"msg": sprintf("is no project of tenant %s that the ledger knows", [tenant]),
	"fix": "create the project first; if it was created a moment ago, try again shortly",
} if {
	not project
} else := {
	"field": "metadata.labels",
	"msg": sprintf("a tenant namespace carries either %s/app-id or %s/sandbox=true, and this one carries both", [label_prefix, label_prefix]),
	"fix": "remove the one that it is not",
} if {
	app_id != ""
	sandbox != ""
} else := {
	"field": "metadata.labels",
	"msg": sprintf("a tenant namespace carries either %s/app-id or %s/sandbox=true, and this one carries neither", [label_prefix, label_prefix]),
	"fix": sprintf("label it: a sandbox is called %sNNN, an App's namespace %s<app>", [names.sandbox_stem(prefix, tenant, project), names.app_stem(prefix, tenant, project)]),
} if {
	app_id == ""
	sandbox == ""
} else := {
	"field": concat("", ["metadata.labels.", label_prefix, "/app-id"]),
	"observed": sprintf("%v", [app_id]),
	"msg": sprintf("is the id of something else, not of an App of project %s", [project]),
	"fix": "give the id that the ledger has for this App",
} if {
	taken
} else := {
	"field": concat("", ["metadata.labels.", label_prefix, "/sandbox"]),
	"observed": sprintf("%v", [sandbox]),
	"msg": "is not a value of this label",
	"allowed": ["true"],
	"fix": "set it to \"true\", or give the id of the App",
} if {
	app_id == ""
	sandbox != "true"
}

of_name := {
	"field": "metadata.name",
	"observed": name,
	"msg": sprintf("is not a sandbox name of tenant %s and project %s", [tenant, project]),
	"allowed": [sprintf("%sNNN, NNN from 001 to 999 in three digits", [names.sandbox_stem(prefix, tenant, project)])],
	"fix": "call it so, or correct the labels",
} if {
	sandbox == "true"
} else := {
	"field": "metadata.name",
	"observed": name,
	"msg": "is not the name that its labels compose",
	"allowed": [names.app(prefix, tenant, project, app)],
	"fix": "call it so, or correct the labels",
} if {
	names.app(prefix, tenant, project, app)
} else := {
	"field": "metadata.name",
	"observed": name,
	"msg": sprintf("is not the name of an App's namespace of tenant %s and project %s: %s<app>, at most %d characters", [tenant, project, names.app_stem(prefix, tenant, project), names.max_length]),
	"fix": "call it so, or correct the labels; names too long are refused, never cut",
} if {
	names.app_stem(prefix, tenant, project)
} else := {"msg": "the name of this namespace could not be composed", "fix": "check settings.prefix and settings.labelPrefix"}

label_missing(key) := {
	"field": "metadata.labels",
	"msg": sprintf("the label %s/%s is missing: the name of a tenant namespace is composed from its labels", [label_prefix, key]),
	"fix": "set all identity labels when creating the namespace",
}
