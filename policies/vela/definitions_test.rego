package portcullis.vela_definitions_test

import data.portcullis.lib.world
import data.portcullis.vela_definitions

denied(who, operation, resource) if {
	count(vela_definitions.deny) > 0 with input as world.review(who, operation, resource, "A", {}, {})
}

test_definitions_are_nobodys if {
	every who in object.keys(world.people) {
		denied(who, "CREATE", "componentdefinitions.core.oam.dev")
		denied(who, "UPDATE", "traitdefinitions.core.oam.dev")
	}
	denied("vela", "UPDATE", "workflowstepdefinitions.core.oam.dev/status")
}

test_revisions_of_definitions_and_packages_are_refused_to_everyone if {
	every who in object.keys(world.people) {
		denied(who, "CREATE", "definitionrevisions.core.oam.dev")
		denied(who, "UPDATE", "definitionrevisions.core.oam.dev")
		denied(who, "CREATE", "packages.cue.oam.dev")
		denied(who, "UPDATE", "packages.cue.oam.dev/status")
	}
	not denied("agent", "CREATE", "packages.example.com")
}

test_only_vela_and_the_platforms_operators_write_application_revisions if {
	every operation in ["CREATE", "UPDATE"] {
		every who in ["mgr", "agent", "capsule", "node", "acme-dev", "acme-sa", "app-sa", "globex-dev", "elsewhere", "everything", "unknown", "no such person"] {
			denied(who, operation, "applicationrevisions.core.oam.dev")
			denied(who, operation, "applicationrevisions.core.oam.dev/status")
		}
		every who in ["vela", "system", "gc", "root", "controller"] {
			not denied(who, operation, "applicationrevisions.core.oam.dev")
		}
	}
	not denied("agent", "CREATE", "applications.core.oam.dev")
	count(vela_definitions.deny) == 0 with input as world.letting_go("agent", "applicationrevisions.core.oam.dev", "A", {}, {})
}

test_other_kinds_and_finalizers_pass if {
	not denied("vela", "CREATE", "applicationrevisions.core.oam.dev")
	count(vela_definitions.deny) == 0 with input as world.letting_go("vela", "policydefinitions.core.oam.dev", "A", {}, {})
}

revised(who, operation, new, old) := {finding.field | some finding in found; finding.field} if {
	found := vela_definitions.deny with input as world.review(who, operation, "applicationrevisions.core.oam.dev", "A", new, old)
}

of(namespace) := {"metadata": {"name": "x-v1"}, "spec": {"application": {"metadata": {"name": "x", "namespace": namespace}}}}

test_a_revision_is_of_its_own_namespace if {
	every who in ["vela", "system", "controller"] {
		every operation in ["CREATE", "UPDATE"] {
			every namespace in ["kube-system", "tn-acme-shop-sbx-001", false, 0] {
				revised(who, operation, of(namespace), {"spec": {}}) == {"spec.application.metadata.namespace"}
			}
			every namespace in ["tn-acme-shop-app-frontend", "", null] {
				revised(who, operation, of(namespace), {"spec": {}}) == set()
			}
		}
		revised(who, "CREATE", of("kube-system"), null) == {"spec.application.metadata.namespace"}
		revised(who, "CREATE", {"spec": {"application": {"spec": {}}}}, null) == set()
		revised(who, "UPDATE", of("kube-system"), of("kube-system")) == set()
	}
	revised("root", "CREATE", of("kube-system"), null) == set()
	count(vela_definitions.deny) == 0 with input as world.letting_go("vela", "applicationrevisions.core.oam.dev", "A", of("kube-system"), {})
}

test_vela_brings_no_revision_from_a_manifest if {
	brought := {"metadata": {"name": "x-v1", "labels": {"app.oam.dev/name": "x", "app.oam.dev/component": "c"}}, "spec": {"compression": {"type": "gzip", "data": "x"}}}
	revised("vela", "CREATE", brought, null) == {"metadata.labels.app.oam.dev/component"}
	revised("vela", "UPDATE", brought, {"metadata": {}}) == {"metadata.labels.app.oam.dev/component"}
	revised("vela", "UPDATE", brought, brought) == set()
	revised("root", "CREATE", brought, null) == set()
}
