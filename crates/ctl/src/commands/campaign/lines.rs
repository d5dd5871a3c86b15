//! The lines of an import: CSV with a header row, or JSON objects with the same names.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, bail};
use mailfleet_model::recipient_key;
use mailfleet_store::NewLead;

use super::objects::{Broken, Objects};

/// The columns, which are the keys in JSON.
const COLUMNS: [&str; 5] = ["campaign", "campaign_id", "email", "lead_id", "name"];
/// The largest CSV record, in bytes: a quote that is never closed must not swallow the file.
const MAX_RECORD: u64 = 64 << 10;
/// Longest campaign name and lead name, in characters.
const NAME_MAX_CHARS: usize = 200;
/// Longest address, in characters.
const EMAIL_MAX_CHARS: usize = 320;

/// A line: what it says, or what is wrong with it.
#[derive(Debug)]
pub struct Line {
    /// Its number in the file, from 1; of an object the one it begins on.
    pub number: u64,
    /// The lead, or why it is none.
    pub lead: Result<NewLead, String>,
}

/// The lines of a file.
#[derive(Debug)]
pub struct Lines {
    source: Source,
    read: Rc<Cell<u64>>,
}

#[derive(Debug)]
enum Source {
    Csv {
        reader: Box<csv::Reader<Counted>>,
        columns: Vec<usize>,
        record: csv::ByteRecord,
        granted: Rc<Cell<u64>>,
    },
    Json(Objects<BufReader<Counted>>),
}

/// A file that counts what was read of it, and ends with an error where more is read than was granted.
#[derive(Debug)]
struct Counted {
    file: File,
    read: Rc<Cell<u64>>,
    granted: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read.get() > self.granted.get() {
            return Err(io::Error::other("a record is longer than 64 KiB; is a quote left open?"));
        }
        let count = self.file.read(buffer)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}

impl Lines {
    /// Opens a file; its name says what it is.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let read = Rc::new(Cell::new(0));
        let granted = Rc::new(Cell::new(u64::MAX));
        let counted = Counted { file, read: Rc::clone(&read), granted: Rc::clone(&granted) };
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default().to_lowercase();
        let source = match kind.as_str() {
            "csv" => {
                csv_source(counted, granted).with_context(|| format!("cannot read {}", path.display()))?
            }
            "json" | "jsonl" | "ndjson" => Source::Json(Objects::new(BufReader::new(counted))),
            _ => bail!(
                "{} is neither .csv nor .json (or .jsonl): its name must say what it is",
                path.display()
            ),
        };
        Ok(Self { source, read })
    }

    /// How many bytes of the file were read.
    pub fn bytes(&self) -> u64 {
        self.read.get()
    }

    /// The next line; `None` at the end. An error ends the file: what follows cannot be told apart any more.
    pub fn next(&mut self) -> anyhow::Result<Option<Line>> {
        match &mut self.source {
            Source::Csv { reader, columns, record, granted } => {
                granted.set(self.read.get() + MAX_RECORD);
                if !reader.read_byte_record(record)? {
                    return Ok(None);
                }
                let number = record.position().map_or(0, csv::Position::line);
                Ok(Some(Line { number, lead: from_record(record, columns) }))
            }
            Source::Json(objects) => match objects.next() {
                Ok(next) => Ok(next.map(|(number, object)| Line { number, lead: from_object(&object) })),
                Err(Broken::Read(error)) => Err(error.into()),
                Err(Broken::Shape(line, problem)) => bail!("line {line}: {problem}"),
            },
        }
    }
}

/// Reads the header row: which of our columns each of the file's is.
fn csv_source(file: Counted, granted: Rc<Cell<u64>>) -> anyhow::Result<Source> {
    granted.set(MAX_RECORD);
    // Records of another length are our business: each is named by its line, and the next one is read.
    let mut reader =
        Box::new(csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(file));
    let header = reader.headers().context("its header row")?.clone();
    let mut columns = Vec::new();
    for name in &header {
        let Some(column) = COLUMNS.iter().position(|column| column.eq_ignore_ascii_case(name)) else {
            bail!("line 1: there is no column `{}`; there are {}", cut(name), COLUMNS.join(", "));
        };
        if columns.contains(&column) {
            bail!("line 1: the column `{name}` stands there twice");
        }
        columns.push(column);
    }
    for needed in ["campaign", "email"] {
        if !header.iter().any(|name| name.eq_ignore_ascii_case(needed)) {
            bail!(
                "line 1: the column `{needed}` is missing; the first row names the columns: {}",
                COLUMNS.join(", ")
            );
        }
    }
    Ok(Source::Csv { reader, columns, record: csv::ByteRecord::new(), granted })
}

fn from_record(record: &csv::ByteRecord, columns: &[usize]) -> Result<NewLead, String> {
    if record.len() != columns.len() {
        return Err(format!("it has {} fields where the header row has {}", record.len(), columns.len()));
    }
    let mut values = [const { None }; COLUMNS.len()];
    for (field, &column) in record.iter().zip(columns) {
        let text = std::str::from_utf8(field)
            .map_err(|_| format!("{}: it is not UTF-8", COLUMNS.get(column).unwrap_or(&"a field")))?;
        if let Some(slot) = values.get_mut(column) {
            *slot = Some(text.to_owned());
        }
    }
    lead(values)
}

fn from_object(object: &[u8]) -> Result<NewLead, String> {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(object).map_err(|error| format!("it is no JSON: {error}"))?;
    let mut values = [const { None }; COLUMNS.len()];
    for (key, value) in object {
        let Some(column) = COLUMNS.iter().position(|column| *column == key) else {
            return Err(format!("there is no key `{}`; there are {}", cut(&key), COLUMNS.join(", ")));
        };
        let text = match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text),
            _ => return Err(format!("{key}: it must be a text")),
        };
        if let Some(slot) = values.get_mut(column) {
            *slot = text;
        }
    }
    lead(values)
}

fn lead(values: [Option<String>; COLUMNS.len()]) -> Result<NewLead, String> {
    let [campaign, campaign_id, email, lead_id, name] =
        values.map(|value| value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()));
    let campaign = campaign.ok_or("campaign: it is missing")?;
    short("campaign", &campaign)?;
    let email = recipient_key(&email.ok_or("email: it is missing")?);
    let (local, domain) = email.rsplit_once('@').unwrap_or_default();
    if local.is_empty() || domain.is_empty() || email.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Err(format!("email: `{}` is no address", cut(&email)));
    }
    if email.chars().count() > EMAIL_MAX_CHARS {
        return Err(format!("email: it is longer than {EMAIL_MAX_CHARS} characters"));
    }
    if let Some(name) = &name {
        short("name", name)?;
    }
    Ok(NewLead {
        campaign,
        campaign_id: campaign_id.map(|id| uuid("campaign_id", &id)).transpose()?,
        email,
        lead_id: lead_id.map(|id| uuid("lead_id", &id)).transpose()?,
        name,
    })
}

fn short(column: &str, text: &str) -> Result<(), String> {
    if text.chars().count() > NAME_MAX_CHARS {
        return Err(format!("{column}: it is longer than {NAME_MAX_CHARS} characters"));
    }
    if text.contains(char::is_control) {
        return Err(format!("{column}: it holds control characters"));
    }
    Ok(())
}

fn uuid<T: std::str::FromStr>(column: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{column}: `{}` is no UUID", cut(text)))
}

fn cut(text: &str) -> String {
    crate::text::printable(&text.chars().take(60).collect::<String>())
}
