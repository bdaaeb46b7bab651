//! Between what Redis says and what guests understand.

use redis::{Cmd, RedisError, ServerErrorKind, Value};

/// An error, as both versions of the interface have it.
#[derive(Debug)]
pub enum Failure {
    /// The address is none of Redis', or the component may not reach it.
    InvalidAddress,
    /// The limit of connections is reached.
    TooManyConnections,
    /// The key holds a value of another type.
    TypeError,
    /// Anything else: the server's sentence, or ours.
    Other(String),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            redis::ErrorKind::UnexpectedReturnType => Self::TypeError,
            redis::ErrorKind::Server(ServerErrorKind::ResponseError) if error.code() == Some("WRONGTYPE") => Self::TypeError,
            _ if error.code() == Some("WRONGTYPE") => Self::TypeError,
            _ if error.detail().is_some_and(|detail| detail.contains("not an integer")) => Self::TypeError,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// A parameter of `execute`.
pub(super) enum Parameter {
    Int64(i64),
    Binary(Vec<u8>),
}

/// A result of `execute`.
#[derive(Debug, PartialEq)]
pub enum Item {
    /// No value.
    Nil,
    /// A word such as `OK`.
    Status(String),
    /// A number, or a boolean as 0 or 1.
    Int64(i64),
    /// Anything else, floating-point numbers as text.
    Binary(Vec<u8>),
}

/// The command, with words in its name as parameters: `CONFIG GET`.
pub(super) fn command(name: &str, parameters: Vec<Parameter>) -> Cmd {
    let mut command = Cmd::new();
    for word in name.split_ascii_whitespace() {
        command.arg(word);
    }
    for parameter in parameters {
        match parameter {
            Parameter::Int64(number) => command.arg(number),
            Parameter::Binary(bytes) => command.arg(bytes),
        };
    }
    command
}

/// The answer as a list without lists in it: guests know no deeper ones.
pub fn items(answer: Value) -> Result<Vec<Item>, Failure> {
    let mut items = Vec::new();
    flatten(answer, &mut items)?;
    Ok(items)
}

fn flatten(value: Value, items: &mut Vec<Item>) -> Result<(), Failure> {
    match value {
        Value::Nil => items.push(Item::Nil),
        Value::Okay => items.push(Item::Status("OK".to_owned())),
        Value::SimpleString(status) => items.push(Item::Status(status)),
        Value::Int(number) => items.push(Item::Int64(number)),
        Value::Boolean(boolean) => items.push(Item::Int64(boolean.into())),
        Value::BulkString(bytes) => items.push(Item::Binary(bytes)),
        Value::Double(number) => items.push(Item::Binary(number.to_string().into_bytes())),
        Value::VerbatimString { text, .. } => items.push(Item::Binary(text.into_bytes())),
        Value::Array(values) | Value::Set(values) => values.into_iter().try_for_each(|value| flatten(value, items))?,
        Value::Map(pairs) => pairs.into_iter().try_for_each(|(key, value)| {
            flatten(key, items)?;
            flatten(value, items)
        })?,
        Value::ServerError(error) => return Err(RedisError::from(error).into()),
        other => return Err(Failure::Other(format!("an answer of a kind guests don't know: {other:?}"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_lists_become_one() {
        let inner = Value::Array(vec![Value::Int(1), Value::Nil]);
        let items = items(Value::Array(vec![inner, Value::Okay])).ok().unwrap();
        assert!(matches!(&items[..], [Item::Int64(1), Item::Nil, Item::Status(ok)] if ok == "OK"));
    }

    #[test]
    fn a_command_of_two_words_is_sent_as_two() {
        let command = command("CONFIG GET", vec![Parameter::Int64(1), Parameter::Binary(b"x".to_vec())]);
        assert_eq!(command.get_packed_command(), b"*4\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$1\r\n1\r\n$1\r\nx\r\n");
    }
}
