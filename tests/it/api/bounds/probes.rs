//! From a schema of the document to values at its bounds and one beyond.

use serde_json::{Map, Value, json};

/// The document, whose schemas refer to each other.
pub struct Document(Value);

/// What is said of a value's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// 400, at the pointer.
    Refused,
    /// No word about the pointer's shape.
    Taken,
    /// Whatever it is, it is no failure of ours.
    Anything,
}

/// A value that is fine but for one place in it.
#[derive(Debug, Clone)]
pub struct Probe {
    pub value: Value,
    /// The place.
    pub pointer: String,
    /// The nearest place above it that could have another form, which is where it may be told instead.
    pub choice: Option<String>,
    pub what: &'static str,
    pub expect: Expect,
}

/// Texts that were commands in a careless server.
const SQL: [&str; 2] = ["Robert'); DROP TABLE tenants;--", "' OR '1'='1"];

/// How deep a schema is followed into itself.
const DEPTH: usize = 12;

fn at(value: Value, what: &'static str, expect: Expect) -> Probe {
    Probe { value, pointer: String::new(), choice: None, what, expect }
}

impl Probe {
    fn below(mut self, key: &str, whole: Value) -> Self {
        let key = key.replace('~', "~0").replace('/', "~1");
        self.pointer.insert_str(0, &format!("/{key}"));
        self.choice = self.choice.map(|choice| format!("/{key}{choice}"));
        Self { value: whole, ..self }
    }
}

impl Document {
    pub fn new(document: Value) -> Self {
        Self(document)
    }

    fn operation(&self, path: &str, method: &str) -> &Value {
        &self.0["paths"][path][method.to_lowercase()]
    }

    /// The schema of a body.
    pub fn body(&self, path: &str, method: &str) -> Value {
        self.operation(path, method)["requestBody"]["content"]["application/json"]["schema"].clone()
    }

