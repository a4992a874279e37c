//! Characters and amounts that would mislead whoever reads the message, or drown him.

use std::time::{Duration, Instant};

use portcullis_admission::cases::Answer;

use crate::support::wire::{Ask, pod_of};
use crate::support::{Gate, Options};

/// What must never reach a terminal: controls, and characters that turn text round.
fn harmful(text: &str) -> bool {
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().any(|c| c.is_control() || turns(c))
}

#[test]
fn what_somebody_else_wrote_is_escaped_wherever_it_is_repeated() {
    let mut gate = Gate::start(&Options::default());
    let nasty = [
        "a\nb",
        "a\r\nb",
        "a\u{1b}[31mb",
        "a\u{0}b",
        "a\u{202e}b",
        "a\u{2066}b\u{2069}",
        "a\u{2028}b",
        "a\u{85}b",
        "a\u{200f}b",
        "\u{feff}a",
        "a\tb",
    ];
    for text in nasty {
        let image = format!("evil.io/{text}:1");
        let json = serde_json::Value::from(image.as_str());
        let named = serde_json::Value::from(text);
        let ask = Ask {
            name: text.into(),
            ..Ask::object(pod_of(&format!(r#"{{"name":{named},"image":{json}}}"#)).replacen(
                r#""name":"web""#,
                &format!(r#""name":{named}"#),
                1,
            ))
        };
        for operation in ["CREATE", "UPDATE"] {
            let ask = Ask {
                operation,
                old_object: if operation == "UPDATE" { ask.object.clone() } else { "null".into() },
                ..ask.clone()
            };
            let answer = gate.ask("validate", &ask.body());
            let lines: Vec<&str> = answer.message().lines().collect();
            let causes = answer.json()["response"]["status"]["details"]["causes"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            if operation == "CREATE" {
                assert_eq!(answer.json()["response"]["status"]["code"], 403, "{text:?}");
                assert_eq!((lines.len(), causes.len()), (2, 1), "a newline forges no finding: {lines:?}");
                assert!(lines[0].contains("\\u{"), "{lines:?}");
            } else {
                assert!(
                    !answer.warnings().is_empty(),
                    "what was there before is warned about: {}",
                    answer.json()
                );
            }
            let warnings = answer.warnings().into_iter().map(str::to_owned);
            let causes = causes.iter().flat_map(|cause| {
                ["message", "field", "reason"].map(|key| cause[key].as_str().unwrap_or_default().to_owned())
            });
            for told in lines.iter().map(|line| (*line).to_owned()).chain(warnings).chain(causes) {
                assert!(!harmful(&told), "{text:?}: {told:?}");
            }
            assert!(
                answer.warnings().iter().all(|warning| warning.chars().count() <= 120),
                "{:?}",
                answer.warnings()
            );
        }
    }
    gate.is_unharmed();
    // Each line of the log is one line of JSON, whatever stands in it.
    let log = std::fs::read_to_string(gate.path("decisions.jsonl")).unwrap();
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
}

#[test]
fn five_hundred_containers_are_judged_in_bounded_time_and_told_in_bounded_words() {
    let mut gate = Gate::start(&Options::default());
    // The second kind is escaped, so that its lines are longer than what was sent.
    for filler in ["x", "\u{202e}"] {
        let filler = filler.repeat(4096 / filler.len());
        let container =
            |index: usize| format!(r#"{{"name":"c{index}","image":"evil{index}.io/{filler}:1"}}"#);
        let containers: Vec<String> = (0..500).map(container).collect();
        let body = Ask::object(pod_of(&containers.join(","))).body();
        assert!(body.len() > 2_000_000);
        let before = Instant::now();
        let answer = gate.ask("validate", &body);
        let took = before.elapsed();
        eprintln!("500 containers with images of 4 KiB: {took:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");
        told_in_bounds(&answer);
        assert_eq!(gate.ask("mutate", &body).json()["response"]["allowed"], true);
        gate.is_unharmed();
    }
}

fn told_in_bounds(answer: &Answer) {
    let (message, status) = (answer.message(), &answer.json()["response"]["status"]);
    assert_eq!(status["code"], 403, "{message}");
    assert!(message.len() <= 8192, "{}", message.len());
    let told = message.lines().filter(|line| line.starts_with("[registry-allowlist] ")).count();
    assert!((1..=20).contains(&told), "{told}");
    assert!(message.contains(&format!("\nand {} more\ndecision ", 500 - told)), "{message}");
    assert!(message.lines().all(|line| line.chars().count() <= 1000));
    let causes = status["details"]["causes"].as_array().unwrap();
    assert!(causes.len() <= 20 && serde_json::to_vec(causes).unwrap().len() <= 64 * 1024);
    assert!(!message.contains(&"x".repeat(250)), "what was observed is cut");
}

/// The sum of all warnings stays below 4,096 characters, beyond which the API server cuts and drops.
#[test]
fn many_warnings_stay_within_what_the_api_server_passes_on() {
    let gate = Gate::start(&Options::default());
    let containers: Vec<String> = (0..100)
        .map(|index| format!(r#"{{"name":"c{index}","image":"evil{index}.io/{}:1"}}"#, "x".repeat(200)))
        .collect();
    let pod = pod_of(&containers.join(","));
    let answer = gate
        .ask("validate", &Ask { operation: "UPDATE", old_object: pod.clone(), ..Ask::object(pod) }.body());
    assert_eq!(answer.json()["response"]["allowed"], true, "{}", answer.message());
    let warnings = answer.warnings();
    assert!((1..=20).contains(&warnings.len()), "{}", warnings.len());
    assert!(warnings.iter().map(|warning| warning.chars().count()).sum::<usize>() <= 4096);
}
