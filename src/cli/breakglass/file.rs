//! Documents in a file, written aside and renamed: a gate that follows it never reads half of one.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::super::ledger::show::{self, Format};
use super::super::{Exit, output};
use crate::cli::serve::breakglass::Documents;
use portcullis_tenancy::breakglass::{Document, Entry};

/// Adds a document.
///
/// # Errors
/// The file is something else, or cannot be written.
pub fn open(path: &Path, document: Document, signature: String) -> anyhow::Result<()> {
    let mut documents = Documents::read(path)?;
    let id = document.id.clone();
    let entry = Entry { document: Some(document), signature: Some(signature.into()), closed: false };
    documents.breakglass.insert(id, entry);
    write(path, &documents)
}

/// Closes one, and says so in its place: a copy of it that the ledger has holds no more either.
///
/// # Errors
/// There is none of this id, or the file cannot be written.
pub fn close(path: &Path, id: &str) -> anyhow::Result<Exit> {
    let mut documents = Documents::read(path)?;
    let Some(entry) = documents.breakglass.get_mut(id) else {
        bail!("`{}` holds no break-glass document `{id}`", path.display());
    };
    *entry = Entry { document: None, signature: None, closed: true };
    write(path, &documents)?;
    output::note(format!("break-glass {id} is closed"));
    Ok(Exit::Fine)
}

/// Lists them.
///
/// # Errors
/// The file is something else.
pub fn list(path: &Path, format: Format) -> anyhow::Result<Exit> {
    let documents = Documents::read(path)?;
    let items: Vec<_> = documents
        .breakglass
        .iter()
        .map(|(id, entry)| match &entry.document {
            Some(document) => json!({"id": id, "document": document, "expires": document.expires}),
            None => json!({"id": id, "closedAt": "closed"}),
        })
        .collect();
    show::items(format, &super::COLUMNS, &items)?;
    Ok(Exit::Fine)
}

fn write(path: &Path, documents: &Documents) -> anyhow::Result<()> {
    let failed = || format!("cannot write `{}`", path.display());
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let text = serde_json::to_string_pretty(documents)?;
    std::fs::write(&aside, text).with_context(failed)?;
    std::fs::rename(&aside, path).with_context(failed)
}
