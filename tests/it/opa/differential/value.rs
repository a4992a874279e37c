//! Values of both languages in one form that loses nothing: sets, keys that are no texts, numbers as decimals.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use portcullis_policy::Value;
use serde_json::Value as Json;

/// A value as it is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plain {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(String),
    Array(Vec<Plain>),
    Set(BTreeSet<Plain>),
    Object(BTreeMap<Plain, Plain>),
}

/// A number that is the same however it is written: digits without zeros at either end, and the power of ten.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal {
    negative: bool,
    digits: String,
    power: i64,
}

impl Decimal {
    /// Reads `-12.50e3`.
    pub fn read(text: &str) -> Self {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i64 = exponent.parse().unwrap_or(i64::MAX / 2);
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0').trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Self { negative: false, digits, power: 0 };
        }
        let cut = all.len() - all.trim_end_matches('0').len();
        let length = |n: usize| i64::try_from(n).unwrap_or(i64::MAX / 4);
        Self { negative, digits, power: exponent - length(fraction.len()) + length(cut) }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let count = i64::try_from(self.digits.len()).unwrap_or(i64::MAX);
        let zeros = |n: i64| "0".repeat(usize::try_from(n).unwrap_or(0));
        if self.digits.is_empty() {
            f.write_str("0")
        } else if (0..=20).contains(&self.power) {
            write!(f, "{sign}{}{}", self.digits, zeros(self.power))
        } else if self.power < 0 && -self.power < count {
            let (whole, fraction) = self.digits.split_at(usize::try_from(count + self.power).unwrap_or(0));
            write!(f, "{sign}{whole}.{fraction}")
        } else if (-20..0).contains(&self.power) {
            write!(f, "{sign}0.{}{}", zeros(-self.power - count), self.digits)
        } else {
            write!(f, "{sign}{}e{}", self.digits, self.power)
        }
    }
}

impl Plain {
    /// Ours; `None` where it is undefined.
    pub fn of(value: &Value) -> Option<Self> {
        let all = |items: &mut dyn Iterator<Item = &Value>| items.map(Self::of).collect::<Option<Vec<_>>>();
        Some(match value {
            Value::Undefined => return None,
            Value::Null => Self::Null,
            Value::Bool(is) => Self::Bool(*is),
            Value::Number(number) => Self::Number(Decimal::read(&number.format_decimal())),
            Value::String(text) => Self::Text(text.to_string()),
            Value::Array(items) => Self::Array(all(&mut items.iter())?),
            Value::Set(items) => Self::Set(all(&mut items.iter())?.into_iter().collect()),
            Value::Object(members) => {
                let pairs = members.iter().map(|(key, value)| Some((Self::of(key)?, Self::of(value)?)));
                Self::Object(pairs.collect::<Option<_>>()?)
            }
        })
    }

    /// Whether they are the same but for what a double cannot hold of a number.
    pub fn is_near(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => {
                let read = |number: &Decimal| number.to_string().parse::<f64>().unwrap_or(f64::NAN);
                let (one, other) = (read(one), read(other));
                (one - other).abs() <= one.abs() * 1e-14
            }
            (Self::Array(one), Self::Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_near(other))
            }
            // Two spellings of a number do not stand at the same place of their sets.
            (Self::Set(one), Self::Set(other)) => {
                let mut left: Vec<&Self> = other.iter().collect();
                one.len() == other.len()
                    && one.iter().all(|one| {
                        let near = left.iter().position(|other| one.is_near(other));
                        near.map(|at| left.swap_remove(at)).is_some()
                    })
            }
            (Self::Object(one), Self::Object(other)) => {
                let pairs = || one.iter().zip(other);
                one.len() == other.len()
                    && pairs().all(|(one, other)| one.0 == other.0 && one.1.is_near(other.1))
            }
            _ => self == other,
        }
    }

    /// OPA's, as tests/controlplane/opa writes it.
    pub fn read(json: &Json) -> Self {
        let list = |json: &Json| json.as_array().into_iter().flatten().map(Self::read).collect::<Vec<_>>();
        match json {
            Json::Null => Self::Null,
            Json::Bool(is) => Self::Bool(*is),
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(_) => Self::Array(list(json)),
            Json::Number(number) => Self::Number(Decimal::read(&number.to_string())),
            Json::Object(tagged) => match (tagged.get("n"), tagged.get("s"), tagged.get("o")) {
                (Some(number), _, _) => Self::Number(Decimal::read(number.as_str().unwrap_or_default())),
                (_, Some(items), _) => Self::Set(list(items).into_iter().collect()),
                (_, _, Some(pairs)) => {
                    let pair = |pair: &Json| (Self::read(&pair[0]), Self::read(&pair[1]));
                    Self::Object(pairs.as_array().into_iter().flatten().map(pair).collect())
                }
                _ => Self::Object(BTreeMap::new()),
            },
        }
    }

    /// As the engine has it.
    pub fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(is) => Value::from(*is),
            Self::Number(number) => Value::from_numeric_string(&number.to_string()).expect("a number"),
            Self::Text(text) => Value::from(text.as_str()),
            Self::Array(items) => Value::from(items.iter().map(Self::value).collect::<Vec<_>>()),
            Self::Set(items) => {
                let mut set = Value::new_set();
                let inner = set.as_set_mut().expect("a set");
                items.iter().for_each(|item| {
                    inner.insert(item.value());
                });
                set
            }
            Self::Object(members) => {
                let mut object = Value::new_object();
                let inner = object.as_object_mut().expect("an object");
                members.iter().for_each(|(key, value)| {
                    inner.insert(key.value(), value.value());
                });
                object
            }
        }
    }

    /// As JSON has it, but for the order of arrays, since a set has none: keys are texts, sets are arrays.
    #[must_use]
    pub fn flat(&self) -> Self {
        let list = |items: &mut dyn Iterator<Item = &Self>| {
            let mut items: Vec<Self> = items.map(Self::flat).collect();
            items.sort();
            Self::Array(items)
        };
        match self {
            Self::Array(items) => list(&mut items.iter()),
            Self::Set(items) => list(&mut items.iter()),
            Self::Object(members) => {
                let key = |key: &Self| match key {
                    Self::Text(_) => key.clone(),
                    other => Self::Text(other.json()),
                };
                Self::Object(members.iter().map(|(name, value)| (key(name), value.flat())).collect())
            }
            other => other.clone(),
        }
    }

    /// The JSON text that OPA makes of a key.
    fn json(&self) -> String {
        let joined = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(",");
        match self {
            Self::Array(items) => format!("[{}]", joined(&mut items.iter().map(Self::json))),
            Self::Set(items) => format!("[{}]", joined(&mut items.iter().map(Self::json))),
            Self::Object(members) => {
                let key = |key: &Self| match key {
                    Self::Text(_) => key.json(),
                    other => Json::from(other.json()).to_string(),
                };
                let mut pairs = members.iter().map(|(name, value)| format!("{}:{}", key(name), value.json()));
                format!("{{{}}}", joined(&mut pairs))
            }
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(is) => write!(f, "{is}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{}", Json::from(text.as_str())),
            Self::Array(items) => write!(f, "[{}]", joined(&mut items.iter().map(Self::to_string))),
            Self::Set(items) if items.is_empty() => f.write_str("set()"),
            Self::Set(items) => write!(f, "{{{}}}", joined(&mut items.iter().map(Self::to_string))),
            Self::Object(members) => {
                let mut pairs = members.iter().map(|(key, value)| format!("{key}: {value}"));
                write!(f, "{{{}}}", joined(&mut pairs))
            }
        }
    }
}
