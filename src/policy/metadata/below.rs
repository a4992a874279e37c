//! `# METADATA` blocks on rules. OPA's tools read them and the gate does not, so that nobody may believe that a rule has
//! a mode of its own.

use serde_json::Value as Json;

use super::{Block, syntax, to_u32};
use portcullis_rego::problem::Problem;

/// Keys below `custom` that mean something before `package` and nothing on a rule.
const OURS: [&str; 9] =
    ["id", "severity", "mode", "on_error", "budget_us", "match", "params_schema", "reads_secrets", "locked"];

/// What is wrong with the blocks that stand below `package`.
pub fn below(file: &str, text: &str) -> Vec<Problem> {
    blocks(text).iter().flat_map(|block| judge(file, block)).collect()
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let (mut below, mut inside) = (false, false);
    for (index, line) in text.lines().enumerate() {
        below |= line.starts_with("package ");
        let comment = line.strip_prefix('#').filter(|_| below);
        match comment {
            None => inside = false,
            Some(comment) if comment.trim() == "METADATA" => {
                inside = true;
                found.push(Block { line: to_u32(index) + 1, yaml: String::new(), indent: 2 });
            }
            Some(comment) => {
                if let Some(block) = found.last_mut().filter(|_| inside) {
                    block.yaml.push_str(comment.strip_prefix(' ').unwrap_or(comment));
                    block.yaml.push('\n');
                }
            }
        }
    }
    found
}

fn judge(file: &str, block: &Block) -> Vec<Problem> {
    let read: Json = match serde_saphyr::from_str(&block.yaml) {
        Ok(read) => read,
        Err(error) => return syntax(file, block, &error).0,
    };
    let at = |key: &str, message: String| {
        let begins = |line: &str| line.trim_start().starts_with(&format!("{key}:"));
        let line = block.yaml.lines().position(begins).map_or(0, |line| to_u32(line) + 1);
        Problem::at(file, block.line + line, 0, message)
    };
    let mut found = Vec::new();
    let ours = OURS.iter().filter(|key| read.pointer(&format!("/custom/{key}")).is_some());
    found.extend(ours.map(|key| {
        at(key, format!("METADATA: `custom.{key}` on a rule changes nothing; it is read only in the block before `package`, for all rules of the policy"))
    }));
    if let Some(scope) =
        read.get("scope").and_then(Json::as_str).filter(|scope| !matches!(*scope, "rule" | "document"))
    {
        found.push(at("scope", format!("METADATA: `scope: {scope}` on a rule; here it is rule or document")));
    }
    found
}
