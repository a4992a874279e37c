//! Gzip for `/metrics` and for the snapshot of the API.

use std::io::{Read, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// Whether a value of `Accept-Encoding` names gzip with a weight above 0.
pub fn is_accepted<'a>(values: impl IntoIterator<Item = &'a str>) -> bool {
    values.into_iter().flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let never = |weight: &str| weight.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()) == Some(0.0);
        gzip && !parts.any(never)
    })
}

/// Uses the fastest level: the best level takes three times as long and saves a fifth.
pub fn compress(page: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 16), Compression::fast());
    encoder.write_all(page)?;
    encoder.finish()
}

/// A streaming reader, so that a bound on the bytes read bounds the memory.
pub fn decompress(compressed: impl Read) -> impl Read {
    MultiGzDecoder::new(compressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_accepted_only_when_named_with_a_weight() {
        for (value, accepted) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, identity", false),
            ("x-gzip", false),
            ("", false),
        ] {
            assert_eq!(is_accepted([value]), accepted, "{value}");
        }
        assert!(is_accepted(["deflate", "gzip"]));
        assert!(!is_accepted([]));
    }

    #[test]
    fn decompressed_text_equals_the_original() {
        let text = "portcullis ".repeat(1000);
        let compressed = compress(text.as_bytes()).unwrap();
        assert!(compressed.len() < text.len() / 20);
        let mut back = String::new();
        decompress(&compressed[..]).read_to_string(&mut back).unwrap();
        assert_eq!(back, text);
    }
}
