//! Objects with fields that are absent, null or of another type.

use fastrand::Rng;
use serde_json::{Map, Value as Json, json};

fn any(rng: &mut Rng) -> Json {
    let of = [
        json!("a"),
        json!("x"),
        json!("web"),
        json!(""),
        json!(1),
        json!(0),
        json!(-1),
        json!(2),
        json!(true),
        json!(false),
        json!(null),
        json!(0.1),
        json!([]),
        json!({}),
        json!(["a"]),
        json!({"a": 1}),
        json!("1"),
    ];
    of[rng.usize(..of.len())].clone()
}

fn of(rng: &mut Rng, values: &[Json]) -> Json {
    // One field in twelve is not what it should be.
    if rng.u8(..12) == 0 { any(rng) } else { values[rng.usize(..values.len())].clone() }
}

fn maybe(
    rng: &mut Rng,
    percent: u32,
    object: &mut Map<String, Json>,
    key: &str,
    value: impl FnOnce(&mut Rng) -> Json,
) {
    if rng.u32(..100) < percent {
        let value = value(rng);
        object.insert(key.to_owned(), value);
    }
}

fn texts(rng: &mut Rng) -> Json {
    of(rng, &[json!("a"), json!("x"), json!("web"), json!("web:1"), json!("")])
}

fn numbers(rng: &mut Rng) -> Json {
    of(
        rng,
        &[
            json!(0),
            json!(1),
            json!(2),
            json!(3),
            json!(-1),
            json!(10),
            json!(0.1),
            json!(0.2),
            json!(0.3),
            json!(1.5),
            json!(100),
        ],
    )
}

fn list(rng: &mut Rng, most: usize, item: fn(&mut Rng) -> Json) -> Json {
    let count = rng.usize(..=most);
    (0..count).map(|_| item(rng)).collect::<Vec<_>>().into()
}

fn element(rng: &mut Rng) -> Json {
    if rng.u8(..25) == 0 {
        return any(rng);
    }
    let mut one = Map::new();
    maybe(rng, 85, &mut one, "name", texts);
    maybe(rng, 65, &mut one, "image", texts);
    maybe(rng, 50, &mut one, "n", numbers);
    maybe(rng, 60, &mut one, "sc", |rng| {
        let mut context = Map::new();
        maybe(rng, 60, &mut context, "priv", |rng| of(rng, &[json!(true), json!(false)]));
        maybe(rng, 60, &mut context, "user", numbers);
        context.into()
    });
    maybe(rng, 40, &mut one, "env", |rng| list(rng, 2, |rng| json!({"name": texts(rng), "value": any(rng)})));
    maybe(rng, 40, &mut one, "ports", |rng| list(rng, 3, numbers));
    maybe(rng, 40, &mut one, "opt", any);
    one.into()
}

fn labels(rng: &mut Rng) -> Json {
    let mut labels = Map::new();
    for key in ["team", "a", "x"] {
        maybe(rng, 50, &mut labels, key, texts);
    }
    labels.into()
}

/// A random object.
pub fn object(rng: &mut Rng) -> Json {
    let mut object = Map::new();
    maybe(rng, 70, &mut object, "a", any);
    maybe(rng, 70, &mut object, "b", any);
    maybe(rng, 80, &mut object, "s", texts);
    maybe(rng, 80, &mut object, "n", numbers);
    maybe(rng, 60, &mut object, "d", numbers);
    maybe(rng, 50, &mut object, "flag", |rng| of(rng, &[json!(true), json!(false)]));
    maybe(rng, 70, &mut object, "labels", labels);
    maybe(rng, 75, &mut object, "list", |rng| list(rng, 3, any));
    maybe(rng, 75, &mut object, "nums", |rng| list(rng, 3, numbers));
    maybe(rng, 90, &mut object, "cs", |rng| list(rng, 3, element));
    maybe(rng, 60, &mut object, "sub", |rng| {
        let mut sub = Map::new();
        maybe(rng, 60, &mut sub, "x", any);
        maybe(rng, 60, &mut sub, "cs", |rng| list(rng, 2, element));
        maybe(rng, 40, &mut sub, "y", |rng| json!({"z": any(rng)}));
        sub.into()
    });
    maybe(rng, 50, &mut object, "m", |rng| json!({"k": list(rng, 2, any), "x": list(rng, 2, numbers)}));
    object.into()
}
