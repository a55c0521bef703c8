//! Values in another type, as the texts that they are in JSON.

use serde::Deserialize;
use tranship_collection::json::{Items, append_array_of, append_float, append_integer, append_string};

/// The type of a cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum To {
    Integer,
    Float,
    Text,
    Boolean,
}

impl To {
    /// Its name in the file.
    pub fn name(self) -> &'static str {
        match self {
            To::Integer => "integer",
            To::Float => "float",
            To::Text => "text",
            To::Boolean => "boolean",
        }
    }

    /// The value `json` in this type, without change of what it stands for. Null stays null; lists go element by element.
    pub fn cast(self, json: &str) -> Result<String, String> {
        match json.as_bytes().first() {
            Some(b'n') => Ok(json.to_owned()),
            Some(b'[') => {
                let Items(items) = serde_json::from_str(json).map_err(|error| error.to_string())?;
                let items = items.iter().map(|item| self.cast(item.get())).collect::<Result<Vec<_>, _>>()?;
                Ok(format!("[{}]", items.join(",")))
            }
            Some(b'{') => Err(format!("an object is no {}", self.name())),
            Some(b'"') => {
                let text: String = serde_json::from_str(json).map_err(|error| error.to_string())?;
                match self {
                    To::Text => Ok(json.to_owned()),
                    _ => self.scalar(text.trim()),
                }
            }
            _ => self.scalar(json),
        }
    }

    /// The text of a number, boolean or text in this type.
    fn scalar(self, text: &str) -> Result<String, String> {
        let no = || format!("{text:?} is no {}", self.name());
        let is_integer = |text: &str| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            !digits.is_empty()
                && digits.bytes().all(|b| b.is_ascii_digit())
                && (digits == "0" || !digits.starts_with('0'))
        };
        let float = || text.parse::<f64>().ok().filter(|value| value.is_finite());
        match self {
            To::Text => Ok(literal(|out| append_string(text, out))),
            To::Integer if is_integer(text) => Ok(text.to_owned()),
            To::Integer => {
                let whole = float().filter(|value| value.fract() == 0.0 && value.abs() < 2f64.powi(63));
                whole.map(|value| literal(|out| append_integer(value as i128, out))).ok_or_else(no)
            }
            To::Float if is_integer(text) => {
                // Only what an f64 holds: a neighbour would be another number.
                let value = float().filter(|value| text.parse::<i128>().is_ok_and(|whole| *value as i128 == whole));
                value.map(|value| literal(|out| append_float(value, out))).ok_or_else(no)
            }
            To::Float if is_json_number(text) => Ok(text.to_owned()),
            To::Float => Err(no()),
            To::Boolean => match text {
                "true" | "1" => Ok("true".to_owned()),
                "false" | "0" => Ok("false".to_owned()),
                _ => Err(no()),
            },
        }
    }
}

fn is_json_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}

fn literal(append: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    append(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A TOML value as JSON.
pub fn json_of(value: &toml::Value) -> Result<String, String> {
    use toml::Value;
    Ok(match value {
        Value::String(text) => literal(|out| append_string(text, out)),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) if number.is_finite() => literal(|out| append_float(*number, out)),
        Value::Float(_) => return Err("JSON has no such number".to_owned()),
        Value::Boolean(flag) => flag.to_string(),
        Value::Datetime(time) => literal(|out| append_string(&time.to_string(), out)),
        Value::Array(items) => {
            let items = items.iter().map(json_of).collect::<Result<Vec<_>, _>>()?;
            literal(|out| append_array_of(&items, out, |item, out| out.extend_from_slice(item.as_bytes())))
        }
        Value::Table(table) => {
            let entry = |(key, value): (&String, &Value)| {
                Ok(format!("{}:{}", literal(|out| append_string(key, out)), json_of(value)?))
            };
            format!("{{{}}}", table.iter().map(entry).collect::<Result<Vec<_>, String>>()?.join(","))
        }
    })
}
