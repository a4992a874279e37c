//! Writes the normal form as source, and keeps which place of it comes from which place of the module.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::read::Module;
use super::tree::{Comprehension, Expr, Kind, Line, LineKind, Local, Name, Place, Rule, Step};

/// The source of a normal form.
#[derive(Debug, Default)]
pub(super) struct Printed {
    pub(super) text: String,
    /// Where each line begins in the module, for the lines of the text in order.
    pub(super) places: Vec<Place>,
}

/// Digits in the name of a variable.
const DIGITS: usize = 5;

/// A sentence about the normal form with the names of the module.
pub(super) fn as_written(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find("__") {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let digits = found.get(2..2 + DIGITS).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let (name, after) = found.split_at(if digits.is_some() { 2 + DIGITS } else { 2 });
        out.push_str(if digits.is_some() { "" } else { name });
        rest = after;
    }
    out + rest
}

/// An expression with the names that the author gave.
pub(super) fn expression(expr: &Expr, locals: &[String]) -> String {
    let mut printer = Printer { out: Printed::default(), names: BTreeMap::new(), locals, counted: 0 };
    printer.expr(expr);
    let text = printer.out.text;
    // The printer puts brackets around operators; the author did not.
    let bare = match expr.kind {
        Kind::Infix(..) | Kind::In(..) => text.strip_prefix('(').and_then(|text| text.strip_suffix(')')),
        _ => None,
    };
    as_written(bare.unwrap_or(&text))
}

/// Writes a module.
pub(super) fn module(module: &Module) -> Printed {
    let mut printer = Printer { out: Printed::default(), names: BTreeMap::new(), locals: &[], counted: 0 };
    printer.word("package ");
    printer.path(&module.package);
    printer.end((1, 1));
    for (path, alias) in &module.imports {
        printer.word("import ");
        printer.path(path);
        if let Some(alias) = alias {
            printer.word(" as ");
            printer.word(alias);
        }
        printer.end((1, 1));
    }
    for default in &module.defaults {
        printer.names.clear();
        printer.word("default ");
        printer.expr(&default.name);
        if !default.args.is_empty() {
            printer.word("(");
            printer.list(&default.args);
            printer.word(")");
        }
        printer.word(" := ");
        printer.expr(&default.value);
        printer.end(default.place);
    }
    for rule in &module.rules {
        printer.locals = &rule.locals;
        printer.names.clear();
        printer.rule(rule);
    }
    printer.out
}

/// A line as text, and where it comes from.
type Written = (String, Place);

struct Printer<'m> {
    out: Printed,
    /// What each variable is called, in order of their first mention: the engine takes lines in alphabetical order of
    /// what they bind (regorus 0.14.1, `scheduler.rs`).
    names: BTreeMap<Local, String>,
    locals: &'m [String],
    /// Bytes whose lines have their places.
    counted: usize,
}

