//! Tables for people, one JSON object a line for scripts, and no panic when the reader goes away.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use clap::Args;
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::text;

/// How a listing command prints.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArgs {
    /// Print one JSON object a line, for scripts
    #[arg(long)]
    pub json: bool,
}

/// Standard output could not be written.
#[derive(Debug)]
pub struct StdoutError(pub io::Error);

impl fmt::Display for StdoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write to standard output: {}", self.0)
    }
}

impl std::error::Error for StdoutError {}

/// Writes one line to standard output.
pub fn line(text: impl fmt::Display) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{text}").map_err(|e| StdoutError(e).into())
}

/// Writes one JSON object as a line.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?)
}

/// comfy-table's places for characters, of which only the line under the header is set.
const HEADER_RULE: &str = "     ──            ";

/// Rows under headings. Cells are made fit for a terminal here, so that no caller can forget it.
#[derive(Debug)]
pub struct Rows {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    /// An empty table.
    pub fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(|cell| text::printable(&cell)).collect());
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The table: with a line under its headings on a terminal, plain columns elsewhere.
    pub fn render(&self, terminal: bool) -> String {
        let mut table = Table::new();
        table.load_preset(if terminal { HEADER_RULE } else { presets::NOTHING });
        table.set_header(&self.headings).add_rows(&self.rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    /// Prints the table, or `nothing` where there is no row.
    pub fn print(&self, nothing: &str) -> anyhow::Result<()> {
        if self.is_empty() { line(nothing) } else { line(self.render(io::stdout().is_terminal())) }
    }
}

/// A number, or a word where it is not known: unknown is never shown as zero.
pub fn known(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |n| n.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_plain_where_no_terminal_reads_it() {
        let mut rows = Rows::new(&["LANE", "WAITING"]);
        rows.push(["high".into(), "3\u{1b}[0m".into()]);
        let plain = rows.render(false);
        assert!(plain.is_ascii() || plain.contains('·'), "{plain}");
        assert!(!plain.contains('\u{1b}') && !plain.contains('─'), "{plain}");
        assert_eq!(plain.lines().count(), 2);
        rows.push(["low".into(), "0".into()]);
        let drawn = rows.render(true);
        let ruled: Vec<bool> = drawn.lines().map(|line| line.contains('─')).collect();
        assert_eq!(ruled, [false, true, false, false], "one line, under the headings:\n{drawn}");
    }

    #[test]
    fn unknown_is_a_word_and_not_a_zero() {
        assert_eq!(known(None), "unknown");
        assert_eq!(known(Some(0)), "0");
    }
}
