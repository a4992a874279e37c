//! Lines of bodies.

use super::terms::COLLECTIONS;
use super::{Kind, Maker, Node, Part, Scope, Sort, node};

const COMPARISONS: &[&str] = &[" == ", " == ", " != ", " != ", " < ", " >= ", " <= ", " > "];

impl Maker<'_> {
    /// Of sides whose types OPA may know: it does not compile what is never equal.
    fn typed(&mut self) -> &'static str {
        if self.plain || self.chance(60) { " != " } else { self.one(&[" < ", " >= ", " == "]) }
    }

    fn comparison(&mut self) -> &'static str {
        if self.plain { self.one(&COMPARISONS[..4]) } else { self.one(COMPARISONS) }
    }

    /// A body of one to so many lines, each on a line of its own; its variables stay in the scope.
    pub(super) fn body(&mut self, scope: &mut Scope, most: usize) -> Node {
        let mut lines: Vec<Node> = Vec::new();
        let count = 1 + self.rng.usize(..most);
        for _ in 0..count {
            let line = self.line(scope);
            lines.push(line);
        }
        // OPA puts the lines in order by itself.
        if self.chance(4) {
            self.rng.shuffle(&mut lines);
        }
        let parts = lines.into_iter().map(|line| Part::Node(node!(Line; "\n\t", line))).collect();
        Node { kind: Kind::Clause, parts }
    }

    fn line(&mut self, scope: &mut Scope) -> Node {
        match self.rng.u8(..30) {
            0..=4 => self.iteration(scope),
            5 | 6 if self.plain => {
                let line = self.assignment(scope);
                let variable = scope.variables.last().cloned().unwrap_or_default();
                node!(Clause; line, "\n\t", variable, self.one(&[" == ", " != "]), self.literal())
            }
            5 | 6 => self.assignment(scope),
            7 if !self.plain => self.unification(scope),
            8..=14 => node!(Clause; "not ", self.condition(&scope.below_not())),
            15 if scope.depth < 3 => self.every(scope),
            _ => self.condition(scope),
        }
    }

    fn iteration(&mut self, scope: &mut Scope) -> Node {
        let collection = self.collection(scope);
        let shown = collection.to_string();
        let (value, key) = (self.variable(), self.variable());
        let line = match self.rng.u8(..8) {
            0..=2 => node!(Clause; "some ", value.as_str(), " in ", collection),
            3 | 4 => {
                scope.variables.push(key.clone());
                node!(Clause; "some ", key, ", ", value.as_str(), " in ", collection)
            }
            5 => node!(Clause; value.as_str(), " := ", collection, "[_]"),
            6 => {
                scope.variables.push(key.clone());
                node!(Clause; "some ", key.as_str(), "\n\t", value.as_str(), " := ", collection, "[", key.as_str(), "]")
            }
            _ => {
                scope.variables.push(key.clone());
                node!(Clause; "some ", key.as_str(), ", ", value.as_str(), "\n\t", collection, "[", key.as_str(), "] = ", value.as_str())
            }
        };
        if shown.ends_with("cs") {
            scope.elements.push(value)
        } else {
            scope.variables.push(value)
        }
        line
    }

    fn assignment(&mut self, scope: &mut Scope) -> Node {
        let value = if self.chance(50) { self.path(scope) } else { self.term(scope) };
        let variable = self.variable();
        let line = node!(Clause; variable.as_str(), self.one(&[" := ", " := ", " = "]), value);
        scope.variables.push(variable);
        line
    }

    fn unification(&mut self, scope: &mut Scope) -> Node {
        let (one, other) = (self.variable(), self.variable());
        let line = match self.rng.u8(..5) {
            0 => node!(Clause; "[", one.as_str(), ", ", other.as_str(), "] = ", self.collection(scope)),
            1 => {
                node!(Clause; "{\"k\": ", one.as_str(), ", \"x\": ", other.as_str(), "} = ", self.one(&["input.m", "input.a", "input.sub"]))
            }
            2 => {
                node!(Clause; "[", one.as_str(), ", ", self.literal(), "] = [", self.term(scope), ", ", self.path(scope), "]\n\t", other.as_str(), " = ", self.path(scope))
            }
            3 => {
                node!(Clause; "walk(", self.one(&["input.sub", "input.m", "input.labels", "input.cs"]), ", [", one.as_str(), ", ", other.as_str(), "])")
            }
            _ => {
                node!(Clause; "[", one.as_str(), ", [", other.as_str(), "]] := [", self.path(scope), ", [", self.path(scope), "]]")
            }
        };
        scope.variables.extend([one, other]);
        line
    }

    fn every(&mut self, scope: &Scope) -> Node {
        let (key, value) = (self.variable(), self.variable());
        let collection = self.collection(scope);
        let mut inner = scope.inside();
        let element = collection.to_string().ends_with("cs");
        // A variable that nothing looks at does not compile.
        let field = if element { self.one(&[".name", ".sc.priv", ".opt", ""]) } else { "" };
        let mut looked = node!(Line; "\n\t", value.as_str(), field, self.comparison(), self.literal());
        if self.chance(25) {
            looked = node!(Line; "\n\tnot ", value.as_str(), field, self.comparison(), self.literal());
        }
        if element {
            inner.elements.push(value.clone())
        } else {
            inner.variables.push(value.clone())
        }
        let mut line = node!(Clause; "every ");
        if self.chance(30) {
            inner.variables.push(key.clone());
            looked = node!(Clause; "\n\t", key.as_str(), " != ", self.literal(), looked);
            line.parts.push(format!("{key}, ").into());
        }
        let rest = if self.chance(40) { Some(self.body(&mut inner, 2)) } else { None };
        line.parts.extend([value.into(), " in ".into(), collection.into(), " {".into(), looked.into()]);
        line.parts.extend(rest.map(Part::from));
        line.parts.push("\n\t}".into());
        line
    }

    /// What binds nothing, and so may stand below `not`.
    pub(super) fn condition(&mut self, scope: &Scope) -> Node {
        let deep = scope.deeper();
        let line = match self.rng.u8(..30) {
            0..=7 => {
                let operator = self.comparison();
                let other = if self.chance(70) { self.literal() } else { self.term(&deep) };
                node!(Clause; self.path(scope), operator, other)
            }
            8 | 9 => node!(Clause; self.term(&deep), self.typed(), self.literal()),
            10..=12 => self.path(scope),
            13 | 14 => match self.call_of_a_function(scope) {
                Some(call) if self.chance(60) => node!(Clause; call),
                Some(call) => node!(Clause; call, self.typed(), self.literal()),
                None => self.path(scope),
            },
            15 | 16 => {
                node!(Clause; self.path(scope), " in {", self.literal(), ", ", self.literal(), ", \"a\"}")
            }
            // Not in a list that holds references: OPA 1.22.0 leaves out a rule with `input.a in [input.a, 1]`.
            17 => node!(Clause; self.path(scope), " in ", self.one(COLLECTIONS)),
            18 => node!(Clause; self.path(scope), ", ", self.path(scope), " in ", self.one(COLLECTIONS)),
            19 | 20 if scope.depth < 3 => {
                let count = self.one(&["0", "1", "2"]);
                node!(Clause; "count(", self.comprehension(scope), ")", self.comparison(), count)
            }
            21 => self.of_strings(scope),
            22..=25 => self.of_rules(scope),
            26 => {
                node!(Clause; "[", self.path(scope), "]", self.one(&[" == ", " != "]), "[", self.literal(), "]")
            }
            27 => node!(Clause; self.path(scope), " = ", self.literal()),
            _ => node!(Clause; self.term(&deep)),
        };
        if self.with && self.chance(40) {
            let target = self.one(&["input.a", "input.b", "input.s", "input.labels", "input.cs", "input"]);
            let value = if target == "input" {
                "{\"a\": 1, \"s\": \"a\"}".into()
            } else {
                Part::Node(self.term(&deep))
            };
            return node!(Clause; line, " with ", target, " as ", value);
        }
        line
    }

    fn of_strings(&mut self, scope: &Scope) -> Node {
        let path = self.path(scope);
        match self.rng.u8(..6) {
            0 => node!(Clause; "startswith(", path, ", \"w\")"),
            1 => node!(Clause; "contains(", path, ", \"e\")"),
            2 => node!(Clause; "regex.match(\"^w.*\", ", path, ")"),
            3 => node!(Clause; self.one(&["is_string(", "is_number(", "is_null(", "is_array("]), path, ")"),
            4 => node!(Clause; "startswith(sprintf(\"%v\", [", path, "]), \"w\")"),
            _ => {
                node!(Clause; "object.subset(", self.one(&["input.labels", "input.sub", "input.list"]), ", {\"a\": ", path, "})")
            }
        }
    }

    fn of_rules(&mut self, scope: &Scope) -> Node {
        let Some((name, sort)) = self.of_sort(|sort| !matches!(sort, Sort::Function(..))) else {
            return self.path(scope);
        };
        match (sort, self.rng.u8(..4)) {
            (Sort::Set, 0) => node!(Clause; self.path(scope), " in ", name),
            (Sort::Set, 1) => node!(Clause; name, "[", self.path(scope), "]"),
            (Sort::Set | Sort::Object | Sort::Array, 2) => {
                node!(Clause; "count(", name, ")", self.comparison(), self.one(&["0", "1"]))
            }
            (Sort::Object, _) => {
                node!(Clause; name, "[", self.path(scope), "]", self.typed(), self.literal())
            }
            (_, 3) => node!(Clause; name, self.typed(), self.term(&scope.deeper())),
            _ => node!(Clause; name),
        }
    }
}
