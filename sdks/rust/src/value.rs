//! Values as they travel, and as callers have them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{Reason, RunAgentError};
use crate::generated::{Payload, payload::Kind};

/// An argument, a result or a chunk.
///
/// Strings are [`Value::Text`], bytes are [`Value::Binary`], everything else is the JSON text that came. Nothing is
/// rounded on the way: `1` is not `1.0`, and integers keep every digit.
///
/// Printed, a string is its bare text, bytes are their base64, and anything else is its JSON:
///
/// ```
/// # use runagent::Value;
/// assert_eq!(Value::from("Hello").to_string(), "Hello");
/// assert_eq!(Value::from(serde_json::json!({"a": [1, 1.0]})).to_string(), r#"{"a":[1,1.0]}"#);
/// ```
///
/// # Integers beyond 64 bits
///
/// `serde_json::Value` would turn them into doubles. So [`Json::to_value`] refuses what it cannot hold exactly, and they
/// are read as whatever holds them, an `i128` for instance, or from the text itself; [`Value::from_json`] sends them.
///
/// ```
/// # use runagent::Value;
/// # fn read() -> Result<(), runagent::RunAgentError> {
/// let large = Value::from_json("10000000000000000000000")?;
/// assert_eq!(large.to::<i128>()?, 10_000_000_000_000_000_000_000);
/// assert!(large.to_value().is_err());
/// # Ok(())
/// # }
/// # read().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// Anything that is neither a string nor bytes.
    Json(Json),
    /// Bytes. Over REST and WebSocket they arrive as a string of their base64.
    Binary(Vec<u8>),
}

/// JSON text: a document of RFC 8259, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(String);

impl Value {
    /// Returns the value that a JSON text says.
    ///
    /// # Errors
    ///
    /// `VALIDATION_ERROR` for what is no JSON.
    pub fn from_json(text: impl Into<String>) -> Result<Self, RunAgentError> {
        let text = text.into();
        checked(text)
            .map_err(|problem| RunAgentError::new(Reason::ValidationError, format!("The text is no JSON: {problem}.")))
    }

    /// Returns the value that something serialises to. Bytes are better given as `Vec<u8>`, by `into`.
    ///
    /// # Errors
    ///
    /// `VALIDATION_ERROR` for what JSON cannot hold.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, RunAgentError> {
        let text = serde_json::to_string(value).map_err(|problem| {
            RunAgentError::new(Reason::ValidationError, format!("The value cannot be written as JSON: {problem}."))
        })?;
        Self::from_json(text)
    }

    /// Returns the text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Reads the value as a type of the caller's; bytes as the base64 of them.
    ///
    /// # Errors
    ///
    /// `VALIDATION_ERROR` where the value is none of that type.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, RunAgentError> {
        read(&self.to_json())
    }

    /// Returns the value as `serde_json` has it; bytes as the base64 of them.
    ///
    /// # Errors
    ///
    /// As [`Json::to_value`].
    pub fn to_value(&self) -> Result<serde_json::Value, RunAgentError> {
        match self {
            Value::Text(text) => Ok(text.clone().into()),
            Value::Json(json) => json.to_value(),
            Value::Binary(bytes) => Ok(BASE64.encode(bytes).into()),
        }
    }

    /// Returns the value's JSON text; of bytes, that of the base64 of them.
    pub fn to_json(&self) -> String {
        match self {
            Value::Text(text) => quoted(text),
            Value::Json(json) => json.0.clone(),
            Value::Binary(bytes) => quoted(&BASE64.encode(bytes)),
        }
    }

    pub(crate) fn null() -> Self {
        Value::Json(Json("null".to_owned()))
    }

    /// Reads what a server sent. One of no kind, or of a kind yet unknown, is null.
    pub(crate) fn from_payload(payload: Payload) -> Result<Self, RunAgentError> {
        match payload.kind {
            Some(Kind::Text(text)) => Ok(Value::Text(text)),
            Some(Kind::Binary(bytes)) => Ok(Value::Binary(bytes)),
            Some(Kind::Json(text)) => checked(text).map_err(|problem| {
                RunAgentError::new(Reason::InternalError, "The server sent a value that is no JSON.")
                    .with_details(problem.to_string())
            }),
            None => Ok(Value::null()),
        }
    }

    pub(crate) fn into_payload(self) -> Payload {
        let kind = match self {
            Value::Text(text) => Kind::Text(text),
            Value::Json(json) => Kind::Json(json.0),
            Value::Binary(bytes) => Kind::Binary(bytes),
        };
        Payload { kind: Some(kind) }
    }
}

