//! Arithmetic and ordering as in OPA (1.22.0, `v1/topdown/arithmetic.go`, `v1/ast/compare.go`).
//!
//! Integers are exact. Anything else is computed with a mantissa of 64 bits, as `big.Float` does, so that 0.1 + 0.2 is
//! 0.3. A number that leaves a body is a double, which is 53 bits: OPA keeps the decimal text. So what is computed with
//! such a number is compared by its first 50 bits.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use regorus::Value;
use regorus::value::Object;

use super::cost::{Cost, VALUE, charge};

/// Bits of a mantissa between two operators.
const MANTISSA: u64 = 64;
/// Bits of the mantissa of a double.
const DOUBLE: u64 = 53;
/// Bits that are compared if an operand was rounded to a double before.
const SHORTENED: u64 = 50;
/// Digits of a double that was computed: a number that a person writes has fewer.
const ROUNDED_DIGITS: usize = 16;
/// Bits of an integer: a product of numbers that a tenant chooses must not grow without limit.
const BITS_MAX: u64 = 16 << 10;

enum Operand {
    Integer(BigInt),
    /// A numerator, and the exponent of the power of two that it is divided by.
    Binary(BigInt, u64),
    Other(Value),
}

/// Evaluates operators in postfix notation, `0 1 + 2 *`: a number is the index of an operand in the rest of the array.
pub(crate) fn evaluate(args: &[Value]) -> Result<Value, String> {
    // A test of an author may call `trace("…")`, which is true.
    if let Some(Value::String(_)) = args.first() {
        return Ok(true.into());
    }
    let Some(Value::Array(given)) = args.first() else { return Err("no operators".to_owned()) };
    let program = given.get(0).and_then(|program| program.as_string().ok()).ok_or("no operators")?;
    let operand = |at: usize| given.get(at + 1).ok_or_else(|| format!("no operand {at}"));
    match program.as_ref() {
        "<" => return Ok((compare(operand(0)?, operand(1)?) == Ordering::Less).into()),
        "<=" => return Ok((compare(operand(0)?, operand(1)?) != Ordering::Greater).into()),
        ">" => return Ok((compare(operand(0)?, operand(1)?) == Ordering::Greater).into()),
        ">=" => return Ok((compare(operand(0)?, operand(1)?) != Ordering::Less).into()),
        "one" => return one(operand(0)?),
        "object" => return object(operand(0)?),
        "walk" => return super::collections::walk(std::slice::from_ref(operand(0)?)),
        "each" => return Ok(each(operand(0)?)),
        "text" => return text(operand(0)?, operand(1)?),
        "in" => return Ok(holds(operand(0)?, operand(1)?, operand(2)?).into()),
        _ => {}
    }
    let mut stack = Vec::new();
    for token in program.split(' ') {
        if let Ok(at) = token.parse::<usize>() {
            stack.push(read_at(operand(at)?));
        } else {
            let (Some((right, of_right)), Some((left, of_left))) = (stack.pop(), stack.pop()) else {
                return Err("no operands".to_owned());
            };
            let rounded = of_left || of_right;
            let is_order = matches!(token, "<" | "<=" | ">" | ">=" | "==" | "!=");
            let (left, right) =
                if rounded && is_order { (shortened(left), shortened(right)) } else { (left, right) };
            stack.push((apply(token, left, right)?, rounded && !is_order));
        }
    }
    stack.pop().map_or_else(|| Err("no operands".to_owned()), |(value, _)| to_value(value))
}

/// The members of an array or a set in OPA's order of types, in which sets come last.
pub(crate) fn sort(args: &[Value]) -> Result<Value, String> {
    Ok(Value::from(ordered("sort", args)?))
}

/// The smallest member; undefined for an empty collection.
pub(crate) fn min(args: &[Value]) -> Result<Value, String> {
    Ok(ordered("min", args)?.into_iter().next().unwrap_or(Value::Undefined))
}

/// The largest member; undefined for an empty collection.
pub(crate) fn max(args: &[Value]) -> Result<Value, String> {
    Ok(ordered("max", args)?.pop().unwrap_or(Value::Undefined))
}

