//! What is read out of each mail of the corpus, held against a record of it: a change of a rule shows what it changes.
//!
//! `make golden` writes the records anew; read the difference before it is committed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mailfleet_mime::{Limits, json::Report, parse};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Set this to write the records.
const WRITE: &str = "MAILFLEET_GOLDEN_WRITE";
/// Characters of a text that stand in a record; of the rest its hash does.
const SHOWN: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus")
}

/// The mails by set, each with its path below the corpus.
fn sets() -> BTreeMap<PathBuf, BTreeMap<String, Vec<u8>>> {
    let mut sets = BTreeMap::new();
    for set in fs::read_dir(root()).unwrap().map(|set| set.unwrap().path()).filter(|set| set.is_dir()) {
        let files = fs::read_dir(&set).unwrap().map(|file| file.unwrap().path());
        let mails: BTreeMap<_, _> = files
            .filter(|file| file.extension().is_some_and(|extension| extension == "eml"))
            .map(|file| (file.strip_prefix(root()).unwrap().display().to_string(), fs::read(&file).unwrap()))
            .collect();
        if !mails.is_empty() {
            sets.insert(set.join("golden.jsonl"), mails);
        }
    }
    sets
}

fn record(path: &str, raw: &[u8]) -> Value {
    let mut record = serde_json::to_value(Report::new(path, &parse(raw, &Limits::default()))).unwrap();
    for field in ["text", "html"] {
        let Some(text) = record[field].as_str().filter(|text| text.chars().count() > SHOWN) else { continue };
        let begins: String = text.chars().take(SHOWN).collect();
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
        record[field] = json!({ "begins": begins, "characters": text.chars().count(), "sha256": hash });
    }
    record
}

/// The mail with these line ends instead of its own.
fn with_line_ends(raw: &[u8], end: &[u8]) -> Vec<u8> {
    let own: &[u8] = if raw.contains(&b'\n') { b"\n" } else { b"\r" };
    let lines = raw.split(|byte| [*byte] == *own).map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.collect::<Vec<_>>().join(end)
}

#[test]
fn every_mail_of_the_corpus_reads_as_its_record_says_with_lf_and_with_crlf() {
    let sets = sets();
    let count: usize = sets.values().map(BTreeMap::len).sum();
    assert!(count >= 300, "only {count} mails");
    for (golden, mails) in sets {
        let records: Vec<(String, Value)> =
            mails.iter().map(|(path, raw)| (path.clone(), record(path, raw))).collect();
        if std::env::var_os(WRITE).is_some() {
            let lines = records.iter().map(|(_, record)| format!("{record}\n"));
            fs::write(&golden, lines.collect::<String>()).unwrap();
            continue;
        }
        let text =
            fs::read_to_string(&golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
        let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let paths: Vec<_> = told.iter().map(|record| record["path"].as_str().unwrap()).collect();
        assert_eq!(paths, mails.keys().collect::<Vec<_>>(), "{}", golden.display());
        for ((path, read), mut told) in records.iter().zip(told) {
            same(path, read, &told);
            // Files keep the line ends that they were sent with: `total.rs` holds that nothing else of them differs.
            without_sizes(&mut told);
            for end in [&b"\n"[..], b"\r\n"] {
                let mut read = record(path, &with_line_ends(&mails[path], end));
                without_sizes(&mut read);
                same(path, &read, &told);
            }
        }
    }
}

fn without_sizes(record: &mut Value) {
    for file in record["attachments"].as_array_mut().unwrap() {
        file.as_object_mut().unwrap().retain(|field, _| !["size", "sha256"].contains(&field.as_str()));
    }
}

#[track_caller]
fn same(path: &str, read: &Value, told: &Value) {
    let fields = told.as_object().unwrap();
    assert_eq!(read.as_object().unwrap().keys().collect::<Vec<_>>(), fields.keys().collect::<Vec<_>>());
    for (field, told) in fields {
        assert_eq!(&read[field], told, "{field} of {path}; if it is right now, `make golden` writes it down");
    }
}
