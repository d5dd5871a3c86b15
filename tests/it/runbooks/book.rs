//! The runbooks as data, and a person on call who follows them to the letter.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mailfleet_testkit::{Finished, Process, binary_path, eventually_blocking};
use mailfleet_tests::{Fleet, metrics};

use crate::deploy::logins;

/// The longest that a command, or the end of a trouble, may take.
const SOON: Duration = Duration::from_secs(20);

/// The parts of each section, in their order.
pub const PARTS: [&str; 5] = ["Means.", "Users notice.", "Look.", "Do.", "Over."];

/// What to do about a command that does not do what its runbook says.
const HINT: &str = "A runbook is walked on a healthy fleet, unless `TROUBLES` in tests/it/runbooks.rs names its alert and a \
                    test makes the trouble.";

/// One command of a runbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The line without its remark.
    pub line: String,
    /// The exit code that the remark names, else 0.
    pub code: i32,
}

/// What the runbooks say about one alert.
#[derive(Debug, Default)]
pub struct Section {
    /// The file's name.
    pub file: String,
    /// Every part that the section has, with its commands.
    pub parts: BTreeMap<&'static str, Vec<Command>>,
    /// How many blocks for a cluster it has.
    pub console: usize,
}

/// The directory of the runbooks.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/runbooks").canonicalize().unwrap()
}

/// Every section by its alert. Panics where a runbook is not built as they all are.
pub fn sections() -> BTreeMap<String, Section> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut sections = text.split("\n## ");
        let preface = sections.next().unwrap_or_default();
        assert!(!preface.contains("```sh"), "{file}: commands outside a section are not run");
        for section in sections.filter(|_| file != "README.md") {
            let (alert, body) = section.split_once('\n').unwrap();
            let read = read(&format!("{file}: {alert}"), file.clone(), body);
            assert!(all.insert(alert.trim().to_owned(), read).is_none(), "{file}: {alert} stands twice");
        }
    }
    all
}

fn read(place: &str, file: String, body: &str) -> Section {
    let mut section = Section { file, ..Section::default() };
    let (mut part, mut block) = (None, None);
    for line in body.lines() {
        match (block, line.strip_prefix("```")) {
            (None, Some("sh")) => block = Some("sh"),
            (None, Some("console")) => {
                block = Some("console");
                section.console += 1;
            }
            (None, Some(language)) => panic!("{place}: a block of {language:?}; there is sh and console"),
            (Some(_), Some(_)) => block = None,
            (Some("sh"), None) => {
                let part = part.unwrap_or_else(|| panic!("{place}: a block before the first part"));
                section.parts.entry(part).or_default().push(command(line));
            }
            (Some(_), None) => assert!(line.starts_with("kubectl "), "{place}: can be run here: {line}"),
            (None, None) => {
                if let Some(next) = PARTS.into_iter().find(|part| line.starts_with(&format!("**{part}**"))) {
                    assert!(!section.parts.contains_key(next), "{place}: {next} stands twice");
                    section.parts.insert(next, Vec::new());
                    part = Some(next);
                }
            }
        }
    }
    section
}

fn command(line: &str) -> Command {
    match line.split_once(" # exits with ") {
        Some((line, code)) => Command { line: line.to_owned(), code: code.trim().parse().unwrap() },
        None => Command { line: line.to_owned(), code: 0 },
    }
}

/// A person on call with a shell that has the fleet's configuration.
pub struct OnCall<'a> {
    fleet: &'a Fleet,
    sections: BTreeMap<String, Section>,
    variables: BTreeMap<&'static str, String>,
    walked: BTreeSet<(String, &'static str)>,
}

impl<'a> OnCall<'a> {
    /// With the logins that `deploy/runbooks/README.md` speaks of. The fleet must be one of
    /// [`logins::fleet_of_two_logins`]: what a superuser sees and may do tells nothing of the others.
    pub fn at(fleet: &'a Fleet) -> Self {
        let urls = [
            ("REDIS_URL", fleet.redis.url()),
            ("POSTGRES_URL", logins::url(fleet, logins::FLEET)),
            ("POSTGRES_OWNER_URL", logins::url(fleet, logins::OWNER)),
            ("POSTGRES_ADMIN_URL", fleet.postgres.url("fleet")),
        ];
        Self { fleet, sections: sections(), variables: BTreeMap::from(urls), walked: BTreeSet::new() }
    }

    /// Puts in a variable of the runbooks.
    pub fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.variables.insert(variable, value.into());
    }

    /// `PRODUCER` or `CONSUMER` is from now on this process.
    pub fn meet(&mut self, variable: &'static str, process: &Process) {
        self.set(variable, format!("http://{}", metrics::admin_address(process)));
    }

    /// Runs one line in the shell.
    pub fn shell(&self, line: &str) -> Finished {
        let programs = binary_path("mailfleet").unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}:/usr/bin:/bin", programs.parent().unwrap().display());
        let mut shell = Process::program(Path::new("/bin/sh")).args(["-euc", line]).env("PATH", path);
        shell = shell.env("MAILFLEET_CONFIG", self.fleet.config()).current_dir(self.fleet.dir());
        for (name, value) in &self.variables {
            shell = shell.env(name, value);
        }
        shell.named(line).finish(SOON).unwrap()
    }

    /// Runs the commands of a part, each once; they must exit as the runbook says. What they printed.
    pub fn walk(&mut self, alert: &str, part: &'static str) -> Vec<String> {
        let run = |command: &Command| {
            let finished = self.shell(&command.line);
            assert_eq!(
                finished.status.code(),
                Some(command.code),
                "{alert}, {part} {}\n{HINT}",
                told(command, &finished)
            );
            finished.stdout
        };
        let printed = self.commands(alert, part).iter().map(run).collect();
        self.walked.insert((alert.to_owned(), part));
        printed
    }

    /// Repeats the commands that show the end until each exits as the runbook says. What they printed at last.
    pub fn until_over(&mut self, alert: &str) -> Vec<String> {
        let run = |command: &Command| {
            let mut last = String::new();
            let until = Instant::now() + SOON;
            eventually_blocking(&format!("{alert} is over: {}", command.line), SOON + SOON, || {
                let finished = self.shell(&command.line);
                last = told(command, &finished);
                let over = finished.status.code() == Some(command.code);
                assert!(over || Instant::now() < until, "{alert} is not over: {last}\n{HINT}");
                over.then_some(finished.stdout)
            })
        };
        let printed = self.commands(alert, "Over.").iter().map(run).collect();
        self.walked.insert((alert.to_owned(), "Over."));
        printed
    }

    /// Asserts that the commands that show the end show that it is not there yet.
    pub fn is_not_over(&self, alert: &str) {
        let over = |command: &Command| self.shell(&command.line).status.code() == Some(command.code);
        assert!(!self.commands(alert, "Over.").iter().all(over), "{alert} seems to be over");
    }

    fn commands(&self, alert: &str, part: &str) -> Vec<Command> {
        self.sections[alert].parts[part].clone()
    }

    /// Asserts that every command of the runbooks of these alerts was run.
    pub fn done_with(self, alerts: &[&str]) {
        for alert in alerts {
            for (part, commands) in &self.sections[*alert].parts {
                let walked = self.walked.contains(&((*alert).to_owned(), *part));
                assert!(walked || commands.is_empty(), "{alert}: {part} was not walked");
            }
        }
    }
}

fn told(command: &Command, finished: &Finished) -> String {
    format!("`{}`: {}\n{}\n{}", command.line, finished.status, finished.stdout, finished.stderr)
}
