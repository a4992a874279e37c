//! The table for people.

use std::fmt::Write as _;

use super::{RULES, Rule};
use crate::role::Role;

/// What every path of a tenant begins with; written out it would be most of the table.
const TENANT: &str = "/api/v1/clusters/{c}/tenants/{t}";

/// The table in Markdown: a row for each route.
pub fn markdown() -> String {
    let mut text = String::from("| route | action | what |");
    for role in Role::ALL {
        let _ = write!(text, " {role} |");
    }
    text.push_str("\n| --- | --- | --- |");
    text.push_str(&" --- |".repeat(Role::ALL.len()));
    text.push('\n');
    for rule in RULES {
        row(&mut text, rule);
    }
    text
}

fn row(text: &mut String, rule: &Rule) {
    let short = |path: &str| path.replacen(TENANT, "…", 1);
    let _ = write!(text, "| `{} {}`", rule.method, short(rule.path));
    if let Some(alias) = rule.alias {
        let _ = write!(text, ", `{}`", short(alias));
    }
    let _ = write!(text, " | `{}` | {} |", rule.action, rule.what);
    for role in Role::ALL {
        let _ = write!(text, " {} |", rule.may(role));
    }
    text.push('\n');
}
