//! Builtins over graphs. How many paths there are shows only when they are followed.

use std::collections::BTreeSet;

use regorus::Value;
use regorus::value::Object;

use super::{Built, Cost, ENTRY, STEPS_MAX, TEXT, VALUE, each};

/// Nodes of one path: each is a call deeper.
const PATH_MAX: usize = 256;
/// Steps of following paths; each looks a node up.
const FOLLOWED_MAX: usize = STEPS_MAX / 256;

/// Every edge once, and every node.
pub fn reachable(args: &[Value]) -> Cost {
    let mut edges = 0_usize;
    each(args.get(1), |_| edges += 1);
    if let Some(Value::Object(graph)) = args.first() {
        for (_, neighbours) in graph.iter() {
            each(Some(neighbours), |_| edges += 1);
        }
        edges = edges.saturating_add(graph.len());
    }
    Cost::bytes(edges.saturating_mul(ENTRY))
}

/// All paths from some nodes, as OPA has them: a path ends where there is no edge, or where it meets itself.
pub fn paths(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "graph.reachable_paths";
    let (Some(Value::Object(graph)), Some(Value::Array(_) | Value::Set(_))) = (args.first(), args.get(1))
    else {
        return Err(format!("builtin `{NAME}` takes an object, and an array or a set"));
    };
    let mut starts = Vec::new();
    each(args.get(1), |start| starts.push(start));
    let mut followed = Followed {
        graph,
        path: Vec::new(),
        on_path: BTreeSet::new(),
        paths: BTreeSet::new(),
        built: Built::new(NAME),
        steps: 0,
    };
    for start in starts {
        followed.visit(start)?;
    }
    followed.built.end()?;
    Ok(Value::from(followed.paths))
}

struct Followed<'a> {
    graph: &'a Object,
    path: Vec<Value>,
    on_path: BTreeSet<&'a Value>,
    paths: BTreeSet<Value>,
    built: Built,
    steps: usize,
}

impl<'a> Followed<'a> {
    fn visit(&mut self, node: &'a Value) -> Result<(), String> {
        self.steps += 1;
        if self.steps > FOLLOWED_MAX {
            return Err(format!("builtin `{}` would take more than {FOLLOWED_MAX} steps", self.built.name));
        }
        let nameless = matches!(node, Value::String(name) if name.is_empty());
        let neighbours = self.graph.get(node).filter(|_| !nameless);
        let Some(neighbours) = neighbours else { return self.end() };
        if self.on_path.contains(node) {
            return self.end();
        }
        if self.path.len() >= PATH_MAX {
            return Err(format!(
                "builtin `{}` would follow a path of more than {PATH_MAX} nodes",
                self.built.name
            ));
        }
        let mut next = Vec::new();
        match neighbours {
            Value::Array(_) | Value::Set(_) => each(Some(neighbours), |neighbour| next.push(neighbour)),
            Value::Null => {}
            _ => return Err(format!("builtin `{}`: neighbours must be an array or a set", self.built.name)),
        }
        self.path.push(node.clone());
        self.on_path.insert(node);
        for neighbour in &next {
            self.visit(neighbour)?;
        }
        if next.is_empty() {
            self.end()?;
        }
        self.on_path.remove(node);
        self.path.pop();
        Ok(())
    }

    /// A path that ends here.
    fn end(&mut self) -> Result<(), String> {
        if self.path.is_empty() {
            return Ok(());
        }
        self.built.add(ENTRY + TEXT + self.path.len() * VALUE)?;
        self.paths.insert(Value::from(self.path.clone()));
        Ok(())
    }
}

/// Every value in a value, each with its path.
pub fn walk(args: &[Value]) -> Result<Value, String> {
    let mut walked = Walked { path: Vec::new(), found: Vec::new(), built: Built::new("walk") };
    if let Some(value) = args.first() {
        walked.visit(value)?;
    }
    walked.built.end()?;
    Ok(Value::from(walked.found))
}

struct Walked {
    path: Vec<Value>,
    found: Vec<Value>,
    built: Built,
}

impl Walked {
    fn visit(&mut self, value: &Value) -> Result<(), String> {
        self.built.add(2 * TEXT + 3 * VALUE + self.path.len() * VALUE)?;
        self.found.push(Value::from(vec![Value::from(self.path.clone()), value.clone()]));
        match value {
            Value::Array(items) => {
                items.iter().enumerate().try_for_each(|(at, item)| self.below(Value::from(at), item))
            }
            Value::Set(items) => items.iter().try_for_each(|item| self.below(item.clone(), item)),
            Value::Object(entries) => {
                entries.iter_sorted().try_for_each(|(key, value)| self.below(key.clone(), value))
            }
            _ => Ok(()),
        }
    }

    fn below(&mut self, key: Value, value: &Value) -> Result<(), String> {
        self.path.push(key);
        self.visit(value)?;
        self.path.pop();
        Ok(())
    }
}
