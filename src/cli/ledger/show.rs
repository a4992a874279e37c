//! Output of the ledger's commands as table, JSON or YAML.

use clap::ValueEnum;
use serde_json::Value as Json;

use super::client::Client;
use crate::cli::output;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Table
    #[default]
    Table,
    /// JSON, as the API answered
    Json,
    /// YAML, as the API answered
    Yaml,
}

/// Title and path of the value; `|` separates alternatives.
pub type Column = (&'static str, &'static str);

pub fn list(client: &Client, columns: &[Column], items: &[Json]) -> anyhow::Result<()> {
    self::items(client.format, columns, items)
}

pub fn items(format: Format, columns: &[Column], items: &[Json]) -> anyhow::Result<()> {
    match format {
        Format::Json => output::print_json(&items),
        Format::Yaml => yaml(&Json::from(items)),
        Format::Table if items.is_empty() => {
            output::note("there are none");
            Ok(())
        }
        Format::Table => {
            let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
            let mut table = output::table(&titles);
            for item in items {
                table.add_row(columns.iter().map(|(_, place)| cell(item, place)));
            }
            output::print(&output::lines(&table))
        }
    }
}

/// Nested values are shown as JSON.
pub fn one(client: &Client, item: &Json) -> anyhow::Result<()> {
    match client.format {
        Format::Json => output::print_json(item),
        Format::Yaml => yaml(item),
        Format::Table => {
            let mut table = output::table(&["field", "value"]);
            for (name, value) in item.as_object().into_iter().flatten() {
                if !value.is_null() {
                    table.add_row([name.clone(), text(value)]);
                }
            }
            output::print(&output::lines(&table))
        }
    }
}

/// Prints the sentence, or the API's answer in the other formats.
pub fn done(client: &Client, sentence: &str, answer: &Json) -> anyhow::Result<()> {
    match client.format {
        Format::Table => output::print(&format!("{sentence}\n")),
        Format::Json => output::print_json(answer),
        Format::Yaml => yaml(answer),
    }
}

pub fn as_yaml(document: &Json) -> anyhow::Result<String> {
    Ok(serde_saphyr::to_string(document)?)
}

fn yaml(document: &Json) -> anyhow::Result<()> {
    output::print(&as_yaml(document)?)
}

/// The first value that is present.
pub fn cell(item: &Json, places: &str) -> String {
    let found = places.split('|').find_map(|place| {
        place.split('.').try_fold(item, |value, name| value.get(name)).filter(|value| !value.is_null())
    });
    found.map_or_else(|| "-".to_owned(), text)
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) if text.is_empty() => "-".to_owned(),
        Json::String(text) => text.clone(),
        Json::Array(items) if items.is_empty() => "-".to_owned(),
        Json::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(text).collect::<Vec<_>>().join(", ")
        }
        Json::Object(fields) if fields.is_empty() => "-".to_owned(),
        Json::Object(fields) if fields.values().all(Json::is_string) => {
            fields.iter().map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_is_the_first_value_that_is_there() {
        let item = json!({"slug": "acme", "plan": null, "labels": {"a": "b"}, "owners": ["x", "y"], "in": {"deep": 1}});
        for (place, expected) in [
            ("name|slug", "acme"),
            ("plan", "-"),
            ("labels", "a=b"),
            ("owners", "x, y"),
            ("in.deep", "1"),
            ("no.such", "-"),
        ] {
            assert_eq!(cell(&item, place), expected, "{place}");
        }
    }
}