fn ordered(name: &str, args: &[Value]) -> Result<Vec<Value>, String> {
    let mut members: Vec<Value> = match args.first() {
        Some(Value::Array(items)) => items.iter().cloned().collect(),
        Some(Value::Set(items)) => items.iter().cloned().collect(),
        Some(other) => {
            return Err(format!(
                "builtin `{name}` failed: it takes an array or a set, but got {}",
                kind(other)
            ));
        }
        None => Vec::new(),
    };
    charge(name, Cost::bytes(members.len().saturating_mul(VALUE)))?;
    members.sort_by(compare);
    Ok(members)
}

pub(crate) fn sum(args: &[Value]) -> Result<Value, String> {
    fold(args, "sum", "+", MANTISSA)
}

/// The product of an array or a set; except for integers with a mantissa of 53 bits, as in OPA.
pub(crate) fn product(args: &[Value]) -> Result<Value, String> {
    fold(args, "product", "*", DOUBLE)
}

fn fold(args: &[Value], name: &str, operator: &str, bits: u64) -> Result<Value, String> {
    let (mut numbers, mut other) = (Vec::new(), None);
    match args.first() {
        Some(Value::Array(items)) => numbers.extend(items.iter()),
        Some(Value::Set(items)) => numbers.extend(items.iter()),
        given => other = given,
    }
    other = other.or_else(|| numbers.iter().copied().find(|item| !matches!(item, Value::Number(_))));
    if let Some(other) = other {
        return Err(format!("builtin `{name}` failed: it takes numbers, but got {}", kind(other)));
    }
    let mut total = Operand::Integer(BigInt::from(i32::from(operator == "*")));
    for number in numbers {
        total = apply(operator, total, read_at(number).0)?;
        if let (Operand::Binary(mantissa, exponent), true) = (&total, bits < MANTISSA) {
            let (mantissa, exponent) = rounded(mantissa, &(BigInt::from(1) << *exponent), bits);
            total = simplest(mantissa, exponent);
        }
    }
    to_value(total)
}

/// `key, value in collection`; an element of a set is its own key.
fn holds(key: &Value, value: &Value, collection: &Value) -> bool {
    match collection {
        Value::Array(items) => {
            let at = key.as_u64().ok().and_then(|at| usize::try_from(at).ok());
            at.and_then(|at| items.get(at)) == Some(value)
        }
        Value::Object(entries) => entries.get(key) == Some(value),
        Value::Set(items) => key == value && items.contains(value),
        _ => false,
    }
}

/// The one value of a rule, of all values that its body gives.
fn one(values: &Value) -> Result<Value, String> {
    let Value::Set(values) = values else { return Err("no values".to_owned()) };
    let mut values = values.iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.clone()),
        _ => Err("rules must not produce multiple outputs: a rule has several values at once".to_owned()),
    }
}

/// The object of a set of pairs.
fn object(pairs: &Value) -> Result<Value, String> {
    let Value::Set(pairs) = pairs else { return Err("no pairs".to_owned()) };
    let mut made = Object::new();
    for pair in pairs.iter() {
        let Ok(pair) = pair.as_array() else { return Err("no pair".to_owned()) };
        let (Some(key), Some(value)) = (pair.get(0), pair.get(1)) else { return Err("no pair".to_owned()) };
        if made.insert(key.clone(), value.clone()).is_some() {
            return Err(format!("value for key `{key}` generated multiple times, as different values"));
        }
    }
    Ok(Value::from(made))
}

/// A value to iterate over; empty if it is no collection.
fn each(value: &Value) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) | Value::Set(_) => value.clone(),
        _ => Value::new_array(),
    }
}

/// What a message uses: `found` has one element, or none if it is undefined.
fn text(found: &Value, name: &Value) -> Result<Value, String> {
    let value = found.as_array().ok().and_then(|found| found.first().cloned());
    value.ok_or_else(|| {
        let name = name.as_string().map(ToString::to_string).unwrap_or_default();
        format!(
            "{name} is undefined, so the message of the finding is undefined; use `object.get(…)` with a default"
        )
    })
}

/// The order of types: null, booleans, numbers, strings, arrays, objects, sets.
fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
        Value::Set(_) => 6,
        Value::Undefined => 7,
    }
}