impl Printer<'_> {
    fn word(&mut self, word: &str) {
        self.out.text.push_str(word);
    }

    /// Ends a line that comes from a place.
    fn end(&mut self, place: Place) {
        self.word("\n");
        let new = self.out.text.get(self.counted..).unwrap_or_default().matches('\n').count();
        self.counted = self.out.text.len();
        let lines = self.out.places.len() + new;
        self.out.places.resize(lines, place);
    }

    fn path(&mut self, path: &[String]) {
        for (at, name) in path.iter().enumerate() {
            if at == 0 {
                self.word(name);
            } else {
                self.field(name);
            }
        }
    }

    fn field(&mut self, name: &str) {
        let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
            && !name.starts_with(|letter: char| letter.is_ascii_digit())
            && !name.is_empty();
        let _ = if plain {
            write!(self.out.text, ".{name}")
        } else {
            write!(self.out.text, "[{}]", serde_json::Value::from(name))
        };
    }

    fn rule(&mut self, rule: &Rule) {
        // Arguments have their names first.
        let args = rule.args.as_deref();
        args.into_iter().flatten().for_each(|arg| self.introduce(arg));
        let mut first = Printed::default();
        std::mem::swap(&mut first, &mut self.out);
        let mut bodies: Vec<(Option<String>, Vec<Written>)> = Vec::new();
        let mut head = String::new();
        for (at, branch) in rule.branches.iter().enumerate() {
            let mut lines = Vec::new();
            for line in &branch.body {
                self.line(line);
                lines.push((std::mem::take(&mut self.out.text), line.place));
            }
            if at == 0 {
                self.head(rule);
                head = std::mem::take(&mut self.out.text);
            }
            let value = branch.value.as_ref().map(|value| {
                self.expr(value);
                std::mem::take(&mut self.out.text)
            });
            bodies.push((value, lines));
        }
        self.out = first;
        self.word(&head);
        for (at, (value, lines)) in bodies.iter().enumerate() {
            if at > 0 {
                self.word(" else");
            }
            let bare = lines.is_empty() && rule.key.is_none();
            match value {
                Some(value) => self.word(&format!(" := {value}")),
                None if bare => self.word(" := true"),
                None => {}
            }
            if lines.is_empty() {
                self.word(if bodies.len() > 1 { " if true" } else { "" });
                continue;
            }
            self.word(" if {");
            self.end(rule.place);
            for (at, (line, place)) in lines.iter().enumerate() {
                self.word(line);
                // Without it, a line that begins with a bracket would belong to the one before.
                self.word(if at + 1 < lines.len() { ";" } else { "" });
                self.end(*place);
            }
            self.word("}");
        }
        self.end(rule.place);
    }

    /// Gives the variables of a pattern their names.
    fn introduce(&mut self, expr: &Expr) {
        let mut found = Vec::new();
        expr.walk(&mut |inner| found.extend(inner.as_local()));
        found.into_iter().for_each(|local| {
            self.name(local);
        });
    }

    fn head(&mut self, rule: &Rule) {
        self.expr(&rule.name);
        if let Some(args) = &rule.args {
            self.word("(");
            self.list(args);
            self.word(")");
        }
        if let Some(key) = &rule.key {
            self.word(" contains ");
            self.expr(key);
        }
    }

    fn body(&mut self, lines: &[Line]) {
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                self.word("; ");
            }
            self.line(line);
        }
        if lines.is_empty() {
            self.word("true");
        }
    }

    fn line(&mut self, line: &Line) {
        match &line.kind {
            LineKind::Declare(_) => {}
            LineKind::SomeIn(key, value, collection) => {
                // The collection has its name before what is found in it.
                self.introduce(collection);
                self.word("some ");
                if let Some(key) = key {
                    self.expr(key);
                    self.word(", ");
                }
                self.expr(value);
                self.word(" in ");
                self.expr(collection);
            }
            LineKind::Every(every) => {
                self.introduce(&every.domain);
                self.word("every ");
                if let Some(Name::Local(key)) = &every.key {
                    let key = self.name(*key);
                    self.word(&key);
                    self.word(", ");
                }
                if let Name::Local(value) = &every.value {
                    let value = self.name(*value);
                    self.word(&value);
                }
                self.word(" in ");
                self.expr(&every.domain);
                self.word(" { ");
                self.body(&every.body);
                self.word(" }");
            }
            LineKind::Not(inner) => {
                self.word("not ");
                self.term(inner);
            }
            kind => self.term(kind),
        }
        for with in &line.with {
            self.word(" with ");
            self.expr(&with.target);
            self.word(" as ");
            self.expr(&with.value);
        }
    }

    fn term(&mut self, kind: &LineKind) {
        match kind {
            LineKind::Assign(left, right) => {
                self.expr(left);
                self.word(" = ");
                self.expr(right);
            }
            LineKind::Equal(left, right) => {
                self.expr(left);
                self.word(" == ");
                self.expr(right);
            }
            LineKind::Term(expr) => self.expr(expr),
            _ => {}
        }
    }

    fn name(&mut self, local: Local) -> String {
        let next = self.names.len();
        let written = self.locals.get(local).map_or("", String::as_str);
        self.names.entry(local).or_insert_with(|| format!("__{next:0DIGITS$}{written}")).clone()
    }

    fn list(&mut self, items: &[Expr]) {
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.word(", ");
            }
            self.expr(item);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            // The engine takes a minus before the rest of an expression for one before all of it.
            Kind::Scalar(text) if text.starts_with('-') => self.word(&format!("({text})")),
            Kind::Scalar(text) => self.word(text),
            Kind::Name(Name::Written(name) | Name::Global(name)) => self.word(name),
            Kind::Name(Name::Local(local)) => {
                let name = self.name(*local);
                self.word(&name);
            }
            Kind::Array(items) => {
                self.word("[");
                self.list(items);
                self.word("]");
            }
            Kind::Set(items) if items.is_empty() => self.word("set()"),
            Kind::Set(items) => {
                self.word("{");
                self.list(items);
                self.word("}");
            }
            Kind::Object(fields) => {
                self.word("{");
                for (at, (key, value)) in fields.iter().enumerate() {
                    if at > 0 {
                        self.word(", ");
                    }
                    self.expr(key);
                    self.word(": ");
                    self.expr(value);
                }
                self.word("}");
            }
            Kind::Comprehension(inner) => self.comprehension(inner),
            Kind::Call(path, args) => {
                self.path(path);
                self.word("(");
                self.list(args);
                self.word(")");
            }
            Kind::Infix(operator, sides) => {
                self.word("(");
                self.infix(operator, sides);
                self.word(")");
            }
            Kind::In(key, rest) => {
                self.word("(");
                self.membership(key.as_deref(), rest);
                self.word(")");
            }
            Kind::Reference(head, steps) => {
                self.expr(head);
                for step in steps {
                    match step {
                        Step::Field(name) => self.field(name),
                        Step::Index(index) => {
                            self.word("[");
                            self.expr(index);
                            self.word("]");
                        }
                    }
                }
            }
        }
    }

    fn infix(&mut self, operator: &str, sides: &(Expr, Expr)) {
        self.expr(&sides.0);
        self.word(&format!(" {operator} "));
        self.expr(&sides.1);
    }

    fn membership(&mut self, key: Option<&Expr>, rest: &(Expr, Expr)) {
        if let Some(key) = key {
            self.expr(key);
            self.word(", ");
        }
        self.expr(&rest.0);
        self.word(" in ");
        self.expr(&rest.1);
    }

    fn comprehension(&mut self, inner: &Comprehension) {
        // Names in order of the lines, though what is made of them stands before.
        let start = self.out.text.len();
        self.body(&inner.body);
        let body = self.out.text.split_off(start);
        self.word(if inner.array { "[" } else { "{" });
        if let Some(key) = &inner.key {
            self.expr(key);
            self.word(": ");
        }
        self.expr(&inner.value);
        self.word(" | ");
        self.word(&body);
        self.word(if inner.array { "]" } else { "}" });
    }
}
