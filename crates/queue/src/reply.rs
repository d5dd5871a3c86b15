//! Reading the scripts' answers. An answer of the wrong shape is a bug of ours, reported as such, never a panic.

use mailfleet_model::Lane;
use redis::Value;

use crate::error::{Error, Result};
use crate::keys::lane_of_number;

/// One taken entry, as `report` in `lua/prelude.lua` writes it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) lane: Lane,
    pub(crate) entry_id: String,
    /// The delivery count: what is known against the entry, see `lua/prelude.lua`.
    pub(crate) deliveries: u64,
    pub(crate) exhausted: bool,
    pub(crate) record: String,
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Row {
    /// A new entry: nothing is known against it, and it has been through nothing.
    pub(crate) fn new(lane: Lane, entry_id: String, fields: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self { lane, entry_id, deliveries: 1, exhausted: false, record: String::new(), fields }
    }

    /// The first field of this name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_slice())
    }

    /// What the entry will weigh in memory, as `weight` in `lua/prelude.lua` has it.
    pub(crate) fn weight(&self) -> u64 {
        if let Some(raw) = self.get(b"r") {
            return raw.len() as u64;
        }
        let size = self.get(b"b").and_then(|size| std::str::from_utf8(size).ok()?.parse().ok());
        size.unwrap_or(0)
    }

    /// Takes the first field of this name out of the entry.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let index = self.fields.iter().position(|(field, _)| field == name)?;
        Some(self.fields.remove(index).1)
    }
}

fn odd(doing: &'static str, found: impl Into<String>) -> Error {
    Error::Answer { doing, found: found.into() }
}

/// The items of an array.
pub(crate) fn array(doing: &'static str, value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Nil => Ok(Vec::new()),
        _ => Err(odd(doing, "not a list")),
    }
}

/// A whole number.
pub(crate) fn number(doing: &'static str, value: &Value) -> Result<i64> {
    match value {
        Value::Int(number) => Ok(*number),
        // A score or an id arrives as text.
        Value::BulkString(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| odd(doing, "not a number")),
        _ => Err(odd(doing, "not a number")),
    }
}

/// How many there are.
pub(crate) fn count(doing: &'static str, value: &Value) -> Result<usize> {
    usize::try_from(number(doing, value)?).map_err(|_| odd(doing, "fewer than none"))
}

/// Bytes.
pub(crate) fn bytes(doing: &'static str, value: Value) -> Result<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        _ => Err(odd(doing, "not a string")),
    }
}

/// Text.
pub(crate) fn text(doing: &'static str, value: Value) -> Result<String> {
    String::from_utf8(bytes(doing, value)?).map_err(|_| odd(doing, "not UTF-8"))
}

/// The entries that a claiming script took.
pub(crate) fn rows(doing: &'static str, value: Value) -> Result<Vec<Row>> {
    array(doing, value)?.into_iter().map(|row| self::row(doing, row)).collect()
}

fn row(doing: &'static str, value: Value) -> Result<Row> {
    let parts: [Value; 6] = array(doing, value)?.try_into().map_err(|_| odd(doing, "not six parts"))?;
    let [lane, entry_id, deliveries, exhausted, record, fields] = parts;
    Ok(Row {
        lane: lane_of_number(number(doing, &lane)?).ok_or_else(|| odd(doing, "no such lane"))?,
        entry_id: text(doing, entry_id)?,
        deliveries: u64::try_from(number(doing, &deliveries)?).unwrap_or(0),
        exhausted: number(doing, &exhausted)? == 1,
        // Bytes that are not UTF-8 make a record that does not parse, which costs the counters and nothing else.
        record: String::from_utf8(bytes(doing, record)?).unwrap_or_default(),
        fields: self::fields(doing, fields)?,
    })
}

fn fields(doing: &'static str, flat: Value) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut flat = array(doing, flat)?.into_iter();
    let mut fields = Vec::with_capacity(flat.len() / 2);
    while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
        fields.push((bytes(doing, name)?, bytes(doing, value)?));
    }
    Ok(fields)
}

/// The new entries that an XREADGROUP of one lane gave, which has the answer of no stream or of one: as a map in RESP3, as a
/// list of pairs in RESP2.
pub(crate) fn new_rows(doing: &'static str, lane: Lane, answer: Value, into: &mut Vec<Row>) -> Result<()> {
    let of_streams: Vec<Value> = match answer {
        Value::Map(streams) => streams.into_iter().map(|(_, entries)| entries).collect(),
        answer => {
            let pair = |stream| {
                array(doing, stream)?.try_into().map_err(|_| odd(doing, "not a key and its entries"))
            };
            let entries = |stream| pair(stream).map(|[_, entries]: [Value; 2]| entries);
            array(doing, answer)?.into_iter().map(entries).collect::<Result<_>>()?
        }
    };
    for entries in of_streams {
        for entry in array(doing, entries)? {
            let [entry_id, fields]: [Value; 2] =
                array(doing, entry)?.try_into().map_err(|_| odd(doing, "not an id and its fields"))?;
            into.push(Row::new(lane, text(doing, entry_id)?, self::fields(doing, fields)?));
        }
    }
    Ok(())
}
