//! The command line: mistakes as one line with [`EXIT_CONFIG`], the same for every binary.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::run::{EXIT_CONFIG, fail};

/// Reads the command line. On `Err` everything has been said (help, version, or what is wrong) and the code is how
/// the process must end.
pub fn parse<P: clap::Parser>(name: &str) -> Result<P, ExitCode> {
    P::try_parse().map_err(|error| answer(name, &error))
}

/// Prints help or version, or a mistake as one line. A reader that went away is no error.
fn answer(name: &str, error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(EXIT_CONFIG)
        }
        _ => fail(name, &usage_line(error), EXIT_CONFIG),
    }
}

/// clap's message as one line: the first paragraph, with its hint, without its usage block.
#[must_use]
pub fn usage_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let said =
        text.split("Usage:").next().unwrap_or(&text).replace("For more information, try '--help'.", "");
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = printable(line.strip_prefix("error: ").unwrap_or(&line));
    format!("{} (`--help` says what there is)", line.trim_end_matches('.'))
}

/// One line that cannot move the cursor, colour the screen or reverse the text: line ends and tabs become spaces,
/// other control characters and bidirectional overrides `·`.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' => ' ',
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => '·',
            c if c.is_control() => '·',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::Args;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        _args: Args,
    }

    #[test]
    fn a_mistake_is_one_line_with_its_remedy() {
        for (word, want) in
            [("--confg", "--config"), ("start", "start"), ("--config", "FILE"), ("a\u{202e}b", "·")]
        {
            let line = usage_line(&Cli::try_parse_from(["x", word]).unwrap_err());
            assert!(line.contains(want) && line.contains("--help"), "{line}");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
}
