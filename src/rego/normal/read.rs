//! Reads a module from the engine's syntax tree.

use serde_json::Value as Json;

use super::tree::{Branch, Comprehension, Every, Expr, Kind, Line, LineKind, Name, Place, Rule, Step, With};
use crate::tree::{names, place, span};

/// A module as it is written.
pub(super) struct Module {
    pub(super) package: Vec<String>,
    /// What is imported, and its other name.
    pub(super) imports: Vec<(Vec<String>, Option<String>)>,
    pub(super) rules: Vec<Rule>,
    pub(super) defaults: Vec<Default>,
}

/// `default name(args) := value`
pub(super) struct Default {
    pub(super) place: Place,
    pub(super) name: Expr,
    pub(super) args: Vec<Expr>,
    pub(super) value: Expr,
}

/// Reads a module. `Err` says which kind of node is not known.
pub(super) fn module(ast: &Json, text: &str, base: u32) -> Result<Module, String> {
    let reader = Reader { text, base };
    let mut module = Module {
        package: ast.pointer("/package/refr").and_then(names).ok_or("a package of this form")?,
        imports: Vec::new(),
        rules: Vec::new(),
        defaults: Vec::new(),
    };
    for import in list(ast, "imports") {
        let path = import.get("refr").and_then(names).ok_or("an import of this form")?;
        module.imports.push((path, import.get("as").and_then(|alias| span(text, alias))));
    }
    for rule in list(ast, "rules") {
        if let Some(default) = rule.get("Default") {
            module.defaults.push(Default {
                place: reader.place(rule),
                name: reader.expr(field(default, "refr")?)?,
                args: reader.exprs(list(default, "args"))?,
                value: reader.expr(field(default, "value")?)?,
            });
        } else {
            module.rules.extend(reader.rules(rule)?);
        }
    }
    Ok(module)
}

fn list<'a>(node: &'a Json, key: &str) -> &'a [Json] {
    node.get(key).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn field<'a>(node: &'a Json, key: &str) -> Result<&'a Json, String> {
    node.get(key).ok_or_else(|| format!("a node without `{key}`"))
}

fn present<'a>(node: &'a Json, key: &str) -> Option<&'a Json> {
    node.get(key).filter(|value| !value.is_null())
}

/// The one kind that a node is, and what stands in it.
fn kind(node: &Json) -> Result<(&str, &Json), String> {
    let entry = node.as_object().and_then(|map| map.iter().next());
    entry.map(|(kind, inner)| (kind.as_str(), inner)).ok_or_else(|| "a node without a kind".to_owned())
}

struct Reader<'a> {
    text: &'a str,
    /// Lines of the modules before this one.
    base: u32,
}