impl Json {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the value as `serde_json` has it.
    ///
    /// # Errors
    ///
    /// `VALIDATION_ERROR` where it holds an integer that would be rounded (one beyond 64 bits), or nests too deep.
    pub fn to_value(&self) -> Result<serde_json::Value, RunAgentError> {
        match integers(&self.0).find(|integer| !is_exact(integer)) {
            None => read(&self.0),
            Some(integer) => {
                let start: String = integer.chars().take(40).collect();
                Err(RunAgentError::new(
                    Reason::ValidationError,
                    format!("The value holds {start}, an integer that serde_json would round."),
                )
                .with_suggestion("Read the value with `to::<i128>()`, or from its text."))
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => formatter.write_str(text),
            Value::Json(json) => formatter.write_str(&json.0),
            Value::Binary(bytes) => formatter.write_str(&BASE64.encode(bytes)),
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl PartialEq<str> for Value {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::String(text) => Value::Text(text),
            other => Value::Json(Json(other.to_string())),
        }
    }
}

impl From<f64> for Value {
    /// As documented for all clients: NaN is null, and the infinities are the strings `inf` and `-inf`.
    fn from(number: f64) -> Self {
        if number.is_infinite() {
            return Value::Text(if number > 0.0 { "inf" } else { "-inf" }.to_owned());
        }
        Value::Json(Json(serde_json::Value::from(number).to_string()))
    }
}

macro_rules! from_json_types {
    ($($kind:ty),+) => {
        $(impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Value::Json(Json(value.to_string()))
            }
        })+
    };
}

from_json_types!(bool, i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Value::Binary(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::Binary(bytes.to_owned())
    }
}

/// Returns a string as JSON text.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn checked(text: String) -> Result<Value, serde_json::Error> {
    if text.trim_start().starts_with('"') {
        return serde_json::from_str(&text).map(Value::Text);
    }
    // How deep it nests, and how large its numbers are, is for the server to judge: it names the argument.
    serde_json::from_str::<IgnoredAny>(&text)?;
    Ok(Value::Json(Json(text)))
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, RunAgentError> {
    serde_json::from_str(text).map_err(|problem| {
        RunAgentError::new(Reason::ValidationError, format!("The value cannot be read as that type: {problem}."))
    })
}

/// Returns the integers in a JSON text.
fn integers(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(|letter: char| letter == '"' || letter == '-' || letter.is_ascii_digit())?;
            rest = &rest[start..];
            if rest.starts_with('"') {
                rest = &rest[end_of_string(rest)..];
                continue;
            }
            let end = rest.find(|letter| !matches!(letter, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'));
            let (number, behind) = rest.split_at(end.unwrap_or(rest.len()));
            rest = behind;
            if !number.contains(['.', 'e', 'E']) {
                return Some(number);
            }
        }
    })
}

/// Returns where the string ends that the text begins with.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether `serde_json` keeps the integer, which depends on the features that it was built with.
fn is_exact(integer: &str) -> bool {
    integer == "-0"
        || serde_json::from_str::<serde_json::Number>(integer).is_ok_and(|number| number.to_string() == integer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_string_prints_bare_and_anything_else_as_json() {
        assert_eq!(Value::from("a\n\"b\"").to_string(), "a\n\"b\"");
        assert_eq!(Value::from(json!("a")).to_string(), "a");
        assert_eq!(Value::from(json!([1, 1.0, null])).to_string(), "[1,1.0,null]");
        assert_eq!(Value::from(b"\x00\xff".as_slice()).to_string(), "AP8=");
    }

    #[test]
    fn a_string_in_json_is_a_string() {
        let payload = Payload { kind: Some(Kind::Json(r#""\u00e9""#.to_owned())) };
        assert_eq!(Value::from_payload(payload).unwrap(), Value::from("é"));
    }

    #[test]
    fn integers_of_64_bits_are_read_and_larger_ones_refused_not_rounded() {
        for exact in ["18446744073709551615", "-9223372036854775808", "9007199254740993", "-0", "1.5e300"] {
            assert!(Value::from_json(exact).unwrap().to_value().is_ok(), "{exact}");
        }
        for rounded in ["18446744073709551616", "[{\"a\": -9223372036854775809}]"] {
            let error = Value::from_json(rounded).unwrap().to_value().unwrap_err();
            assert_eq!(error.reason(), Reason::ValidationError, "{rounded}");
        }
        let digits_in_text = Value::from_json(r#"["\"18446744073709551616", "\\"]"#).unwrap();
        assert_eq!(digits_in_text.to_value().unwrap(), json!(["\"18446744073709551616", "\\"]));
    }

    #[test]
    fn every_digit_is_there_for_whoever_asks_for_them() {
        let text = "1".repeat(4300);
        assert_eq!(Value::from_json(text.clone()).unwrap().to_string(), text);
        assert_eq!(Value::from(i128::MIN).to::<i128>().unwrap(), i128::MIN);
    }

    #[test]
    fn what_is_no_number_travels_as_documented() {
        assert_eq!(Value::from(f64::NAN), Value::null());
        assert_eq!(Value::from(f64::NEG_INFINITY), "-inf");
        assert_eq!(Value::from(1.0).to_string(), "1.0");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "NaN", "[1", "{\"a\":}", "\"\\ud800\""] {
            assert_eq!(Value::from_json(text).unwrap_err().reason(), Reason::ValidationError, "{text}");
        }
        let broken = Payload { kind: Some(Kind::Json("nothing".to_owned())) };
        assert_eq!(Value::from_payload(broken).unwrap_err().reason(), Reason::InternalError);
    }
}
