//! Each row of a table is taught by a mail, and needed to read it.
//!
//! The mails stand in `tests/corpus/rows`, a file for each module, whose head says how a line is read.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::taken_out::{place, without};
use crate::bounce::rules::{Rule, codes, vendors};
use crate::bounce::{marks, others, remote, report, transcript};
use crate::kind::{author, auto_reply, intent, receipt, refused_post, subject, undelivered};
use crate::{Limits, Recipient, parse};

/// A row of a table, as its fixtures name it, and where it stands.
struct Row {
    module: &'static str,
    table: &'static str,
    words: String,
    place: usize,
}

/// How a row is named: by its words, or by the range of its numbers.
trait Named {
    fn name(&self) -> String;
}

impl Named for &str {
    fn name(&self) -> String {
        (*self).to_owned()
    }
}

impl<T> Named for (&str, T) {
    fn name(&self) -> String {
        self.0.to_owned()
    }
}

impl Named for Rule {
    fn name(&self) -> String {
        self.words.join(" ")
    }
}

impl<T> Named for (u16, u16, T) {
    fn name(&self) -> String {
        if self.0 == self.1 { self.0.to_string() } else { format!("{}-{}", self.0, self.1) }
    }
}

fn named<T: Named>(module: &'static str, table: &'static str, rows: &'static [T]) -> Vec<Row> {
    rows.iter().map(|row| Row { module, table, words: row.name(), place: place(row) }).collect()
}

/// The words in a row of a table are rows too.
fn inner(
    module: &'static str,
    table: &'static str,
    rows: &'static [(&'static str, &'static [&'static str])],
) -> Vec<Row> {
    let alone = rows.iter().filter(|(_, words)| words.is_empty());
    let alone = alone.map(|row| Row { module, table, words: row.name(), place: place(row) });
    let inner = rows.iter().flat_map(|(outer, words)| {
        words.iter().map(move |word| Row {
            module,
            table,
            words: format!("{} {word}", outer.name()),
            place: place(word),
        })
    });
    inner.chain(alone).collect()
}

macro_rules! tables {
    ($($read:ident $module:ident $table:ident,)*) => {
        fn rows() -> Vec<Row> {
            [$($read(stringify!($module), stringify!($table), $module::$table),)*].into_iter().flatten().collect()
        }
    };
}

tables! {
    named codes CODES,
    named codes FRENCH,
    named codes SPECTRUM,
    named codes EXCHANGE_ONLINE,
    named vendors POWERMTA,
    named marks RETURNED_BELOW,
    named marks FIELDS,
    named marks LISTED_BELOW,
    named marks OTHERS,
    named marks ADDRESSEES,
    named marks ORIGINALS,
    named marks MACHINES,
    named marks LATE,
    named marks LATE_SUBJECTS,
    named marks EACH_DELIVERED,
    named marks DELIVERED,
    named marks UNDELIVERED,
    named transcript WORDS,
    named transcript ARROWS,
    named transcript COMMANDS,
    named remote BEFORE,
    named others HELPERS,
    named report RECIPIENTS,
    named subject SUBJECTS,
    named subject ANSWERS,
    named undelivered RETURNED,
    named undelivered SESSIONS,
    named refused_post REFUSED_POST,
    named refused_post RETURNED_POST,
    named refused_post OWNERS,
    named author DAEMONS,
    named author DAEMON_NAMES,
    named author TITLES,
    named author PROGRAMS,
    named author GREETINGS,
    named author FORWARDED,
    named author SENT,
    inner auto_reply FIELDS,
    named auto_reply SUBJECTS,
    named auto_reply AMBIGUOUS,
    named auto_reply ABSENT,
    named intent METHODS,
    named intent SUBJECTS,
    named intent WORDS,
    named intent BEHIND,
    named intent LEADS_IN,
    inner receipt READ,
    named receipt COMPLAINTS,
}

/// What is read of a mail that a fixture is about; nothing of what a mail does not have.
fn read(raw: &[u8], aspect: &str) -> String {
    let mail = parse(raw, &Limits::default()).mail;
    let recipients = mail.bounce.iter().flat_map(|bounce| &bounce.recipients);
    let all = |of: fn(&Recipient) -> Option<&str>| recipients.filter_map(of).collect::<Vec<_>>().join(", ");
    match aspect {
        "kind" => mail.message_type.as_str().to_owned(),
        "recipients" => all(|recipient| Some(&recipient.address)),
        "original" => all(|recipient| recipient.original.as_deref()),
        "action" => all(|recipient| recipient.action.as_deref()),
        "host" => all(|recipient| recipient.remote_mta.as_deref()),
        "reason" => all(|recipient| Some(recipient.reason.as_str())),
        "returned" => {
            let headers = mail.bounce.iter().flat_map(|bounce| &bounce.original.headers);
            headers.filter(|(name, _)| name == "subject").map(|(_, subject)| subject.as_str()).collect()
        }
        _ => panic!("no aspect of a mail: {aspect}"),
    }
}

