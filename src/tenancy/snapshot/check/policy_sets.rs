//! Policy sets: named once, bounded, in the order in which they apply. Whether a policy knows a parameter only the law
//! can say, and it does when it meets it.

use std::sync::Arc;

use super::super::error::At;
use super::super::policy_sets::PolicySet;
use super::Checker;
use crate::tenancy::text::{is_dns_label, quoted};

const SETS_MAX: usize = 100;
const RULES_MAX: usize = 100;
const MODES: [&str; 4] = ["enforce", "warn", "audit", "off"];

impl Checker<'_> {
    pub(super) fn policy_sets(&mut self, at: At<'_>, mut sets: Vec<PolicySet>) -> Arc<[PolicySet]> {
        let at = at.field("policySets");
        if sets.len() > SETS_MAX {
            self.problems.add(
                at,
                format_args!("{} policy sets", sets.len()),
                format_args!("{SETS_MAX} at most"),
            );
        }
        for (index, set) in sets.iter().enumerate() {
            let at = at.index(index);
            if !is_dns_label(&set.name) {
                self.problems.add(at.field("name"), quoted(&set.name), super::LABEL);
            }
            let again = sets
                .iter()
                .take(index)
                .any(|other| (&other.name, &other.project) == (&set.name, &set.project));
            if again {
                self.problems.add(
                    at.field("name"),
                    format_args!("{} stands here twice", quoted(&set.name)),
                    "once",
                );
            }
            if set.rules.len() > RULES_MAX {
                self.problems.add(
                    at,
                    format_args!("{} rules", set.rules.len()),
                    format_args!("{RULES_MAX} at most"),
                );
            }
            for rule in &set.rules {
                if rule.mode.as_deref().is_some_and(|mode| !MODES.contains(&mode)) {
                    let mode = rule.mode.as_deref().unwrap_or_default();
                    self.problems.add(at.field("rules"), quoted(mode), "`enforce`, `warn`, `audit`, `off`");
                }
            }
        }
        // Who speaks for all comes before who speaks for one, and the whole tenant before a project.
        sets.sort_by_key(|set| (set.origin, set.project.is_some()));
        sets.into()
    }
}
