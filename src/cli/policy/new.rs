//! `portcullis policy new`: creates a working policy with passing tests, to be edited.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::super::output::{self, FAINT, GOOD, STRONG};
use super::Exit;
use portcullis_policy::Problems;
use portcullis_policy::metadata;
use portcullis_policy::source::dir;

const POLICY: &str = include_str!("new/policy.rego");
const TEST: &str = include_str!("new/policy_test.rego");
const CASES: &str = include_str!("new/cases.yaml");

const EXAMPLES: &str = "\
Examples:
  portcullis policy new no-latest-tag
  portcullis policy new quiet-hours --dir policies --topic operations

It writes DIR/TOPIC/NAME.rego, NAME_test.rego beside it and cases/NAME.yaml below. All three are an
example that passes: change a line, run `portcullis policy test DIR`, and see what happens.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Id of the policy: lower-case letters, digits and single hyphens, at most 63 characters
    id: String,
    /// Directory of policies
    #[arg(long, default_value = "policies", value_name = "DIR")]
    dir: PathBuf,
    /// Subdirectory, by topic
    #[arg(long, default_value = "custom", value_name = "TOPIC")]
    topic: String,
}

/// Never overwrites an existing file.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { id, dir, topic } = args;
    let filled = |template: &str| {
        template.replace("ID", &id).replace("NAME", &name(&id)).replace("TITLE", &title(&id))
    };
    check(&id, &filled(POLICY))?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if topic.is_empty() || !topic.chars().all(plain) || topic == "params" || topic == "lib" {
        bail!(
            "--topic `{topic}`: a directory name of lower-case letters, digits, `-` and `_`, but `params` and `lib`"
        );
    }
    let own = dir.join(&topic);
    let files = [
        (own.join(format!("{}.rego", name(&id))), POLICY, "the policy"),
        (own.join(format!("{}_test.rego", name(&id))), TEST, "its tests in Rego, a rule each"),
        (
            own.join("cases").join(format!("{}.yaml", name(&id))),
            CASES,
            "its cases: whole requests and their answers",
        ),
    ];
    taken(&dir, &id, &files.each_ref().map(|(path, ..)| path.as_path()))?;
    let fresh = !dir.exists();
    for (path, template, _) in &files {
        let parent = path.parent().unwrap_or(&dir);
        std::fs::create_dir_all(parent).with_context(|| format!("`{}`", parent.display()))?;
        std::fs::write(path, filled(template)).with_context(|| format!("`{}`", path.display()))?;
    }
    output::print(&summary_text(&dir, &files.map(|(path, _, what)| (path, what)), fresh))?;
    Ok(Exit::Ok)
}

fn summary_text(dir: &Path, files: &[(PathBuf, &str)], fresh: bool) -> String {
    let width = files.iter().map(|(path, _)| path.display().to_string().len()).max().unwrap_or_default();
    let mut text = String::new();
    for (path, what) in files {
        let _ = writeln!(
            text,
            "{GOOD}wrote{GOOD:#} {:width$}  {FAINT}{what}{FAINT:#}",
            path.display().to_string()
        );
    }
    let dir = dir.display();
    let _ = writeln!(text, "\n{STRONG}next{STRONG:#}\n  portcullis policy test {dir}");
    let _ = writeln!(text, "  portcullis review --policies {dir} FILE               a manifest of yours");
    let _ = writeln!(text, "  portcullis policy eval --policies {dir} --trace FILE  and how that came about");
    if fresh {
        let _ = writeln!(
            text,
            "\n{dir} is new, and with --policies {dir} it is the whole policy set: the embedded library is not added to it."
        );
    }
    text
}

/// `no-latest-tag` → `no_latest_tag`.
fn name(id: &str) -> String {
    id.replace('-', "_")
}

/// `no-latest-tag` → `No latest tag`.
fn title(id: &str) -> String {
    let words = id.replace('-', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Keywords of Rego are not valid package names; YAML reads the other words as booleans.
const RESERVED: &[&str] = &[
    "and", "as", "contains", "data", "default", "else", "every", "false", "if", "import", "in", "input", "n",
    "no", "not", "null", "off", "on", "or", "package", "some", "true", "with", "y", "yes",
];

/// The id is validated in the METADATA of the policy, where it will be read.
fn check(id: &str, text: &str) -> anyhow::Result<()> {
    let checked = metadata::find(text).map(|block| metadata::parse("", &block)).transpose();
    let said =
        |Problems(problems)| problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
    if let Err(problems) = checked {
        bail!("{}", said(problems));
    }
    if RESERVED.contains(&id) {
        bail!(
            "id `{id}` is a word of Rego or YAML, and its package and its cases could not be read; take another"
        );
    }
    let grammatical =
        id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !grammatical {
        bail!("id `{id}`: a lower-case letter, then letters, digits and single hyphens, 63 at most");
    }
    Ok(())
}

fn taken(dir: &Path, id: &str, files: &[&Path]) -> anyhow::Result<()> {
    if let Some(there) = files.iter().find(|path| path.exists()) {
        bail!("`{}` is there already; nothing was written", there.display());
    }
    if !dir.exists() {
        return Ok(());
    }
    let known = dir::files(dir)?;
    for (path, bytes) in known
        .iter()
        .filter(|(path, _)| Path::new(path).extension().is_some_and(|extension| extension == "rego"))
    {
        let text = String::from_utf8_lossy(bytes);
        let manifest = metadata::find(&text).and_then(|block| metadata::parse(path, &block).ok().flatten());
        if manifest.is_some_and(|manifest| manifest.id == id) {
            bail!("id `{id}` is taken by {}; nothing was written", dir.join(path).display());
        }
    }
    Ok(())
}
