//! Prints the normal form as source, and maps its lines to positions in the module.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::read::ParsedModule;
use super::tree::{Comprehension, Expr, ExprKind, Line, LineKind, Local, Location, Name, Rule, Step};

#[derive(Debug, Default)]
pub(super) struct PrintedModule {
    pub(super) text: String,
    /// The position in the module of each line.
    pub(super) locations: Vec<Location>,
}

const DIGITS: usize = 5;

/// A message about the normal form with the author's names.
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

/// An expression with the author's names.
pub(super) fn expression(expr: &Expr, locals: &[String]) -> String {
    let mut printer = Printer { out: PrintedModule::default(), names: BTreeMap::new(), locals, counted: 0 };
    printer.expr(expr);
    let text = printer.out.text;
    // The printer adds parentheses around operators.
    let bare = match expr.kind {
        ExprKind::Infix(..) | ExprKind::In(..) => {
            text.strip_prefix('(').and_then(|text| text.strip_suffix(')'))
        }
        _ => None,
    };
    as_written(bare.unwrap_or(&text))
}

pub(super) fn module(module: &ParsedModule) -> PrintedModule {
    let mut printer =
        Printer { out: PrintedModule::default(), names: BTreeMap::new(), locals: &[], counted: 0 };
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
        printer.end(default.location);
    }
    for rule in &module.rules {
        printer.locals = &rule.locals;
        printer.names.clear();
        printer.rule(rule);
    }
    printer.out
}

/// A printed line and its position in the module.
type PrintedLine = (String, Location);

struct Printer<'m> {
    out: PrintedModule,
    /// The printed name of each variable, numbered in order of mention: the engine takes lines in alphabetical order of what
    /// they bind (regorus 0.14.1, `scheduler.rs`).
    names: BTreeMap<Local, String>,
    locals: &'m [String],
    /// Bytes whose lines have positions already.
    counted: usize,
}

impl Printer<'_> {
    fn word(&mut self, word: &str) {
        self.out.text.push_str(word);
    }

    /// Ends a line; `location` is its position in the module.
    fn end(&mut self, location: Location) {
        self.word("\n");
        let new = self.out.text.get(self.counted..).unwrap_or_default().matches('\n').count();
        self.counted = self.out.text.len();
        let lines = self.out.locations.len() + new;
        self.out.locations.resize(lines, location);
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
        // Arguments are numbered first.
        let args = rule.args.as_deref();
        args.into_iter().flatten().for_each(|arg| self.introduce(arg));
        let mut first = PrintedModule::default();
        std::mem::swap(&mut first, &mut self.out);
        let mut bodies: Vec<(Option<String>, Vec<PrintedLine>)> = Vec::new();
        let mut head = String::new();
        for (at, branch) in rule.branches.iter().enumerate() {
            let mut lines = Vec::new();
            for line in &branch.body {
                self.line(line);
                lines.push((std::mem::take(&mut self.out.text), line.location));
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
            self.end(rule.location);
            for (at, (line, location)) in lines.iter().enumerate() {
                self.word(line);
                // Without `;`, a line that begins with a bracket would continue the line before.
                self.word(if at + 1 < lines.len() { ";" } else { "" });
                self.end(*location);
            }
            self.word("}");
        }
        self.end(rule.location);
    }

    /// Numbers the variables of an expression.
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
                // The collection is numbered before the variables of its members.
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
            // The engine applies a leading minus to the whole expression.
            ExprKind::Scalar(text) if text.starts_with('-') => self.word(&format!("({text})")),
            ExprKind::Scalar(text) => self.word(text),
            ExprKind::Name(Name::Written(name) | Name::Global(name)) => self.word(name),
            ExprKind::Name(Name::Local(local)) => {
                let name = self.name(*local);
                self.word(&name);
            }
            ExprKind::Array(items) => {
                self.word("[");
                self.list(items);
                self.word("]");
            }
            ExprKind::Set(items) if items.is_empty() => self.word("set()"),
            ExprKind::Set(items) => {
                self.word("{");
                self.list(items);
                self.word("}");
            }
            ExprKind::Object(fields) => {
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
            ExprKind::Comprehension(inner) => self.comprehension(inner),
            ExprKind::Call(path, args) => {
                self.path(path);
                self.word("(");
                self.list(args);
                self.word(")");
            }
            ExprKind::Infix(operator, sides) => {
                self.word("(");
                self.infix(operator, sides);
                self.word(")");
            }
            ExprKind::In(key, rest) => {
                self.word("(");
                self.membership(key.as_deref(), rest);
                self.word(")");
            }
            ExprKind::Reference(head, steps) => {
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
        // The body is numbered first, though it is printed after the term.
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
