//! Line and column of a place in a YAML or JSON text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A document of which only the shape is kept, and where its parts stand.
enum Node {
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
    List(Vec<Spanned<Node>>),
    Leaf,
}

/// Where a value stands, and of an entry of a map where its key does; both from 1. What is not there is looked for as far
/// as it is. `None` where the text cannot be read.
pub fn of(text: &str, steps: &[String]) -> Option<(u32, u32)> {
    let whole: Spanned<Node> = serde_saphyr::from_str(text).ok()?;
    let mut place = whole.referenced;
    let mut node = &whole.value;
    for step in steps {
        let next = match node {
            Node::Map(entries) => entries
                .iter()
                .find(|(key, _)| key.value == *step)
                .map(|(key, value)| (key.referenced, &value.value)),
            Node::List(items) => step
                .parse::<usize>()
                .ok()
                .and_then(|at| items.get(at))
                .map(|item| (item.referenced, &item.value)),
            Node::Leaf => None,
        };
        let Some(found) = next else { break };
        (place, node) = found;
    }
    Some((u32::try_from(place.line()).ok()?, u32::try_from(place.column()).ok()?))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape)
    }
}

struct Shape;

macro_rules! leaves {
    ($($name:ident: $type:ty),+) => {
        $(fn $name<E>(self, _: $type) -> Result<Node, E> {
            Ok(Node::Leaf)
        })+
    };
}

impl<'de> Visitor<'de> for Shape {
    type Value = Node;

    leaves!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64, visit_str: &str);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Node, D::Error> {
        Node::deserialize(inner)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(inner).map(|_| Node::Leaf)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}