    pub fn parameters(&self, path: &str, method: &str) -> Vec<Value> {
        self.operation(path, method)["parameters"].as_array().cloned().unwrap_or_default()
    }

    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let mut root = schema.clone();
        root["components"] = self.0["components"].clone();
        jsonschema::options().should_validate_formats(true).build(&root).unwrap().is_valid(value)
    }

    /// The schema that a reference means, with what stands beside the reference left away.
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(target) => self.resolved(self.0.pointer(target.trim_start_matches('#')).unwrap()),
            None => schema,
        }
    }

    /// A value that fits: the document's own example, or the least there is.
    pub fn sample(&self, schema: &Value) -> Value {
        let found = self.least(schema, DEPTH);
        assert!(self.fits(schema, &found), "no value is known that fits {schema}: not {found}");
        found
    }

    fn least(&self, schema: &Value, depth: usize) -> Value {
        let schema = self.resolved(schema);
        let examples = schema["examples"].as_array().into_iter().flatten().chain(schema.get("example"));
        if let Some(example) = examples.into_iter().find(|example| self.fits(schema, example)) {
            return example.clone();
        }
        if let Some(word) = schema.get("const").or_else(|| schema["enum"].get(0)) {
            return word.clone();
        }
        if let Some(branches) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            let values = branches.iter().map(|branch| self.least(branch, depth.saturating_sub(1)));
            let mut fitting = values.filter(|value| self.fits(schema, value));
            return fitting.next().unwrap_or(Value::Null);
        }
        if depth == 0 {
            return Value::Null;
        }
        match kind(schema) {
            "object" => {
                let required = schema["required"].as_array().into_iter().flatten();
                let entry = |name: &Value| {
                    let name = name.as_str().unwrap();
                    (name.to_owned(), self.least(&schema["properties"][name], depth - 1))
                };
                let mut object: Map<String, Value> = required.map(entry).collect();
                if object.is_empty() && number(schema, "minProperties").is_some_and(|least| least > 0) {
                    object.insert("a".to_owned(), json!("a"));
                }
                object.into()
            }
            "array" => {
                let least = number(schema, "minItems").unwrap_or(0);
                (0..least).map(|_| self.least(&schema["items"], depth - 1)).collect::<Vec<_>>().into()
            }
            "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
            "boolean" => json!(true),
            "string" => self.text(schema, number(schema, "minLength").unwrap_or(1).max(1)),
            _ => Value::Null,
        }
    }

    /// A text of this length that fits, or one that is as long.
    fn text(&self, schema: &Value, length: usize) -> Value {
        let padded = |begin: &str, fill: &str, end: &str| {
            let rest = length.saturating_sub(begin.len() + end.len());
            json!(format!("{begin}{}{end}", fill.repeat(rest)))
        };
        let fixed = ["0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f", "2026-12-01T10:00:00Z", "1.0.0", "a.b/c"];
        let fixed = fixed.into_iter().filter(|_| length < 40).map(|text| json!(text));
        let grown =
            [("", "a", ""), ("https://", "a", ""), ("", "1", ""), ("a", "-", "a"), ("1.0.0-", "a", "")];
        let mut all = grown.into_iter().map(|(begin, fill, end)| padded(begin, fill, end)).chain(fixed);
        all.find(|text| self.fits(schema, text)).unwrap_or_else(|| padded("", "a", ""))
    }

    /// Everything that can be tried of a schema.
    pub fn probes(&self, schema: &Value) -> Vec<Probe> {
        self.walk(schema, &mut Vec::new())
    }

    fn walk(&self, schema: &Value, above: &mut Vec<String>) -> Vec<Probe> {
        if let Some(target) = schema["$ref"].as_str() {
            if above.iter().any(|name| name == target) || above.len() > DEPTH {
                return Vec::new();
            }
            above.push(target.to_owned());
            let probes = self.walk(self.resolved(schema), above);
            above.pop();
            return probes;
        }
        if let Some(branches) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            let mut probes = Vec::new();
            for branch in branches {
                for mut probe in self.walk(branch, above) {
                    // What one form refuses, another may be.
                    if probe.pointer.is_empty()
                        && probe.expect == Expect::Refused
                        && self.fits(schema, &probe.value)
                    {
                        probe.expect = Expect::Taken;
                    }
                    probe.choice.get_or_insert_default();
                    probes.push(probe);
                }
            }
            return probes;
        }
        let mut probes = match kind(schema) {
            "object" => self.of_object(schema, above),
            "array" => self.of_array(schema, above),
            "string" => self.of_text(schema),
            "integer" => of_number(schema),
            _ => Vec::new(),
        };
        if let Some(wrong) = another(schema) {
            probes.push(at(wrong, "another type", Expect::Refused));
        }
        probes
    }

    fn of_text(&self, schema: &Value) -> Vec<Probe> {
        let mut probes = vec![at(json!("a\u{0}b"), "NUL", Expect::Refused)];
        if schema["enum"].is_array() || schema.get("const").is_some() {
            probes.push(at(json!("no-such-word"), "no such word", Expect::Refused));
            return probes;
        }
        if let Some(most) = number(schema, "maxLength") {
            let longest = self.text(schema, most);
            if self.fits(schema, &longest) {
                probes.push(at(longest, "as long as may be", Expect::Taken));
            }
            let mut longer = schema.clone();
            longer["maxLength"] = json!(most + 1);
            let text = Some(self.text(&longer, most + 1)).filter(|text| !self.fits(schema, text));
            let text = text.unwrap_or_else(|| json!("a".repeat(most + 1)));
            probes.push(at(text, "too long", Expect::Refused));
        }
        if number(schema, "minLength").is_some_and(|least| least > 0) {
            probes.push(at(json!(""), "empty", Expect::Refused));
        }
        for text in SQL {
            let expect = if self.fits(schema, &json!(text)) { Expect::Anything } else { Expect::Refused };
            probes.push(at(json!(text), "SQL", expect));
        }
        probes
    }

    fn of_array(&self, schema: &Value, above: &mut Vec<String>) -> Vec<Probe> {
        let items = &schema["items"];
        let several = |count: usize| -> Vec<Value> { (0..count).map(|n| self.numbered(items, n)).collect() };
        let mut probes = Vec::new();
        if let Some(most) = number(schema, "maxItems") {
            probes.push(at(several(most + 1).into(), "too many", Expect::Refused));
        }
        if let Some(least) = number(schema, "minItems").filter(|least| *least > 0) {
            probes.push(at(several(least - 1).into(), "too few", Expect::Refused));
        }
        if schema["uniqueItems"] == true {
            let item = self.sample(items);
            probes.push(at(json!([item, item]), "twice", Expect::Refused));
        }
        let fill = number(schema, "minItems").unwrap_or(1).saturating_sub(1);
        for probe in self.walk(items, above) {
            let mut list = vec![probe.value.clone()];
            list.extend(several(fill));
            probes.push(probe.below("0", list.into()));
        }
        probes
    }

    /// The n-th of many that fit and differ, where a text can carry the number.
    fn numbered(&self, schema: &Value, n: usize) -> Value {
        let text = json!(format!("a{n}"));
        if self.resolved(schema)["type"] == "string" && n < 300 && self.fits(schema, &text) {
            text
        } else {
            self.sample(schema)
        }
    }

    fn of_object(&self, schema: &Value, above: &mut Vec<String>) -> Vec<Probe> {
        let base = self.least(schema, DEPTH);
        let with = |name: &str, value: Value| {
            let mut whole = base.clone();
            whole[name] = value;
            whole
        };
        let mut probes = Vec::new();
        let more = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
        if *more == false {
            let unknown = at(Value::Null, "an unknown field", Expect::Refused);
            probes.push(unknown.below("unknownField", with("unknownField", json!(1))));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            let mut whole = base.clone();
            whole.as_object_mut().unwrap().remove(name);
            probes.push(at(Value::Null, "missing", Expect::Refused).below(name, whole));
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            for probe in self.walk(property, above) {
                let whole = with(name, probe.value.clone());
                probes.push(probe.below(name, whole));
            }
        }
        if more.is_object() || *more == true {
            let value = if more.is_object() { self.sample(more) } else { json!("a") };
            if let Some(most) = number(schema, "maxProperties") {
                let many: Map<String, Value> = (0..=most).map(|n| (format!("k{n}"), value.clone())).collect();
                probes.push(at(many.into(), "too many keys", Expect::Refused));
            }
            if schema["propertyNames"].is_object() {
                probes.push(at(with(" ", value.clone()), "no key", Expect::Refused));
            }
            let inner = if more.is_object() {
                self.walk(more, above)
            } else {
                vec![at(json!("\u{0}"), "NUL", Expect::Refused)]
            };
            for probe in inner {
                let whole = with("key", probe.value.clone());
                probes.push(probe.below("key", whole));
            }
        }
        probes
    }
}

fn of_number(schema: &Value) -> Vec<Probe> {
    let mut probes = Vec::new();
    for (word, step) in [("minimum", -1), ("maximum", 1)] {
        if let Some(bound) = schema[word].as_i64() {
            probes.push(at(json!(bound), "as much as may be", Expect::Taken));
            probes.push(at(json!(bound + step), "too much", Expect::Refused));
        }
    }
    probes
}

/// The type of a schema, of several the one that is not null.
fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::Array(types) => {
            types.iter().filter_map(Value::as_str).find(|one| *one != "null").unwrap_or("")
        }
        one => one.as_str().unwrap_or(""),
    }
}

/// A value of another type.
fn another(schema: &Value) -> Option<Value> {
    match kind(schema) {
        "" | "null" => None,
        "object" => Some(json!(7)),
        _ => Some(json!({ "a": 1 })),
    }
}

fn number(schema: &Value, word: &str) -> Option<usize> {
    usize::try_from(schema[word].as_u64()?).ok()
}