pub(super) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => in_turn(left.iter(), right.iter()),
        (Value::Set(left), Value::Set(right)) => in_turn(left.iter(), right.iter()),
        (Value::Object(left), Value::Object(right)) => {
            let pairs = left.iter_sorted().zip(right.iter_sorted());
            let differing = pairs
                .map(|(left, right)| compare(left.0, right.0).then_with(|| compare(left.1, right.1)))
                .find(|order| order.is_ne());
            differing.unwrap_or_else(|| left.len().cmp(&right.len()))
        }
        _ => rank(left).cmp(&rank(right)).then_with(|| left.cmp(right)),
    }
}

fn in_turn<'v>(left: impl Iterator<Item = &'v Value>, right: impl Iterator<Item = &'v Value>) -> Ordering {
    let (mut left, mut right) = (left, right);
    loop {
        match (left.next(), right.next()) {
            (Some(left), Some(right)) => match compare(left, right) {
                Ordering::Equal => {}
                order => return order,
            },
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
        }
    }
}

fn read(value: &Value) -> Operand {
    if !matches!(value, Value::Number(_)) {
        return Operand::Other(value.clone());
    }
    if let Ok(small) = value.as_i64() {
        return Operand::Integer(BigInt::from(small));
    }
    if let Value::Number(number) = value
        && number.is_integer()
        && let Some(large) = number.as_big()
    {
        return Operand::Integer(large.as_ref().clone());
    }
    // OPA keeps the decimal text.
    let text = value.to_string();
    decimal(&text).map_or_else(
        || Operand::Other(value.clone()),
        |(numerator, denominator)| divide(&numerator, &denominator),
    )
}

/// A number, and whether it was rounded before.
fn read_at(value: &Value) -> (Operand, bool) {
    rounded_before(value).map_or_else(|| (read(value), false), |exact| (exact, true))
}

/// The exact value of a number that was most likely rounded to a double when it left a body: OPA keeps 64 bits of it.
fn rounded_before(value: &Value) -> Option<Operand> {
    let Value::Number(number) = value else { return None };
    let float = number.as_f64().filter(|_| !number.is_integer())?;
    let text = value.to_string();
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = digits.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
    if digits < ROUNDED_DIGITS {
        return None;
    }
    let bits = float.to_bits();
    let exponent = i64::try_from((bits >> 52) & 0x7ff).ok().filter(|exponent| *exponent > 0)?;
    let magnitude = BigInt::from((bits & ((1 << 52) - 1)) | (1 << 52));
    let mantissa = if float.is_sign_negative() { -magnitude } else { magnitude };
    Some(simplest(mantissa, exponent - 1075))
}

/// A number without the bits that rounding to a double spoils.
fn shortened(operand: Operand) -> Operand {
    let Operand::Binary(number, exponent) = operand else { return operand };
    let (mantissa, exponent) = rounded(&number, &(BigInt::from(1) << exponent), SHORTENED);
    simplest(mantissa, exponent)
}

/// `-1.5e3` as a numerator and a denominator.
fn decimal(text: &str) -> Option<(BigInt, BigInt)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: BigInt = format!("{whole}{fraction}").parse().ok()?;
    let exponent = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let power =
        BigInt::from(10).pow(u32::try_from(exponent.unsigned_abs()).ok().filter(|power| *power < 2000)?);
    Some(if exponent < 0 { (digits, power) } else { (digits * power, BigInt::from(1)) })
}

/// A quotient: exact if it is an integer, else with a mantissa of 64 bits.
fn divide(numerator: &BigInt, denominator: &BigInt) -> Operand {
    let (quotient, rest) = (numerator / denominator, numerator % denominator);
    if rest.sign() == Sign::NoSign {
        return Operand::Integer(quotient);
    }
    let (mantissa, exponent) = rounded(numerator, denominator, MANTISSA);
    simplest(mantissa, exponent)
}

