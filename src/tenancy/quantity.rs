//! Quantities by Kubernetes' grammar: `500m`, `4`, `1.5Gi`, `10e3`. Amounts of a quota are never negative.

/// A quantity as a regular expression.
pub const PATTERN: &str = r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$";

/// Longest quantity, in bytes.
pub const LENGTH_MAX: usize = 32;

/// What a quota or limit is about (`cpu`, `requests.storage`, `count/jobs.batch`), as a regular expression.
pub const RESOURCE_PATTERN: &str = r"^[a-z0-9]([-a-z0-9._]*[a-z0-9])?(/[a-z0-9]([-a-z0-9._]*[a-z0-9])?)?$";

/// Longest name of a resource, in bytes.
pub const RESOURCE_LENGTH_MAX: usize = 128;

pub const RESOURCES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, length: usize, good: &[&str], bad: &[&str]) {
        let schema = serde_json::json!({ "pattern": pattern, "maxLength": length, "minLength": 1 });
        let schema = jsonschema::validator_for(&schema).unwrap();
        for (texts, fine) in [(good, true), (bad, false)] {
            for text in texts {
                assert_eq!(schema.is_valid(&serde_json::json!(text)), fine, "{text:?}");
            }
        }
    }

    #[test]
    fn quantities() {
        check(
            PATTERN,
            LENGTH_MAX,
            &["0", "4", "+4", "500m", "1.5Gi", "1.", ".5", "10e3", "1E-2", "100n", "7k", "2E", "2Ei"],
            &[
                "", "-1", "1 Gi", "Gi", "1gi", "1K", "1Kib", "1e", "1e1.5", ".", "1,5", "0x10", "1\n",
                "\u{0}", "NaN", "1e999",
            ],
        );
        check(PATTERN, LENGTH_MAX, &[&"9".repeat(32)], &[&"9".repeat(33)]);
    }

    #[test]
    fn resources() {
        check(
            RESOURCE_PATTERN,
            RESOURCE_LENGTH_MAX,
            &[
                "cpu",
                "requests.cpu",
                "pods",
                "count/deployments.apps",
                "gold.storageclass.storage.k8s.io/requests.storage",
                "requests.nvidia.com/gpu",
            ],
            &["", "CPU", "a/b/c", "/a", "a/", "a b", "-a", "a-", "a\n", "a'--"],
        );
    }
}
