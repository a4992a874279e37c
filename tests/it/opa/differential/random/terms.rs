//! What has a value: literals, references, calls, comprehensions.

use super::{Kind, Maker, Node, Scope, Sort, node};

const LITERALS: &[&str] =
    &["\"a\"", "\"x\"", "\"web\"", "1", "0", "2", "true", "false", "null", "0.1", "0.3", "\"\"", "-1"];

/// References into the input; some are there in no object.
const PATHS: &[&str] = &[
    "input.a",
    "input.b",
    "input.a",
    "input.b",
    "input.s",
    "input.n",
    "input.d",
    "input.flag",
    "input.missing",
    "input.labels.team",
    "input.labels[\"x\"]",
    "input.labels.none",
    "input.sub.x",
    "input.sub.y.z",
    "input.list[0]",
    "input.cs[0].name",
    "input.cs[1].image",
    "input.cs[0].sc.priv",
    "input.m.k[1]",
    "input[\"s\"]",
    "input.labels[input.s]",
    "input.nums[0]",
    "input.s.x",
];

const FIELDS: &[&str] = &[
    ".name",
    ".name",
    ".image",
    ".sc.priv",
    ".sc.user",
    ".env[0].value",
    ".opt",
    ".n",
    ".none",
    "[\"name\"]",
    ".ports[0]",
];

pub(super) const COLLECTIONS: &[&str] = &[
    "input.cs",
    "input.cs",
    "input.cs",
    "input.list",
    "input.labels",
    "input.sub.cs",
    "input.m",
    "input.m.k",
    "input.nums",
    "input.missing",
    "input.a",
    "input.cs[0].ports",
    "input.cs[0].env",
];

