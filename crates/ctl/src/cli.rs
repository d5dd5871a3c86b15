//! The command line: what there is, and what its help teaches.

use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::{
    account, analytics, audit, campaign, config, dead, demo, doctor, explain, migrate, parse, queue, tenant,
    token, webhook,
};
use crate::context::Context;
use crate::failure::Exit;

/// Where the options are shown that every command takes.
const EVERYWHERE: &str = "Everywhere";

/// Operate a mailfleet: mail from IMAP mailboxes through Redis into PostgreSQL
#[derive(Debug, Parser)]
#[command(
    name = "mailfleet",
    version,
    arg_required_else_help = true,
    infer_long_args = false,
    after_help = "First steps:\n  \
        mailfleet doctor                      what is reachable, what is wrong, what to do\n  \
        mailfleet migrate                     create or update the tables\n  \
        mailfleet tenant add acme --domain acme.example\n  \
        mailfleet account add sales --tenant acme --host imap.acme.example \\\n      \
            --user sales@acme.example --password-file /run/secrets/sales\n  \
        mailfleet account check sales         log in and say what the server can do\n\n\
        Exit code: 0 all is well; 1 something failed or was found wanting; 64 wrong command line or configuration."
)]
pub struct Cli {
    /// Configuration file; without it `mailfleet.toml` of the working directory, where there is one
    #[arg(long, global = true, value_name = "FILE", env = "MAILFLEET_CONFIG", help_heading = EVERYWHERE)]
    config: Option<PathBuf>,

    /// Check the configuration, say what is wrong with it, else print what is set in it, and end
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    check_config: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Migrate(migrate::Args),
    Tenant(tenant::Args),
    Account(account::Args),
    Campaign(campaign::Args),
    Webhook(webhook::Args),
    Token(token::Args),
    Queue(queue::Args),
    Dead(dead::Args),
    Audit(audit::Args),
    Explain(explain::Args),
    Analytics(analytics::Args),
    Parse(parse::Args),
    Doctor(doctor::Args),
    Config(config::Args),
    Demo(demo::Args),
}

impl Cli {
    /// Runs what was asked for.
    pub fn run(self) -> anyhow::Result<Exit> {
        let context = Context::new(self.config);
        match self.command {
            _ if self.check_config => config::check(&context),
            None => {
                Self::command().print_help()?;
                Ok(Exit::Usage)
            }
            Some(command) => command.run(&context),
        }
    }
}

impl Command {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            // Reads files alone: no server, no configuration, no runtime.
            Self::Parse(args) => parse::run(&args),
            Self::Config(args) => config::run(context, &args),
            Self::Migrate(args) => context.block_on(migrate::run(context, &args)),
            Self::Tenant(args) => context.block_on(tenant::run(context, args)),
            Self::Account(args) => context.block_on(account::run(context, args)),
            Self::Webhook(args) => context.block_on(webhook::run(context, args)),
            Self::Token(args) => context.block_on(token::run(context, args)),
            Self::Campaign(args) => context.block_on(campaign::run(context, args)),
            Self::Queue(args) => context.block_on(queue::run(context, &args)),
            Self::Dead(args) => context.block_on(dead::run(context, args)),
            Self::Audit(args) => context.block_on(audit::run(context, &args)),
            Self::Explain(args) => context.block_on(explain::run(context, &args)),
            Self::Analytics(args) => context.block_on(analytics::run(context, &args)),
            Self::Doctor(args) => context.block_on(doctor::run(context, &args)),
            Self::Demo(args) => context.block_on(demo::run(&args)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(command: &clap::Command, path: &str, visit: &mut impl FnMut(&str, &clap::Command)) {
        visit(path, command);
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            walk(sub, &format!("{path} {}", sub.get_name()), visit);
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_every_option_says_what_it_is_for() {
        let mut seen = Vec::new();
        walk(&Cli::command(), "mailfleet", &mut |path, command| {
            assert!(command.get_about().is_some(), "{path} has no purpose");
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{path}: {} has no help", arg.get_id());
            }
            seen.push(path.to_owned());
        });
        for want in [
            "mailfleet migrate",
            "mailfleet tenant add",
            "mailfleet tenant domain add",
            "mailfleet tenant list",
            "mailfleet account add",
            "mailfleet account list",
            "mailfleet account check",
            "mailfleet webhook add",
            "mailfleet webhook list",
            "mailfleet webhook disable",
            "mailfleet token add",
            "mailfleet token list",
            "mailfleet token revoke",
            "mailfleet campaign import",
            "mailfleet campaign list",
            "mailfleet queue depth",
            "mailfleet queue pause",
            "mailfleet queue resume",
            "mailfleet queue drain",
            "mailfleet dead groups",
            "mailfleet dead discard",
            "mailfleet dead log",
            "mailfleet dead list",
            "mailfleet dead show",
            "mailfleet dead replay",
            "mailfleet audit",
            "mailfleet explain",
            "mailfleet analytics run",
            "mailfleet analytics rebuild",
            "mailfleet analytics show",
            "mailfleet parse",
            "mailfleet doctor",
            "mailfleet config check",
            "mailfleet demo",
        ] {
            assert!(seen.iter().any(|path| path == want), "{want} is missing");
        }
    }

    #[test]
    fn every_command_that_lists_speaks_json() {
        walk(&Cli::command(), "mailfleet", &mut |path, command| {
            let lists = [
                "list", "check", "depth", "pause", "resume", "drain", "groups", "show", "replay", "discard",
                "log", "audit", "explain", "parse", "doctor",
            ];
            if lists.contains(&command.get_name()) && path != "mailfleet config check" {
                assert!(command.get_arguments().any(|arg| arg.get_id() == "json"), "{path} has no --json");
            }
        });
    }

    #[test]
    fn no_option_takes_a_secret() {
        walk(&Cli::command(), "mailfleet", &mut |path, command| {
            for arg in command.get_arguments() {
                let name = arg.get_long().unwrap_or_default();
                let secret = name.contains("password") || name.contains("secret") || name.contains("token");
                assert!(!secret || name.ends_with("-file") || name.ends_with("-env"), "{path} --{name}");
            }
        });
    }

    #[test]
    fn a_mistake_is_one_line_with_its_remedy() {
        for (words, want) in [
            (&["mailfleet", "frobnicate"][..], "frobnicate"),
            (&["mailfleet", "queue", "depth", "--jsn"], "--json"),
            (&["mailfleet", "account", "add", "x"], "--host"),
            (&["mailfleet", "audit", "--older-than", "soon"], "90s"),
        ] {
            let error = Cli::try_parse_from(words).unwrap_err();
            let line = mailfleet_runtime::usage_line(&error);
            assert!(line.contains(want) && line.contains("--help") && !line.contains('\n'), "{line}");
        }
    }
}