/// A line of `tests/corpus/rows`.
struct Fixture {
    place: String,
    module: String,
    table: String,
    row: String,
    aspect: String,
    value: String,
    mail: Vec<u8>,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus")
}

fn fixtures() -> Vec<Fixture> {
    let files = std::fs::read_dir(corpus().join("rows")).unwrap().flatten();
    files.flat_map(|file| fixtures_in(&file.path())).collect()
}

fn fixtures_in(file: &Path) -> Vec<Fixture> {
    let module = file.file_stem().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let mut frames: HashMap<&str, &str> = HashMap::new();
    let mut fixtures = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let place = format!("{}:{}", file.display(), number + 1);
        let (table, row, who, means, words) = match line.split('\t').collect::<Vec<_>>()[..] {
            ["frame", table, frame] => {
                frames.insert(table, frame);
                continue;
            }
            [table, row, who, means, words] => (table, row, who, means, words),
            _ => panic!(
                "{place}: not table, row, who writes so, what is read, and its words, with tabs between them"
            ),
        };
        assert!(!who.is_empty(), "{place}: nobody writes so");
        let (aspect, value) = means.split_once(' ').unwrap_or_else(|| panic!("{place}: {means}"));
        let mail = mail(words, frames.get(table).copied(), &place);
        let [module, table, row, aspect, value] = [module, table, row, aspect, value].map(str::to_owned);
        fixtures.push(Fixture { place, module, table, row, aspect, value, mail });
    }
    fixtures
}

/// The mail of a fixture: its words in the frame of their table, in which nothing but them decides.
fn mail(words: &str, frame: Option<&str>, place: &str) -> Vec<u8> {
    if let Some(name) = words.strip_prefix("mail:") {
        let file = corpus().join(format!("{name}.eml"));
        return std::fs::read(&file).unwrap_or_else(|error| panic!("{place}: {}: {error}", file.display()));
    }
    let is_whole = words.starts_with("From: ") && words.contains("\\n\\n");
    let frame = frame.filter(|_| !is_whole).unwrap_or("{}");
    frame.replace("{}", words).replace("\\n", "\n").into_bytes()
}

#[test]
fn each_row_is_taught_by_a_mail_that_is_read_otherwise_without_it() {
    let rows = rows();
    let fixtures = fixtures();
    let mut wrong = Vec::new();
    let mut taught = HashSet::new();
    for fixture in &fixtures {
        let number = rows.iter().position(|row| {
            (row.module, row.table, row.words.as_str())
                == (fixture.module.as_str(), fixture.table.as_str(), fixture.row.as_str())
        });
        let Some((number, row)) = number.and_then(|number| Some((number, rows.get(number)?))) else {
            wrong.push(format!("{}: there is no row {}", fixture.place, fixture.row));
            continue;
        };
        let found = read(&fixture.mail, &fixture.aspect);
        if found != fixture.value {
            wrong.push(format!("{}: {} is {found:?}", fixture.place, fixture.aspect));
        } else if without(row.place, || read(&fixture.mail, &fixture.aspect)) == fixture.value {
            wrong.push(format!("{}: it is read so without the row too", fixture.place));
        } else {
            taught.insert(number);
        }
    }
    for (_, row) in rows.iter().enumerate().filter(|(number, _)| !taught.contains(number)) {
        wrong.push(format!("no mail teaches {}::{} {:?}", row.module, row.table, row.words));
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Tables that hold others, or have a test of their own.
const ELSEWHERE: &[(&str, &str)] =
    &[("vendors", "PROVIDERS"), ("statuses", "STATUSES"), ("statuses", "SUBJECTS")];

#[test]
fn no_table_of_bounces_and_kinds_is_left_out() {
    let listed: HashSet<(&str, &str)> = rows().iter().map(|row| (row.module, row.table)).collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![source.join("bounce"), source.join("kind")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap().flatten().map(|file| file.path()) {
            if file.is_dir() {
                folders.push(file);
                continue;
            }
            let module = file.file_stem().unwrap().to_str().unwrap();
            let text = std::fs::read_to_string(&file).unwrap();
            for line in text.lines().map(|line| line.trim_start_matches("pub(crate) ")) {
                let table = ["static ", "const "].iter().find_map(|begin| line.strip_prefix(begin));
                let Some((name, rest)) = table.and_then(|table| table.split_once(": &[")) else { continue };
                if rest.starts_with("Rule]") || ELSEWHERE.contains(&(module, name)) {
                    continue;
                }
                seen += 1;
                assert!(listed.contains(&(module, name)), "{}: {name} is in no test", file.display());
            }
        }
    }
    assert!(seen > 40, "{seen}");
}