/// `mantissa · 2^exponent`
fn simplest(mantissa: BigInt, exponent: i64) -> Operand {
    if exponent >= 0 {
        return Operand::Integer(mantissa << exponent.unsigned_abs());
    }
    let down = exponent.unsigned_abs();
    let zeros = mantissa.trailing_zeros().unwrap_or(down).min(down);
    let (mantissa, down) = (mantissa >> zeros, down - zeros);
    if down == 0 { Operand::Integer(mantissa) } else { Operand::Binary(mantissa, down) }
}

/// The nearest `mantissa · 2^exponent` with a mantissa of so many bits, halves to even.
fn rounded(numerator: &BigInt, denominator: &BigInt, bits: u64) -> (BigInt, i64) {
    let (above, below) = (length(numerator), length(denominator));
    // Two additional bits show whether the part that is cut off is more than a half.
    let shift = signed(bits + 2) + below - above;
    let (numerator, denominator) = if shift >= 0 {
        (numerator << shift.unsigned_abs(), denominator.clone())
    } else {
        (numerator.clone(), denominator << shift.unsigned_abs())
    };
    let magnitude = BigInt::from(numerator.magnitude().clone());
    let (mut quotient, rest) = (&magnitude / &denominator, &magnitude % &denominator);
    let extra = u64::try_from(length(&quotient)).unwrap_or(0).saturating_sub(bits);
    let cut = &quotient & &((BigInt::from(1) << extra) - 1);
    quotient >>= extra;
    let half = BigInt::from(1) << extra.saturating_sub(1);
    let above_half = extra > 0 && (cut > half || (cut == half && rest.sign() != Sign::NoSign));
    let tie = extra > 0 && cut == half && rest.sign() == Sign::NoSign;
    if above_half || (tie && quotient.bit(0)) {
        quotient += 1;
    }
    let mantissa = if numerator.sign() == Sign::Minus { -quotient } else { quotient };
    (mantissa, signed(extra) - shift)
}

