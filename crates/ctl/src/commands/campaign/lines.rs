//! The lines of an import: CSV with a header row, or JSON objects with the same names.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, anyhow, bail};
use mailfleet_model::{ADDRESS_MAX_CHARS, address_key};
use mailfleet_store::NewLead;

use super::bytes::Broken;
use super::objects::Objects;
use super::records::{Record, Records};

/// The columns, which are the keys in JSON.
const COLUMNS: [&str; 5] = ["campaign", "campaign_id", "email", "lead_id", "name"];
/// Longest campaign name and lead name, in characters.
const NAME_MAX_CHARS: usize = 200;

/// A line: what it says, or what is wrong with it.
#[derive(Debug)]
pub struct Line {
    /// Its number in the file, from 1; of what runs over several the one it begins on.
    pub number: u64,
    /// How many lines of a CSV file it is; of JSON each object is one.
    pub count: u64,
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
    Csv { records: Records<BufReader<Counted>>, columns: Vec<usize> },
    Json(Objects<BufReader<Counted>>),
}

/// A file that counts what was read of it.
#[derive(Debug)]
struct Counted {
    file: File,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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
        let reader = BufReader::new(Counted { file, read: Rc::clone(&read) });
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default().to_lowercase();
        let source = match kind.as_str() {
            "csv" => csv_source(reader).with_context(|| format!("cannot read {}", path.display()))?,
            "json" | "jsonl" | "ndjson" => Source::Json(Objects::new(reader)),
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
        let line = match &mut self.source {
            Source::Csv { records, columns } => records.next().map_err(broken)?.map(|record| Line {
                number: record.line,
                count: record.last_line - record.line + 1,
                lead: from_record(&record, columns),
            }),
            Source::Json(objects) => objects.next().map_err(broken)?.map(|(number, object)| Line {
                number,
                count: 1,
                lead: from_object(&object),
            }),
        };
        Ok(line)
    }
}

fn broken(broken: Broken) -> anyhow::Error {
    match broken {
        Broken::Read(error) => error.into(),
        Broken::Shape(line, problem) => anyhow!("line {line}: {problem}"),
    }
}

/// Reads the header row: which of our columns each of the file's is.
fn csv_source(reader: BufReader<Counted>) -> anyhow::Result<Source> {
    let mut records = Records::new(reader)?;
    let header = records.next().map_err(broken)?.unwrap_or_default();
    // An empty file lacks its columns on its first line.
    let line = header.line.max(1);
    let mut columns = Vec::new();
    for name in header.fields() {
        let name = String::from_utf8_lossy(name);
        let name = name.trim();
        let Some(column) = COLUMNS.iter().position(|column| column.eq_ignore_ascii_case(name)) else {
            bail!("line {line}: there is no column `{}`; there are {}", cut(name), COLUMNS.join(", "));
        };
        if columns.contains(&column) {
            bail!("line {line}: the column `{name}` stands there twice");
        }
        columns.push(column);
    }
    for needed in ["campaign", "email"] {
        if !columns.iter().any(|&column| COLUMNS.get(column) == Some(&needed)) {
            bail!(
                "line {line}: the column `{needed}` is missing; the first row names the columns: {}",
                COLUMNS.join(", ")
            );
        }
    }
    Ok(Source::Csv { records, columns })
}

fn from_record(record: &Record, columns: &[usize]) -> Result<NewLead, String> {
    // Nothing that we take holds a line break: who opened a quote by mistake learns here which lines went with it.
    if record.last_line > record.line {
        return Err(format!(
            "a quoted field runs from here to line {}: there is a line break in it, or a quote is left open",
            record.last_line
        ));
    }
    if record.stray {
        return Err(
            "text stands behind a closing quote: write two quotes where the text holds one".to_owned()
        );
    }
    if record.len() != columns.len() {
        return Err(format!("it has {} fields where the header row has {}", record.len(), columns.len()));
    }
    let mut values = [const { None }; COLUMNS.len()];
    for (field, &column) in record.fields().zip(columns) {
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
    let email = email.ok_or("email: it is missing")?;
    let email = address_key(&email).ok_or_else(|| {
        format!(
            "email: `{}` is no bare address such as ann@example.com, of at most {ADDRESS_MAX_CHARS} characters",
            cut(&email)
        )
    })?;
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
