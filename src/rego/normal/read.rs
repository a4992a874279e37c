//! Converts the engine's syntax tree to [`super::tree`].

use serde_json::Value as Json;

use super::tree::{
    Branch, Comprehension, Every, Expr, ExprKind, Line, LineKind, Location, Name, Rule, Step, With,
};
use crate::syntax::{location, names, span};

pub(super) struct ParsedModule {
    pub(super) package: Vec<String>,
    /// Path and alias.
    pub(super) imports: Vec<(Vec<String>, Option<String>)>,
    pub(super) rules: Vec<Rule>,
    pub(super) defaults: Vec<DefaultRule>,
}

/// `default name(args) := value`
pub(super) struct DefaultRule {
    pub(super) location: Location,
    pub(super) name: Expr,
    pub(super) args: Vec<Expr>,
    pub(super) value: Expr,
}

/// A node that is not supported.
pub(super) struct ReadError {
    pub(super) location: Option<Location>,
    pub(super) message: String,
}

impl From<String> for ReadError {
    fn from(message: String) -> Self {
        Self { location: None, message }
    }
}

impl From<&str> for ReadError {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

/// Reads a module. `Err` names a node that is not supported.
pub(super) fn module(ast: &Json, text: &str, base: u32) -> Result<ParsedModule, ReadError> {
    let reader = Reader { text, base };
    let mut module = ParsedModule {
        package: ast
            .pointer("/package/refr")
            .and_then(names)
            .ok_or("a package of this form is not supported")?,
        imports: Vec::new(),
        rules: Vec::new(),
        defaults: Vec::new(),
    };
    for import in list(ast, "imports") {
        let path = import.get("refr").and_then(names).ok_or("an import of this form is not supported")?;
        module.imports.push((path, import.get("as").and_then(|alias| span(text, alias))));
    }
    for rule in list(ast, "rules") {
        if let Some(default) = rule.get("Default") {
            module.defaults.push(DefaultRule {
                location: reader.location(rule),
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

fn field<'a>(node: &'a Json, key: &str) -> Result<&'a Json, ReadError> {
    node.get(key).ok_or_else(|| format!("a node without `{key}`").into())
}

fn present<'a>(node: &'a Json, key: &str) -> Option<&'a Json> {
    node.get(key).filter(|value| !value.is_null())
}

/// The only key of a node, which is its type, and its content.
fn kind(node: &Json) -> Result<(&str, &Json), ReadError> {
    let entry = node.as_object().and_then(|map| map.iter().next());
    entry.map(|(kind, inner)| (kind.as_str(), inner)).ok_or_else(|| "a node without a type".into())
}

struct Reader<'a> {
    text: &'a str,
    /// How many lines the modules before this one have.
    base: u32,
}

impl Reader<'_> {
    fn location(&self, node: &Json) -> Location {
        let (line, column) = location(node);
        (line.saturating_add(self.base), column)
    }

