//! `portcullis policy builtins`: what a policy may call, what it may not, and why.

use std::fmt::Write as _;

use super::super::output::{self, STRONG, TextOrJson};
use super::Exit;
use portcullis_rego::builtins;

/// Words of `portcullis policy builtins`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How to print
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: TextOrJson,
}

/// Prints the list.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(Args { output }: Args) -> anyhow::Result<Exit> {
    let mut allowed: Vec<_> = builtins::allowed().collect();
    allowed.sort_unstable();
    let refused: Vec<_> = builtins::refused().collect();
    match output {
        TextOrJson::Json => {
            let entry = |key: &str, (name, why): &(&str, &str)| serde_json::json!({"name": name, key: why});
            let allowed: Vec<_> = allowed.iter().map(|pair| entry("condition", pair)).collect();
            let refused: Vec<_> = refused.iter().map(|pair| entry("why", pair)).collect();
            output::print_json(&serde_json::json!({"allowed": allowed, "refused": refused}))?;
        }
        TextOrJson::Text => output::print(&text(&allowed, &refused))?,
    }
    Ok(Exit::Fine)
}

fn text(allowed: &[(&str, &str)], refused: &[(&str, &str)]) -> String {
    let mut text =
        format!("{STRONG}A policy may call these; all are functions of their arguments alone{STRONG:#}\n\n");
    let family = |name: &str| name.split_once('.').map_or("", |(family, _)| family).to_owned();
    for group in allowed.chunk_by(|a, b| family(a.0) == family(b.0)) {
        let entry = |(name, condition): &(&str, &str)| {
            if condition.is_empty() { (*name).to_owned() } else { format!("{name} ({condition})") }
        };
        wrap(&mut text, &group.iter().map(entry).collect::<Vec<_>>());
    }
    let _ = write!(text, "\n{STRONG}These are refused when a policy is loaded{STRONG:#}\n\n");
    let mut table = output::table(&["builtin", "why"]);
    for (name, why) in refused {
        table.add_row([*name, *why]);
    }
    text.push_str(&output::lines(&table));
    text.push_str(
        "\nWhatever else is called is an error as well: it is looked for by name, on both engines alike.\n",
    );
    text
}

fn wrap(text: &mut String, words: &[String]) {
    let mut width = 0;
    for word in words {
        let lead = if width == 0 { "  " } else { ", " };
        if width > 0 && width + lead.len() + word.len() > 98 {
            text.push_str(",\n  ");
            width = 2;
        } else {
            text.push_str(lead);
            width += lead.len();
        }
        text.push_str(word);
        width += word.len();
    }
    text.push('\n');
}
