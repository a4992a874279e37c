//! Policy sets: named once, bounded, in the order in which they apply. Whether a policy knows a parameter only the law
//! can say, and it does when it meets it.

use std::sync::Arc;

use super::super::error::At;
use super::super::policy_sets::{
    PARAMS_DEPTH_MAX, PolicySet, RULES_BYTES_MAX, RULES_MAX, SETS_MAX, depth, rules_bytes,
};
use super::Checker;
use crate::text::{is_dns_label, quoted};

const MODES: [&str; 4] = ["enforce", "warn", "audit", "off"];

impl Checker<'_> {
    pub(super) fn policy_sets(&mut self, at: At<'_>, mut sets: Vec<PolicySet>) -> Arc<[PolicySet]> {
        let at = at.field("policySets");
        let bytes = sets.iter().fold(0_usize, |sum, set| sum.saturating_add(rules_bytes(&set.rules)));
        for (what, found, most) in
            [("policy sets", sets.len(), SETS_MAX), ("bytes of rules", bytes, RULES_BYTES_MAX)]
        {
            if found > most {
                self.problems.add(at, format_args!("{found} {what}"), format_args!("{most} at most"));
            }
        }
        for (index, set) in sets.iter().enumerate() {
            let at = at.index(index);
            // A tenant must not keep a plan away by a name of its own, so origins have names of their own.
            let place = |set: &PolicySet| (set.origin, Arc::clone(&set.name), set.projects.is_empty());
            if sets.iter().take(index).any(|other| place(other) == place(set)) {
                let found = format_args!("{} stands here twice", quoted(&set.name));
                self.problems.add(at.field("name"), found, "once");
            }
            self.policy_set(at, set);
        }
        // Who speaks for all comes before who speaks for one, and the whole tenant before a project.
        sets.sort_by_key(|set| (set.origin, !set.projects.is_empty()));
        sets.into()
    }

    fn policy_set(&mut self, at: At<'_>, set: &PolicySet) {
        if !is_dns_label(&set.name) {
            self.problems.add(at.field("name"), quoted(&set.name), super::LABEL);
        }
        for (what, found) in [("rules", set.rules.len()), ("projects", set.projects.len())] {
            if found > RULES_MAX {
                self.problems.add(at, format_args!("{found} {what}"), format_args!("{RULES_MAX} at most"));
            }
        }
        for (index, project) in set.projects.iter().enumerate() {
            if set.projects.iter().take(index).any(|other| other == project) {
                let found = format_args!("{} stands here twice", quoted(project));
                self.problems.add(at.field("projects"), found, "once");
            }
        }
        for rule in &set.rules {
            if rule.mode.as_deref().is_some_and(|mode| !MODES.contains(&mode)) {
                let mode = rule.mode.as_deref().unwrap_or_default();
                self.problems.add(at.field("rules"), quoted(mode), "`enforce`, `warn`, `audit`, `off`");
            }
            if rule.params.values().any(|value| depth(value) > PARAMS_DEPTH_MAX) {
                let found = format_args!("parameters of {} nest deeper", quoted(&rule.policy));
                self.problems.add(at.field("rules"), found, format_args!("{PARAMS_DEPTH_MAX} deep at most"));
            }
        }
    }
}
