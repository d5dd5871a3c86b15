//! `mailfleet demo`: the whole fleet on private servers, with real mails.

use crate::failure::Exit;

/// Run the whole fleet on this machine with private servers and about 60 real mails, and show what arrived
///
/// Starts Redis, PostgreSQL and Dovecot on free ports under .local/, one producer and two consumers, delivers mails over
/// IMAP and waits until each is accounted for. Ends by itself and leaves nothing running; exit code 1 when a mail is
/// unaccounted for. Needs the Debian packages redis-server, postgresql and dovecot-imapd (`make demo` installs them).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Stay up afterwards until Ctrl-C, and say how to look around
    #[arg(long)]
    pub keep: bool,
    /// How many mails to deliver
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=2000))]
    pub mails: u16,
}

/// Runs the demo.
pub async fn run(args: &Args) -> anyhow::Result<Exit> {
    crate::demo::run(args.keep, usize::from(args.mails)).await
}