impl Maker<'_> {
    pub(super) fn literal(&mut self) -> Node {
        node!(Term; self.one(LITERALS))
    }

    /// A reference into the input or below a variable.
    pub(super) fn path(&mut self, scope: &Scope) -> Node {
        if !scope.elements.is_empty() && self.chance(70) {
            let variable = scope.elements[self.rng.usize(..scope.elements.len())].clone();
            let field = if !scope.negated && self.chance(10) {
                self.one(&[".ports[_]", ".env[_].value", "[_]"])
            } else {
                self.one(FIELDS)
            };
            return node!(Term; variable, field);
        }
        if !scope.variables.is_empty() && self.chance(25) {
            let variable = scope.variables[self.rng.usize(..scope.variables.len())].clone();
            return match self.rng.u8(..12) {
                0 => node!(Term; "input.labels[", variable, "]"),
                1 => node!(Term; variable, ".x"),
                _ => node!(Term; variable),
            };
        }
        if !scope.negated && self.chance(6) {
            return node!(Term; self.one(&["input.list[_]", "input.cs[_].name", "input.labels[_]", "input.cs[_].sc.user", "input.cs[_].env[_].value"]));
        }
        node!(Term; self.one(PATHS))
    }

    pub(super) fn collection(&mut self, scope: &Scope) -> Node {
        if self.chance(15)
            && let Some((name, _)) =
                self.of_sort(|sort| matches!(sort, Sort::Set | Sort::Object | Sort::Array))
        {
            return node!(Term; name);
        }
        match self.rng.u8(..14) {
            0 if scope.depth < 3 => self.comprehension(scope),
            1 => node!(Term; "[", self.term(&scope.deeper()), ", ", self.literal(), "]"),
            2 => node!(Term; "{", self.literal(), ", \"b\", ", self.literal(), "}"),
            3 if !scope.elements.is_empty() => {
                let variable = scope.elements[self.rng.usize(..scope.elements.len())].clone();
                node!(Term; variable, self.one(&[".ports", ".env", ".sc", ""]))
            }
            4 => node!(Term; "object.get(input, ", self.one(&["\"list\"", "\"cs\"", "\"none\""]), ", [])"),
            _ => node!(Term; self.one(COLLECTIONS)),
        }
    }

    pub(super) fn comprehension(&mut self, scope: &Scope) -> Node {
        let mut inner = scope.inside();
        let body = self.body(&mut inner, 2);
        let head = if self.chance(60) { self.path(&inner) } else { self.term(&inner) };
        match self.rng.u8(..5) {
            0 | 1 => node!(Term; "[", head, " | ", body, "\n]"),
            2 | 3 => node!(Term; "{", head, " | ", body, "\n}"),
            _ => node!(Term; "{", self.path(&inner), ": ", head, " | ", body, "\n}"),
        }
    }

    /// Anything that has a value.
    pub(super) fn term(&mut self, scope: &Scope) -> Node {
        let deep = scope.deeper();
        if scope.depth >= 4 {
            return self.path(scope);
        }
        match self.rng.u8(..40) {
            0..=17 => self.path(scope),
            18..=20 => self.literal(),
            21 => self.path(scope),
            22..=24 => self.of_a_rule(&deep),
            25 => self.call_of_a_function(&deep).unwrap_or_else(|| self.path(scope)),
            26 | 27 if !self.plain => self.arithmetic(&deep),
            28..=32 => self.builtin(&deep),
            33 => self.comprehension(scope),
            34 => node!(Term; "[", self.term(&deep), ", ", self.term(&deep), "]"),
            35 => node!(Term; "{", self.term(&deep), ", ", self.term(&deep), "}"),
            36 => node!(Term; "{\"k\": ", self.term(&deep), ", \"a\": ", self.term(&deep), "}"),
            37 => node!(Term; "{", self.path(&deep), ": ", self.term(&deep), "}"),
            38 => {
                let operator = self.one(&[" | ", " & ", " - "]);
                // In brackets: at the beginning of a body, OPA reads a comprehension.
                node!(Term; "({", self.term(&deep), ", \"a\"}", operator, "{", self.literal(), ", \"x\"})")
            }
            _ => {
                node!(Term; "(", self.term(&deep), self.one(&[" == ", " != ", " < ", " >= "]), self.term(&deep), ")")
            }
        }
    }

    /// A reference to a rule that was made before.
    pub(super) fn of_a_rule(&mut self, scope: &Scope) -> Node {
        let Some((name, sort)) = self.of_sort(|sort| !matches!(sort, Sort::Function(..))) else {
            return self.path(scope);
        };
        match sort {
            Sort::Object if self.chance(60) => match self.rng.u8(..3) {
                0 => node!(Term; name, self.one(&[".a", ".x", "[\"k\"]", ".none"])),
                1 => node!(Term; name, "[", self.path(scope), "]"),
                _ => node!(Term; "data.p.", name, ".a"),
            },
            Sort::Set if self.chance(50) => node!(Term; name, "[", self.path(scope), "]"),
            Sort::Array if self.chance(40) => node!(Term; name, "[0]"),
            Sort::Set | Sort::Array if self.chance(50) => node!(Term; "count(", name, ")"),
            _ if self.chance(10) => node!(Term; "data.p.", name),
            _ => node!(Term; name),
        }
    }

    pub(super) fn call_of_a_function(&mut self, scope: &Scope) -> Option<Node> {
        let (name, sort) = self.of_sort(|sort| matches!(sort, Sort::Function(..)))?;
        let Sort::Function(arity, _) = sort else { return None };
        let mut call = node!(Term; name, "(");
        for at in 0..arity {
            if at > 0 {
                call.parts.push(", ".into());
            }
            let argument = if self.chance(80) { self.path(scope) } else { self.term(scope) };
            call.parts.push(argument.into());
        }
        call.parts.push(")".into());
        Some(call)
    }

    fn arithmetic(&mut self, scope: &Scope) -> Node {
        let mut side = || match self.rng.u8(..6) {
            0 => self.builtin_of_number(scope),
            1 | 2 => node!(Term; self.one(&["1", "0.1", "0.2", "3", "1.5", "100"])),
            3 => node!(Term; self.one(&["input.n", "input.d", "input.nums[0]", "input.nums[1]"])),
            _ => self.path(scope),
        };
        let (left, right) = (side(), side());
        node!(Term; "(", left, self.one(&[" + ", " - ", " * ", " / ", " % "]), right, ")")
    }

    fn builtin_of_number(&mut self, scope: &Scope) -> Node {
        match self.rng.u8(..4) {
            0 => node!(Term; "count(", self.collection(scope), ")"),
            1 => node!(Term; "to_number(", self.path(scope), ")"),
            2 => node!(Term; "abs(", self.path(scope), ")"),
            _ => node!(Term; "sum([", self.path(scope), ", 0.1])"),
        }
    }

    fn builtin(&mut self, scope: &Scope) -> Node {
        let path = self.path(scope);
        match self.rng.u8(..22) {
            0..=2 => node!(Term; "sprintf(\"%v\", [", self.term(scope), "])"),
            3 => node!(Term; "sprintf(\"%v-%v\", [", path, ", ", self.path(scope), "])"),
            4 => node!(Term; "concat(\"-\", [\"a\", ", path, "])"),
            5 => node!(Term; "lower(", path, ")"),
            6 => node!(Term; "upper(", path, ")"),
            7 => {
                node!(Term; "object.get(", self.one(&["input", "input.labels", "input.sub"]), ", \"x\", ", self.term(scope), ")")
            }
            8 => node!(Term; "split(", path, ", \":\")"),
            9 => node!(Term; "type_name(", path, ")"),
            10 => node!(Term; "max(", self.collection(scope), ")"),
            11 => node!(Term; "sort(", self.collection(scope), ")"),
            12 => node!(Term; "sum(", self.collection(scope), ")"),
            13 => node!(Term; "array.concat([", path, "], ", self.collection(scope), ")"),
            14 => {
                node!(Term; "object.union({\"x\": ", path, "}, ", self.one(&["input.labels", "input.sub", "{\"a\": 1}"]), ")")
            }
            15 => node!(Term; "trim_prefix(", path, ", \"w\")"),
            16 => node!(Term; "json.marshal(", self.term(scope), ")"),
            17 => node!(Term; "replace(", path, ", \"a\", \"b\")"),
            18 => {
                node!(Term; "object.keys(", self.one(&["input.labels", "input.sub", "input.m", "input"]), ")")
            }
            19 => node!(Term; "array.concat([", path, "], [1])[", self.one(&["0", "1", "input.n"]), "]"),
            _ => self.builtin_of_number(scope),
        }
    }
}