fn length(number: &BigInt) -> i64 {
    signed(number.bits())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn apply(operator: &str, left: Operand, right: Operand) -> Result<Operand, String> {
    let ordered = match operator {
        "<" => Some([Ordering::Less].as_slice()),
        "<=" => Some([Ordering::Less, Ordering::Equal].as_slice()),
        ">" => Some([Ordering::Greater].as_slice()),
        ">=" => Some([Ordering::Greater, Ordering::Equal].as_slice()),
        "==" => Some([Ordering::Equal].as_slice()),
        "!=" => Some([Ordering::Less, Ordering::Greater].as_slice()),
        _ => None,
    };
    if let Some(ordered) = ordered {
        let holds = ordered.contains(&beside(left, right)?);
        return Ok(Operand::Other(Value::from(holds)));
    }
    let (left, right) = match (left, right) {
        (Operand::Other(Value::Set(left)), Operand::Other(Value::Set(right))) if operator == "-" => {
            return Ok(Operand::Other(Value::from(left.difference(&right))));
        }
        (Operand::Other(other), _) | (_, Operand::Other(other)) => {
            return Err(format!("`{operator}` takes numbers, but got {}", kind(&other)));
        }
        numbers => numbers,
    };
    if let (Operand::Integer(left), Operand::Integer(right)) = (&left, &right) {
        return integers(operator, left, right);
    }
    if operator == "%" {
        return Err("modulo on a number that is not an integer".to_owned());
    }
    let ((left, from), (right, to)) = (parts(left), parts(right));
    let (numerator, exponent) = match operator {
        "+" | "-" => {
            let common = from.max(to);
            let (left, right) = (left << (common - from), right << (common - to));
            (if operator == "+" { left + right } else { left - right }, common)
        }
        "*" => (left * right, from + to),
        "/" if right.sign() == Sign::NoSign => return Err("divide by zero".to_owned()),
        "/" => {
            let (numerator, denominator) = (left << to, right << from);
            return Ok(quotient(numerator, denominator));
        }
        other => return Err(format!("no operator `{other}`")),
    };
    Ok(quotient(numerator, BigInt::from(1) << exponent))
}

/// Compares two operands, numbers with all their bits.
fn beside(left: Operand, right: Operand) -> Result<Ordering, String> {
    if matches!(left, Operand::Other(_)) || matches!(right, Operand::Other(_)) {
        return Ok(compare(&to_value(left)?, &to_value(right)?));
    }
    let ((left, from), (right, to)) = (parts(left), parts(right));
    let common = from.max(to);
    Ok((left << (common - from)).cmp(&(right << (common - to))))
}

/// The nearest number with a mantissa of 64 bits.
fn quotient(numerator: BigInt, denominator: BigInt) -> Operand {
    if numerator.sign() == Sign::NoSign {
        return Operand::Integer(numerator);
    }
    let (numerator, denominator) =
        if denominator.sign() == Sign::Minus { (-numerator, -denominator) } else { (numerator, denominator) };
    let (mantissa, exponent) = rounded(&numerator, &denominator, MANTISSA);
    simplest(mantissa, exponent)
}

fn integers(operator: &str, left: &BigInt, right: &BigInt) -> Result<Operand, String> {
    if left.bits().saturating_add(right.bits()) > BITS_MAX {
        return Err(format!("`{operator}` of numbers with more than {BITS_MAX} bits"));
    }
    let zero = right.sign() == Sign::NoSign;
    Ok(match operator {
        "+" => Operand::Integer(left + right),
        "-" => Operand::Integer(left - right),
        "*" => Operand::Integer(left * right),
        "/" if zero => return Err("divide by zero".to_owned()),
        // Exact where both are small: the quotient of large ones is a `big.Float`.
        "/" if (left % right).sign() == Sign::NoSign && left.bits() < 32 && right.bits() < 32 => {
            Operand::Integer(left / right)
        }
        "/" => quotient(left.clone(), right.clone()),
        "%" if zero => return Err("modulo by zero".to_owned()),
        "%" => Operand::Integer(left % right),
        other => return Err(format!("no operator `{other}`")),
    })
}

fn parts(operand: Operand) -> (BigInt, u64) {
    match operand {
        Operand::Integer(number) => (number, 0),
        Operand::Binary(number, exponent) => (number, exponent),
        Operand::Other(_) => (BigInt::default(), 0),
    }
}

fn to_value(operand: Operand) -> Result<Value, String> {
    match operand {
        Operand::Integer(number) => match i64::try_from(&number) {
            Ok(small) => Ok(Value::from(small)),
            Err(_) => large(&number),
        },
        Operand::Binary(number, exponent) => {
            let (mantissa, power) = rounded(&number, &(BigInt::from(1) << exponent), DOUBLE);
            // Exact: the mantissa has 53 bits.
            let digits: i64 = i64::try_from(&mantissa).map_err(|error| error.to_string())?;
            Ok(Value::from(scaled(digits, power)))
        }
        Operand::Other(value) => Ok(value),
    }
}

/// An integer of any size, limb by limb: parsed from a string it would be a double.
fn large(number: &BigInt) -> Result<Value, String> {
    let (base, mut value) = (Value::from(1_u128 << 64), Value::from(0_u64));
    for limb in number.magnitude().iter_u64_digits().rev() {
        let (Value::Number(base), Value::Number(before), Value::Number(limb)) =
            (&base, &value, &Value::from(limb))
        else {
            return Err("no number".to_owned());
        };
        let next = before.mul(base).and_then(|shifted| shifted.add(limb));
        value = Value::Number(next.map_err(|error| error.to_string())?);
    }
    match &value {
        Value::Number(positive) if number.sign() == Sign::Minus => {
            // `neg` turns the bits over.
            let Value::Number(zero) = Value::from(0_u64) else { return Err("no number".to_owned()) };
            zero.sub(positive).map(Value::Number).map_err(|error| error.to_string())
        }
        _ => Ok(value),
    }
}

/// `mantissa · 2^exponent` as a double, by halves, so that no step leaves its range before the last.
#[expect(clippy::cast_precision_loss, reason = "the mantissa has 53 bits")]
fn scaled(mantissa: i64, exponent: i64) -> f64 {
    let power = i32::try_from(exponent.clamp(-2000, 2000)).unwrap_or(0);
    let (first, second) = (power / 2, power - power / 2);
    mantissa as f64 * 2_f64.powi(first) * 2_f64.powi(second)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
        Value::Set(_) => "a set",
        Value::Undefined => "nothing",
    }
}
