//! Laws that fail: while they run, and from the start. Each is named in a denial and in a metric; the others go on.

mod running; // a policy that fails on a review
mod start; // a policy that did not load, and what may be switched off

use std::path::Path;

use tempfile::TempDir;

/// What every law here is about: ConfigMaps of tenants.
const MATCH: &str = "{operations: [CREATE, UPDATE], resources: [configmaps], namespaces: [app, sandbox]}";

/// A policy of this id; `custom` are more lines of its METADATA, `rules` what follows its package.
pub fn policy(id: &str, custom: &str, rules: &str) -> String {
    let package = id.replace('-', "_");
    let custom = match custom {
        "" => String::new(),
        lines => format!("#   {}\n", lines.replace('\n', "\n#   ")),
    };
    format!(
        "# METADATA\n# title: {id}\n# custom:\n#   id: {id}\n{custom}#   match:\n#     - {MATCH}\npackage portcullis.{package}\n\n{rules}\n"
    )
}

/// A law that denies what carries `marked`, so that it shows whether it still decides.
pub fn witness() -> String {
    policy("witness", "", "deny contains \"is marked\" if input.request.object.data.marked")
}

pub fn lay(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A directory of these files.
pub fn directory(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        lay(dir.path(), name, text);
    }
    dir
}