impl Reader<'_> {
    fn place(&self, node: &Json) -> Place {
        let (line, column) = place(node);
        (line.saturating_add(self.base), column)
    }

    /// One rule for the first body and what `else` adds, and one for each further body.
    fn rules(&self, rule: &Json) -> Result<Vec<Rule>, String> {
        let (form, head) = kind(rule.pointer("/Spec/head").ok_or("a rule of this form")?)?;
        let value = present(head, "assign").map(|assign| self.expr(field(assign, "value")?)).transpose()?;
        let empty = Rule {
            place: self.place(rule),
            name: self.expr(field(head, "refr")?)?,
            // `f() := 1` is `f := 1`.
            args: Some(self.exprs(list(head, "args"))?).filter(|args| form == "Func" && !args.is_empty()),
            key: present(head, "key").map(|key| self.expr(key)).transpose()?,
            branches: Vec::new(),
            locals: Vec::new(),
        };
        let mut rules = Vec::new();
        let mut current = empty.clone();
        for body in list(rule.pointer("/Spec").unwrap_or(&Json::Null), "bodies") {
            let own = present(body, "assign").map(|assign| self.expr(field(assign, "value")?)).transpose()?;
            let is_else = body.get("is_else") == Some(&Json::Bool(true));
            if !is_else && !current.branches.is_empty() {
                rules.push(std::mem::replace(&mut current, empty.clone()));
            }
            let value = if is_else || own.is_some() { own } else { value.clone() };
            current.branches.push(Branch { value, body: self.body(field(body, "query")?)? });
        }
        if current.branches.is_empty() {
            current.branches.push(Branch { value, body: Vec::new() });
        }
        rules.push(current);
        Ok(rules)
    }

    fn body(&self, query: &Json) -> Result<Vec<Line>, String> {
        list(query, "stmts").iter().map(|statement| self.line(statement)).collect()
    }

    fn line(&self, statement: &Json) -> Result<Line, String> {
        let with = list(statement, "with_mods").iter().map(|with| {
            Ok(With { target: self.expr(field(with, "refr")?)?, value: self.expr(field(with, "as")?)? })
        });
        let with: Result<Vec<With>, String> = with.collect();
        let (form, node) = kind(field(statement, "literal")?)?;
        let kind = match form {
            "SomeVars" => {
                LineKind::Declare(list(node, "vars").iter().filter_map(|var| span(self.text, var)).collect())
            }
            "SomeIn" => LineKind::SomeIn(
                present(node, "key").map(|key| self.expr(key)).transpose()?,
                self.expr(field(node, "value")?)?,
                self.expr(field(node, "collection")?)?,
            ),
            "Expr" => self.term(field(node, "expr")?)?,
            "NotExpr" => LineKind::Not(Box::new(self.term(field(node, "expr")?)?)),
            "Every" => {
                let word =
                    |key: &str| present(node, key).and_then(|at| span(self.text, at)).map(Name::Written);
                LineKind::Every(Box::new(Every {
                    key: word("key"),
                    value: word("value").ok_or("an `every` without a value")?,
                    domain: self.expr(field(node, "domain")?)?,
                    body: self.body(field(node, "query")?)?,
                }))
            }
            other => return Err(format!("a line of kind {other}")),
        };
        Ok(Line { place: self.place(statement), text: false, with: with?, kind })
    }

    fn term(&self, node: &Json) -> Result<LineKind, String> {
        let sides = |inner: &Json| {
            Ok::<_, String>((self.expr(field(inner, "lhs")?)?, self.expr(field(inner, "rhs")?)?))
        };
        let op = |inner: &Json, word: &str| inner.get("op").and_then(Json::as_str) == Some(word);
        if let Some(assign) = node.get("AssignExpr") {
            let (left, right) = sides(assign)?;
            return Ok(if op(assign, "ColEq") {
                LineKind::Assign(left, right)
            } else {
                LineKind::Equal(left, right)
            });
        }
        if let Some(equal) = node.get("BoolExpr").filter(|inner| op(inner, "Eq")) {
            let (left, right) = sides(equal)?;
            return Ok(LineKind::Equal(left, right));
        }
        Ok(LineKind::Term(self.expr(node)?))
    }

    fn exprs(&self, nodes: &[Json]) -> Result<Vec<Expr>, String> {
        nodes.iter().map(|node| self.expr(node)).collect()
    }

    fn boxed(&self, node: &Json, left: &str, right: &str) -> Result<Box<(Expr, Expr)>, String> {
        Ok(Box::new((self.expr(field(node, left)?)?, self.expr(field(node, right)?)?)))
    }

    fn expr(&self, node: &Json) -> Result<Expr, String> {
        let (form, inner) = kind(node)?;
        let kind = match form {
            // The place of a text is what stands between its quotes.
            "String" => Kind::Scalar(format!("\"{}\"", self.literal(inner)?)),
            "RawString" => Kind::Scalar(format!("`{}`", self.literal(inner)?)),
            // A clause without a value has no text to read it from.
            "Bool" => Kind::Scalar(
                if inner.get("value") == Some(&Json::Bool(true)) { "true" } else { "false" }.to_owned(),
            ),
            "Number" | "Null" => Kind::Scalar(self.literal(inner)?),
            "Var" => self.variable(inner)?,
            "Array" => Kind::Array(self.members(inner)?),
            "Set" => {
                let mut items = self.members(inner)?;
                items.sort_by_cached_key(order);
                Kind::Set(items)
            }
            "Object" => Kind::Object(self.fields(inner)?),
            "ArrayCompr" | "SetCompr" | "ObjectCompr" => self.comprehension(form, inner)?,
            "Call" => {
                let path = inner.get("fcn").and_then(names).ok_or("a call of this form")?;
                let args = self.exprs(list(inner, "params"))?;
                if path == ["set"] && args.is_empty() { Kind::Set(args) } else { Kind::Call(path, args) }
            }
            "UnaryExpr" => self.minus(field(inner, "expr")?)?,
            "RefDot" | "RefBrack" => self.reference(node)?,
            "BinExpr" | "BoolExpr" | "ArithExpr" => {
                let op = inner.get("op").and_then(Json::as_str).and_then(operator);
                Kind::Infix(op.ok_or("an operator of this form")?, self.boxed(inner, "lhs", "rhs")?)
            }
            "Membership" => Kind::In(
                present(inner, "key").map(|key| self.expr(key).map(Box::new)).transpose()?,
                self.boxed(inner, "value", "collection")?,
            ),
            other => return Err(format!("an expression of kind {other}")),
        };
        Ok(Expr { place: self.place(node), kind })
    }

    fn variable(&self, inner: &Json) -> Result<Kind, String> {
        match inner.get("value") {
            Some(Json::String(name)) => Ok(Kind::Name(Name::Written(name.clone()))),
            _ => Ok(Kind::Scalar(self.literal(inner)?)),
        }
    }

    fn literal(&self, inner: &Json) -> Result<String, String> {
        let text = inner.get("span").and_then(|at| span(self.text, at));
        text.ok_or_else(|| "a literal without a place".to_owned())
    }

    /// `{x | (…)}` is a comprehension in OPA, and to the engine a union in a set (regorus 0.14.1, `parser.rs`).
    fn members(&self, inner: &Json) -> Result<Vec<Expr>, String> {
        let items = self.exprs(list(inner, "items"))?;
        match items.as_slice() {
            [Expr { kind: Kind::Infix("|", _), place }] => Err(format!(
                "line {}: `|` here is read as a union and not as a comprehension; write `true;` behind it, or give the union a name",
                place.0
            )),
            _ => Ok(items),
        }
    }

    fn fields(&self, inner: &Json) -> Result<Vec<(Expr, Expr)>, String> {
        let pairs = list(inner, "fields").iter().filter_map(Json::as_array);
        let mut pairs: Vec<&Vec<Json>> = pairs.collect();
        // OPA evaluates the fields in order of their keys.
        let key = |pair: &&Vec<Json>| pair.get(1)?.pointer("/String/value")?.as_str().map(str::to_owned);
        if pairs.iter().all(|pair| key(pair).is_some()) {
            pairs.sort_by_key(key);
        }
        pairs
            .into_iter()
            .map(|pair| match pair.as_slice() {
                [_, key, value] => Ok((self.expr(key)?, self.expr(value)?)),
                _ => Err("a field of this form".to_owned()),
            })
            .collect()
    }

    fn comprehension(&self, form: &str, inner: &Json) -> Result<Kind, String> {
        let value = present(inner, "term").or_else(|| present(inner, "value"));
        Ok(Kind::Comprehension(Box::new(Comprehension {
            array: form == "ArrayCompr",
            key: present(inner, "key").map(|key| self.expr(key)).transpose()?,
            value: self.expr(value.ok_or("a comprehension without a value")?)?,
            body: self.body(field(inner, "query")?)?,
        })))
    }

    fn minus(&self, operand: &Json) -> Result<Kind, String> {
        let operand = self.expr(operand)?;
        if let Kind::Scalar(text) = &operand.kind {
            return Ok(Kind::Scalar(if let Some(rest) = text.strip_prefix('-') {
                rest.to_owned()
            } else {
                format!("-{text}")
            }));
        }
        // Of an operator the engine takes the minus for one before all of it (regorus 0.14.1, `parser.rs`).
        if matches!(operand.kind, Kind::Name(_) | Kind::Reference(..) | Kind::Call(..)) {
            let zero = Expr { place: operand.place, kind: Kind::Scalar("0".to_owned()) };
            return Ok(Kind::Infix("-", Box::new((zero, operand))));
        }
        Err(format!(
            "line {}: a minus before an operator is read for all of it; write `0 - x` in brackets",
            operand.place.0
        ))
    }

    fn reference(&self, node: &Json) -> Result<Kind, String> {
        let (mut steps, mut current) = (Vec::new(), node);
        loop {
            if let Some(dot) = current.get("RefDot") {
                let name = dot.pointer("/field/1").and_then(Json::as_str).ok_or("a field of this form")?;
                steps.push(Step::Field(name.to_owned()));
                current = field(dot, "refr")?;
            } else if let Some(bracket) = current.get("RefBrack") {
                steps.push(Step::Index(self.expr(field(bracket, "index")?)?));
                current = field(bracket, "refr")?;
            } else {
                steps.reverse();
                return Ok(Kind::Reference(Box::new(self.expr(current)?), steps));
            }
        }
    }
}

