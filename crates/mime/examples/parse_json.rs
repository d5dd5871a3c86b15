//! Prints what mailfleet reads out of each file, one JSON object a line: `parse_json FILE…`.

use mailfleet_mime::{Limits, json::Report, parse};

fn main() {
    let limits = Limits::default();
    for path in std::env::args().skip(1) {
        let report = match std::fs::read(&path) {
            Ok(raw) => Report::new(&path, &parse(&raw, &limits)),
            Err(error) => Report::failed(&path, &error.to_string()),
        };
        println!("{}", report.to_line());
    }
}
