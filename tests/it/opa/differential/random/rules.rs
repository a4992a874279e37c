//! Rules of every form.

use super::{Kind, LIBRARY, Maker, NAMES, Node, Part, Policy, Scope, Sort, node};

const FUNCTIONS: [&str; 3] = ["f0", "f1", "f2"];

/// Rules that hold all of a rule whose name has a dot, which cannot be asked itself.
const WHOLE: [&str; NAMES.len()] = ["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7"];

/// The same from another package.
const OF_THE_LIBRARY: [&str; 3] = ["lib.f0", "lib.f1", "lib.f2"];

impl Maker<'_> {
    pub(super) fn policy(mut self) -> Policy {
        let mut parts: Vec<Part> = vec!["package p\n".into()];
        match self.rng.u8(..20) {
            0..=5 => parts.push(node!(Rule; "\nimport rego.v1\n").into()),
            6 => parts.push(node!(Rule; "\nimport future.keywords.not\n").into()),
            7 => parts.push(node!(Rule; "\nimport rego.v2\n").into()),
            _ => {}
        }
        self.plain = self.chance(50);
        self.with = self.chance(8);
        let functions = if self.plain { self.rng.usize(..2) } else { 1 + self.rng.usize(..3) };
        let mut library: Vec<Part> = Vec::new();
        for name in FUNCTIONS.iter().take(functions) {
            let (rule, sort) = self.function(name);
            self.known.push((name, sort));
            library.push(rule.into());
        }
        if functions > 0 && self.chance(25) {
            parts.push(node!(Rule; "\nimport data.lib\n").into());
            self.known.iter_mut().zip(OF_THE_LIBRARY).for_each(|(known, name)| known.0 = name);
            library.insert(0, "package lib\n".into());
            library.insert(0, LIBRARY.into());
        } else {
            parts.append(&mut library);
        }
        let mut entries = Vec::new();
        for (name, whole) in NAMES.iter().zip(WHOLE).take(1 + self.rng.usize(..4)) {
            let (rule, sort) = self.rule(name);
            let dotted = rule.to_string().starts_with(&format!("\n{name}."));
            self.known.push((name, sort));
            parts.push(rule.into());
            if dotted {
                parts.push(node!(Rule; "\n", whole, " := ", *name, "\n").into());
            }
            entries.push(if dotted { whole } else { name });
        }
        for name in ["deny", "warn"] {
            if name == "deny" || self.chance(20) {
                parts.push(self.findings(name).into());
                entries.push(name);
            }
        }
        if self.with {
            let mut scope = Scope::default();
            parts.push(node!(Rule; "\ntest_it if {", self.body(&mut scope, 3), "\n}\n").into());
            entries.push("test_it");
        }
        parts.extend(library);
        Policy { tree: Node { kind: Kind::Policy, parts }, entries }
    }

    /// ` if { … }`, and the scope of its head.
    fn condition_of_a_rule(&mut self, scope: &Scope) -> (Node, Scope) {
        let mut scope = scope.clone();
        let body = self.body(&mut scope, 3);
        (node!(Clause; " if {", body, "\n}"), scope)
    }

    fn rule(&mut self, name: &'static str) -> (Node, Sort) {
        let none = Scope::default();
        let form =
            if self.plain { [0, 1, 3, 9, 10, 11, 17, 19][self.rng.usize(..8)] } else { self.rng.u8(..20) };
        match form {
            0..=2 => {
                let (body, _) = self.condition_of_a_rule(&none);
                let mut rule = node!(Rule; node!(Clause; "\n", name, body, "\n"));
                if self.chance(30) {
                    let (body, _) = self.condition_of_a_rule(&none);
                    rule.parts.push(node!(Clause; "\n", name, body, "\n").into());
                }
                (rule, Sort::Truth)
            }
            3..=6 => (self.chain(name, "", &none), Sort::Any),
            7 | 8 => {
                let (body, scope) = self.condition_of_a_rule(&none);
                let value = self.value(&scope);
                let default = node!(Clause; "\ndefault ", name, " := ", self.literal(), "\n");
                (node!(Rule; default, node!(Clause; "\n", name, " := ", value, body, "\n")), Sort::Any)
            }
            9..=12 => {
                let mut rule = node!(Rule;);
                for _ in 0..=self.rng.usize(..2) {
                    let (body, scope) = self.condition_of_a_rule(&none);
                    let value = self.value(&scope);
                    rule.parts.push(node!(Clause; "\n", name, " contains ", value, body, "\n").into());
                }
                (rule, Sort::Set)
            }
            13..=15 => {
                let (body, scope) = self.condition_of_a_rule(&none);
                let (key, value) = (self.path(&scope), self.value(&scope));
                (node!(Rule; "\n", name, "[", key, "] := ", value, body, "\n"), Sort::Object)
            }
            16 => {
                let (body, scope) = self.condition_of_a_rule(&none);
                let value = self.value(&scope);
                let (other, inner) = self.condition_of_a_rule(&none);
                let second = self.value(&inner);
                let first = node!(Clause; "\n", name, ".a := ", value, body, "\n");
                (node!(Rule; first, node!(Clause; "\n", name, ".x := ", second, other, "\n")), Sort::Object)
            }
            17 if self.chance(30) => {
                let (body, scope) = self.condition_of_a_rule(&none);
                let value = self.value(&scope);
                (node!(Rule; "\n", name, ".a contains ", value, body, "\n"), Sort::Object)
            }
            17 => (node!(Rule; "\n", name, " := ", self.comprehension(&none), "\n"), Sort::Any),
            18 => (node!(Rule; "\n", name, " := ", self.term(&none), "\n"), Sort::Any),
            _ => {
                let mut inner = none.inside();
                let body = self.body(&mut inner, 2);
                (node!(Rule; "\n", name, " := [", self.path(&inner), " | ", body, "\n]\n"), Sort::Array)
            }
        }
    }

    fn value(&mut self, scope: &Scope) -> Node {
        match self.rng.u8(..10) {
            0..=4 => self.path(scope),
            5 | 6 => self.literal(),
            _ => self.term(scope),
        }
    }

    /// `r := a if … else := b if … else := c`
    fn chain(&mut self, name: &str, arguments: &str, scope: &Scope) -> Node {
        let (body, inner) = self.condition_of_a_rule(scope);
        let value = self.value(&inner);
        let mut rule = node!(Rule; "\n", name, arguments, " := ", value, body);
        for _ in 0..self.rng.usize(..3) {
            let (body, inner) = self.condition_of_a_rule(scope);
            let value = self.value(&inner);
            rule.parts.push(node!(Clause; " else := ", value, body).into());
        }
        if self.chance(40) {
            let value = self.value(scope);
            rule.parts.push(node!(Clause; " else := ", value).into());
        }
        rule.parts.push("\n".into());
        rule
    }

    fn function(&mut self, name: &'static str) -> (Node, Sort) {
        let scope = |names: &[&str]| Scope {
            variables: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Scope::default()
        };
        let form = if self.plain { self.rng.u8(..5) } else { self.rng.u8(..10) };
        match form {
            0..=3 => {
                let mut rule = node!(Rule;);
                for _ in 0..=self.rng.usize(..3) {
                    let body = if self.chance(50) {
                        node!(Clause; " if x", self.one(&[" == ", " == ", " != ", " < "]), self.literal())
                    } else {
                        self.condition_of_a_rule(&scope(&["x"])).0
                    };
                    rule.parts.push(node!(Clause; "\n", name, "(x)", body, "\n").into());
                }
                (rule, Sort::Function(1, false))
            }
            4..=6 => (self.chain(name, "(x)", &scope(&["x"])), Sort::Function(1, true)),
            7 => {
                let (body, inner) = self.condition_of_a_rule(&scope(&["x", "y"]));
                let value = self.value(&inner);
                (node!(Rule; "\n", name, "(x, y) := ", value, body, "\n"), Sort::Function(2, true))
            }
            8 => {
                let first = node!(Clause; "\n", name, "(\"a\") := ", self.literal(), "\n");
                let second = node!(Clause; "\n", name, "([x, y]) := ", self.one(&["x", "y", "[y, x]"]), "\n");
                let (body, inner) = self.condition_of_a_rule(&scope(&["x"]));
                let value = self.value(&inner);
                (
                    node!(Rule; first, second, node!(Clause; "\n", name, "({\"x\": x}) := ", value, body, "\n")),
                    Sort::Function(1, true),
                )
            }
            _ => {
                let default = node!(Clause; "\ndefault ", name, "(_) := ", self.literal(), "\n");
                let (body, inner) = self.condition_of_a_rule(&scope(&["x"]));
                let value = self.value(&inner);
                (
                    node!(Rule; default, node!(Clause; "\n", name, "(x) := ", value, body, "\n")),
                    Sort::Function(1, true),
                )
            }
        }
    }

    /// `deny`, as policies have it.
    fn findings(&mut self, name: &str) -> Node {
        let mut rule = node!(Rule;);
        for _ in 0..=self.rng.usize(..2) {
            let (body, scope) = self.condition_of_a_rule(&Scope::default());
            let head = match self.rng.u8(..10) {
                0..=2 => node!(Term; "\"m\""),
                3 => node!(Term; "sprintf(\"%v\", [", self.path(&scope), "])"),
                4 => node!(Term; "concat(\" \", [\"x\", sprintf(\"%v\", [", self.path(&scope), "])])"),
                5 => {
                    node!(Term; "{\"msg\": \"m\", \"observed\": sprintf(\"%v\", [", self.path(&scope), "])}")
                }
                6 => {
                    node!(Term; "{\"msg\": sprintf(\"%v and %v\", [", self.path(&scope), ", ", self.path(&scope), "])}")
                }
                7 => node!(Term; "{\"msg\": \"m\", \"details\": {\"found\": ", self.path(&scope), "}}"),
                8 => node!(Term; "{\"msg\": \"m\", \"details\": ", self.term(&scope), "}"),
                _ => node!(Term; "sprintf(\"%v\", [", self.term(&scope), "])"),
            };
            rule.parts.push(node!(Clause; "\n", name, " contains ", head, body, "\n").into());
        }
        rule
    }
}
