//! `portcullis token keys`: what signs, what verifies, and a new one.

use clap::Subcommand;
use serde_json::json;

use super::{Exit, Place, output, time};
use output::TextOrJson;
use portcullis_access::keys::{Key, KeySet, Keys, SETTLE_SECONDS, make};
use portcullis_access::token::{LIFETIME_SECONDS_MAX, now};

/// Words of `portcullis token keys`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the keys, oldest first
    List(List),
    /// Make a new key. All servers that follow the directory know it at once, and sign with it a minute later
    Rotate,
}

/// Words of `portcullis token keys list`.
#[derive(Debug, clap::Args)]
struct List {
    /// How to print
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: TextOrJson,
}

/// Lists them, or makes one.
///
/// # Errors
/// The keys cannot be read or written.
pub fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    match args.command {
        Command::List(List { output }) => list(&Keys::open(&place.dir()?)?.now(), output),
        Command::Rotate => rotate(place),
    }
}

fn list(set: &KeySet, output: TextOrJson) -> anyhow::Result<Exit> {
    let now = now();
    let rows: Vec<[String; 4]> = set
        .iter()
        .map(|key| {
            let made = if key.made() == i64::MIN { "–".to_owned() } else { time(key.made()) };
            [key.kid().to_owned(), made, state(set, key, now), key.path().display().to_string()]
        })
        .collect();
    match output {
        TextOrJson::Json => {
            let entry = |[kid, made, state, file]: &[String; 4]| json!({"kid": kid, "made": made, "state": state, "file": file});
            output::print_json(&rows.iter().map(entry).collect::<Vec<_>>())?;
        }
        TextOrJson::Text => {
            let mut table = output::table(&["kid", "made", "state", "file"]);
            table.add_rows(rows);
            output::print(&output::lines(&table))?;
        }
    }
    Ok(Exit::Fine)
}

/// What a key does now, and until when it is needed.
fn state(set: &KeySet, key: &Key, now: i64) -> String {
    let signs = set.signing(now).is_some_and(|signing| signing.kid() == key.kid());
    let settled = key.made().saturating_add(SETTLE_SECONDS);
    if signs {
        return "signs".to_owned();
    }
    if settled > now {
        return format!("signs from {}", time(settled));
    }
    // Its last token was signed when the next key had settled.
    let next = set.iter().skip_while(|other| other.kid() != key.kid()).nth(1);
    let last = next.map_or(now, |next| next.made().saturating_add(SETTLE_SECONDS));
    format!("verifies until {}", time(last.saturating_add(LIFETIME_SECONDS_MAX)))
}

fn rotate(place: &Place) -> anyhow::Result<Exit> {
    let dir = place.dir()?;
    // Younger than every key that is there, also within the second in which the last was made: the newest is to sign.
    let newest = Keys::open(&dir).ok().and_then(|keys| keys.now().iter().map(Key::made).max());
    let at = newest.map_or_else(now, |newest| now().max(newest.saturating_add(1)));
    let path = make(&dir, jiff::Timestamp::from_second(at)?)?;
    // What cannot be read back would have every server keep its keys of before, and say so only in its log.
    let set = Keys::open(&dir)?.now();
    let key = set.iter().find(|key| key.path() == path);
    output::note(key.map_or_else(String::new, |key| state(&set, key, now())));
    output::print(&format!("{}\n", path.display()))?;
    Ok(Exit::Fine)
}