    /// One rule for the first body with its `else` branches, and one for each further body.
    fn rules(&self, rule: &Json) -> Result<Vec<Rule>, ReadError> {
        let (form, head) = kind(rule.pointer("/Spec/head").ok_or("a rule of this form is not supported")?)?;
        let value = present(head, "assign").map(|assign| self.expr(field(assign, "value")?)).transpose()?;
        let empty = Rule {
            location: self.location(rule),
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

    fn body(&self, query: &Json) -> Result<Vec<Line>, ReadError> {
        list(query, "stmts").iter().map(|statement| self.line(statement)).collect()
    }

    fn line(&self, statement: &Json) -> Result<Line, ReadError> {
        let with = list(statement, "with_mods").iter().map(|with| {
            Ok(With { target: self.expr(field(with, "refr")?)?, value: self.expr(field(with, "as")?)? })
        });
        let with: Result<Vec<With>, ReadError> = with.collect();
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
            other => return Err(format!("a statement of type {other} is not supported").into()),
        };
        Ok(Line { location: self.location(statement), is_message: false, with: with?, kind })
    }

    fn term(&self, node: &Json) -> Result<LineKind, ReadError> {
        let sides = |inner: &Json| {
            Ok::<_, ReadError>((self.expr(field(inner, "lhs")?)?, self.expr(field(inner, "rhs")?)?))
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

    fn exprs(&self, nodes: &[Json]) -> Result<Vec<Expr>, ReadError> {
        nodes.iter().map(|node| self.expr(node)).collect()
    }

    fn boxed(&self, node: &Json, left: &str, right: &str) -> Result<Box<(Expr, Expr)>, ReadError> {
        Ok(Box::new((self.expr(field(node, left)?)?, self.expr(field(node, right)?)?)))
    }

    fn expr(&self, node: &Json) -> Result<Expr, ReadError> {
        let (form, inner) = kind(node)?;
        let kind = match form {
            // The span of a string is inside its quotes.
            "String" => ExprKind::Scalar(format!("\"{}\"", self.literal(inner)?)),
            "RawString" => ExprKind::Scalar(format!("`{}`", self.literal(inner)?)),
            // The value of a completed clause is not in the source.
            "Bool" => ExprKind::Scalar(
                if inner.get("value") == Some(&Json::Bool(true)) { "true" } else { "false" }.to_owned(),
            ),
            "Number" | "Null" => ExprKind::Scalar(self.literal(inner)?),
            "Var" => self.variable(inner)?,
            "Array" => ExprKind::Array(self.members(inner)?),
            "Set" => {
                let mut items = self.members(inner)?;
                items.sort_by_cached_key(order);
                ExprKind::Set(items)
            }
            "Object" => ExprKind::Object(self.fields(inner)?),
            "ArrayCompr" | "SetCompr" | "ObjectCompr" => self.comprehension(form, inner)?,
            "Call" => {
                let path = inner.get("fcn").and_then(names).ok_or("a call of this form is not supported")?;
                let args = self.exprs(list(inner, "params"))?;
                if path == ["set"] && args.is_empty() {
                    ExprKind::Set(args)
                } else {
                    ExprKind::Call(path, args)
                }
            }
            "UnaryExpr" => self.minus(field(inner, "expr")?)?,
            "RefDot" | "RefBrack" => self.reference(node)?,
            "BinExpr" | "BoolExpr" | "ArithExpr" => {
                let op = inner.get("op").and_then(Json::as_str).and_then(operator);
                ExprKind::Infix(
                    op.ok_or("an operator of this form is not supported")?,
                    self.boxed(inner, "lhs", "rhs")?,
                )
            }
            "Membership" => ExprKind::In(
                present(inner, "key").map(|key| self.expr(key).map(Box::new)).transpose()?,
                self.boxed(inner, "value", "collection")?,
            ),
            other => return Err(format!("an expression of type {other} is not supported").into()),
        };
        Ok(Expr { location: self.location(node), kind })
    }

    fn variable(&self, inner: &Json) -> Result<ExprKind, ReadError> {
        match inner.get("value") {
            Some(Json::String(name)) => Ok(ExprKind::Name(Name::Written(name.clone()))),
            _ => Ok(ExprKind::Scalar(self.literal(inner)?)),
        }
    }

    fn literal(&self, inner: &Json) -> Result<String, ReadError> {
        let text = inner.get("span").and_then(|at| span(self.text, at));
        text.ok_or_else(|| "a literal without a location".into())
    }

    /// `{x | (…)}` is a comprehension in OPA, and a union in a set for the engine (regorus 0.14.1, `parser.rs`).
    fn members(&self, inner: &Json) -> Result<Vec<Expr>, ReadError> {
        let items = self.exprs(list(inner, "items"))?;
        if let [only] = items.as_slice() {
            no_union(only)?;
        }
        Ok(items)
    }

    fn fields(&self, inner: &Json) -> Result<Vec<(Expr, Expr)>, ReadError> {
        let pairs = list(inner, "fields").iter().filter_map(Json::as_array);
        let mut pairs: Vec<&Vec<Json>> = pairs.collect();
        // OPA evaluates the fields in order of their keys.
        let key = |pair: &&Vec<Json>| pair.get(1)?.pointer("/String/value")?.as_str().map(str::to_owned);
        if pairs.iter().all(|pair| key(pair).is_some()) {
            pairs.sort_by_key(key);
        }
        let pair = |pair: &Vec<Json>| match pair.as_slice() {
            [_, key, value] => Ok((self.expr(key)?, self.expr(value)?)),
            _ => Err(ReadError::from("a field of this form is not supported")),
        };
        let fields = pairs.into_iter().map(pair).collect::<Result<Vec<_>, ReadError>>()?;
        if let [(_, only)] = fields.as_slice() {
            no_union(only)?;
        }
        Ok(fields)
    }

    fn comprehension(&self, form: &str, inner: &Json) -> Result<ExprKind, ReadError> {
        let value = present(inner, "term").or_else(|| present(inner, "value"));
        Ok(ExprKind::Comprehension(Box::new(Comprehension {
            array: form == "ArrayCompr",
            key: present(inner, "key").map(|key| self.expr(key)).transpose()?,
            value: self.expr(value.ok_or("a comprehension without a value")?)?,
            body: self.body(field(inner, "query")?)?,
        })))
    }

    fn minus(&self, operand: &Json) -> Result<ExprKind, ReadError> {
        let operand = self.expr(operand)?;
        if let ExprKind::Scalar(text) = &operand.kind {
            return Ok(ExprKind::Scalar(if let Some(rest) = text.strip_prefix('-') {
                rest.to_owned()
            } else {
                format!("-{text}")
            }));
        }
        // The engine applies a minus before an operator to the whole expression (regorus 0.14.1, `parser.rs`).
        if matches!(operand.kind, ExprKind::Name(_) | ExprKind::Reference(..) | ExprKind::Call(..)) {
            let zero = Expr { location: operand.location, kind: ExprKind::Scalar("0".to_owned()) };
            return Ok(ExprKind::Infix("-", Box::new((zero, operand))));
        }
        Err(ReadError {
            location: Some(operand.location),
            message:
                "a minus before an operator applies to the whole expression; write `0 - x` in parentheses"
                    .to_owned(),
        })
    }

    fn reference(&self, node: &Json) -> Result<ExprKind, ReadError> {
        let (mut steps, mut current) = (Vec::new(), node);
        loop {
            if let Some(dot) = current.get("RefDot") {
                let name = dot
                    .pointer("/field/1")
                    .and_then(Json::as_str)
                    .ok_or("a field of this form is not supported")?;
                steps.push(Step::Field(name.to_owned()));
                current = field(dot, "refr")?;
            } else if let Some(bracket) = current.get("RefBrack") {
                steps.push(Step::Index(self.expr(field(bracket, "index")?)?));
                current = field(bracket, "refr")?;
            } else {
                steps.reverse();
                return Ok(ExprKind::Reference(Box::new(self.expr(current)?), steps));
            }
        }
    }
}

/// OPA evaluates the members of a set in its order of terms: by type, then by name.
fn order(expr: &Expr) -> (u8, String) {
    match &expr.kind {
        ExprKind::Scalar(text) => (0, text.clone()),
        ExprKind::Name(Name::Written(name)) => (1, name.clone()),
        ExprKind::Reference(head, steps) => {
            let names = steps.iter().map(|step| match step {
                Step::Field(name) => format!(".{name}"),
                Step::Index(index) => format!(".{}", order(index).1),
            });
            (2, order(head).1 + &names.collect::<String>())
        }
        ExprKind::Call(path, _) => (5, path.join(".")),
        ExprKind::Infix(..) | ExprKind::In(..) => (5, String::new()),
        ExprKind::Array(_) | ExprKind::Object(_) | ExprKind::Set(_) => (3, String::new()),
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

fn no_union(only: &Expr) -> Result<(), ReadError> {
    match only.kind {
        ExprKind::Infix("|", _) => Err(ReadError {
            location: Some(only.location),
            message: "`|` here is read as a union and not as a comprehension; write `true;` after it, or assign the union to a variable".to_owned(),
        }),
        _ => Ok(()),
    }
}