/// OPA evaluates the members of a set in its order of terms: by kind, then by name.
fn order(expr: &Expr) -> (u8, String) {
    match &expr.kind {
        Kind::Scalar(text) => (0, text.clone()),
        Kind::Name(Name::Written(name)) => (1, name.clone()),
        Kind::Reference(head, steps) => {
            let names = steps.iter().map(|step| match step {
                Step::Field(name) => format!(".{name}"),
                Step::Index(index) => format!(".{}", order(index).1),
            });
            (2, order(head).1 + &names.collect::<String>())
        }
        Kind::Call(path, _) => (5, path.join(".")),
        Kind::Infix(..) | Kind::In(..) => (5, String::new()),
        Kind::Array(_) | Kind::Object(_) | Kind::Set(_) => (3, String::new()),
        _ => (4, String::new()),
    }
}

fn operator(name: &str) -> Option<&'static str> {
    Some(match name {
        "Intersection" => "&",
        "Union" => "|",
        "Add" => "+",
        "Sub" => "-",
        "Mul" => "*",
        "Div" => "/",
        "Mod" => "%",
        "Lt" => "<",
        "Le" => "<=",
        "Eq" => "==",
        "Ge" => ">=",
        "Gt" => ">",
        "Ne" => "!=",
        _ => return None,
    })
}
