//! The demo: the whole fleet on private servers, real mails through it, and an account of every one of them; and a small
//! campaign whose messages are answered, returned and reported on.

mod campaign;
mod campaign_report;
mod children;
mod http;
mod interrupts;
mod mails;
mod place;
mod progress;
mod report;
mod servers;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mailfleet_model::{Clock, SystemClock, Uid};
use mailfleet_queue::Queue;
use mailfleet_store::{Account, Mailbox, Store};
use mailfleet_testkit::{corpus_dir, corpus_in, free_port, missing_programs};

use self::campaign::Campaign;
use self::children::Fleet;
use self::interrupts::Interrupts;
use self::mails::{Delivery, deliver};
use self::place::Place;
use self::progress::{Progress, step};
use self::servers::{Accounts, DOMAIN, Servers};
use crate::failure::{self, Exit};

/// How long the fleet may take for its first look at the mailboxes.
const FIRST_CONTACT_WITHIN: Duration = Duration::from_secs(60);
/// How long the last mail may take after it was delivered, plus a share for each mail of a large demo.
const ARRIVAL_WITHIN: Duration = Duration::from_secs(90);
/// How often the ledger is looked at.
const POLL: Duration = Duration::from_millis(100);

/// What the demo works with once its servers run.
#[derive(Debug)]
struct Demo {
    store: Store,
    queue: Queue,
    accounts: Accounts,
    campaign: Campaign,
    config: PathBuf,
    // Dropped in this order: the fleet ends before its servers.
    fleet: Fleet,
    servers: Servers,
}

/// Runs the demo with so many mails; stays up afterwards when `keep` is set.
pub async fn run(keep: bool, count: usize) -> anyhow::Result<Exit> {
    let mails = ready(count)?;
    let mut interrupts = Interrupts::listen()?;
    let mut place = Place::create()?;
    let ended = within(&place, mails, keep, &mut interrupts).await;
    match &ended {
        Ok(End::Done(Exit::Clean) | End::Interrupted) => {}
        Ok(End::Done(_)) | Err(_) => {
            place.keep_files();
            failure::note(&format!("the logs are kept in {}", place.dir().display()));
        }
    }
    match ended? {
        End::Done(exit) => Ok(exit),
        End::Interrupted => bail!("interrupted; everything is stopped and removed"),
    }
}

/// How the demo ended, if not with an error.
enum End {
    /// It came to its end.
    Done(Exit),
    /// Ctrl-C before it did.
    Interrupted,
}

/// What must be there before anything is started: the programs and the mails.
fn ready(count: usize) -> anyhow::Result<Vec<Delivery>> {
    let missing = missing_programs();
    if !missing.is_empty() {
        let packages: Vec<&str> = missing.iter().map(|missing| missing.package).collect();
        bail!(
            "the demo needs these Debian packages: {0}; `make demo` installs them, or as root `apt-get install {0}`; to \
             use servers that run elsewhere name them in mailfleet.toml and start with `mailfleet doctor`",
            packages.join(" ")
        );
    }
    let dir = corpus()?;
    let mails = mails::choose(corpus_in(&dir)?, count, DOMAIN);
    if mails.is_empty() {
        bail!("there is no mail in {}; the demo's mails come with the source code", dir.display());
    }
    Ok(mails)
}

/// Where the mails are: below the working directory, else where this program was built.
fn corpus() -> anyhow::Result<PathBuf> {
    [PathBuf::from("tests/corpus"), corpus_dir()].into_iter().find(|dir| dir.is_dir()).with_context(|| {
        let built = corpus_dir();
        format!(
            "the demo's mails (tests/corpus) are neither here nor in {}; run it where the source code is",
            built.display()
        )
    })
}

async fn within(
    place: &Place,
    mails: Vec<Delivery>,
    keep: bool,
    interrupts: &mut Interrupts,
) -> anyhow::Result<End> {
    step(&format!("starting Redis, PostgreSQL and Dovecot in {}", place.dir().display()));
    let dir = place.dir().to_path_buf();
    let servers = tokio::task::spawn_blocking(move || Servers::start(&dir)).await??;
    let mut demo = Demo::prepare(servers, place).await?;
    // An interrupt drops the work at its next wait; what it started belongs to `demo` and is stopped below.
    let worked = tokio::select! {
        worked = demo.work(place, mails) => worked.map(Some),
        () = interrupts.next() => Ok(None),
    };
    if keep && let Ok(Some(_)) = &worked {
        report::look_around(&demo.servers, &demo.fleet, &demo.config)?;
        interrupts.next().await;
    }
    step("stopping the fleet and the servers");
    let bad = demo.stop().await?;
    match worked? {
        None => Ok(End::Interrupted),
        Some(_) if !bad.is_empty() => bail!("{}", bad.join("; ")),
        Some(exit) => Ok(End::Done(exit)),
    }
}

impl Demo {
    async fn prepare(servers: Servers, place: &Place) -> anyhow::Result<Self> {
        let door = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let config = servers.write_config(place.dir(), door)?;
        let args = mailfleet_runtime::Args { config: Some(config.clone()), check_config: false };
        let loaded = mailfleet_runtime::load_config::<crate::config::Config>(args.config.as_deref())?;
        let store = Store::connect(&loaded.postgres)?;
        store.migrate().await.context("migrate")?;
        let accounts = servers::populate(&store, &servers.dovecot, place.dir()).await?;
        let tenant = accounts.sales.tenant.context("the account for sales has no tenant")?;
        let campaign = Campaign::prepare(&store, tenant, place.dir(), door).await.context("campaign")?;
        let queue = Queue::connect(&loaded.queue)?;
        Ok(Self { store, queue, accounts, campaign, config, fleet: Fleet::default(), servers })
    }

    /// Delivers, waits, shows. `Clean` when every mail is accounted for and the campaign stands as it must.
    async fn work(&mut self, place: &Place, mails: Vec<Delivery>) -> anyhow::Result<Exit> {
        let mut live = mails;
        let returned = campaign::mails();
        let total = (live.len() + returned.len()) as u64;
        // A third stands in the mailboxes before the fleet first sees them: backfill, on the low lane.
        let history: Vec<Delivery> = live.drain(..live.len() / 3).collect();
        step(&format!(
            "delivering {} mails before the fleet starts, {} while it runs",
            history.len(),
            live.len() + returned.len()
        ));
        deliver(Arc::clone(&self.servers.dovecot), history).await?;

        step("starting one producer and two consumers");
        let began = Instant::now();
        for (program, name) in [
            ("mailfleet-producer", "producer"),
            ("mailfleet-consumer", "consumer-1"),
            ("mailfleet-consumer", "consumer-2"),
        ] {
            self.fleet.start(program, name, place.dir(), &self.config)?;
        }
        let mut progress = Progress::new(total);
        let mailboxes = self.first_contact(&mut progress).await?;
        self.campaign.send(&self.accounts.sales.name).await?;
        self.campaign.report(Self::now().timestamp()).await?;
        live.extend(returned);
        let delivery = tokio::spawn(deliver(Arc::clone(&self.servers.dovecot), live));
        let accounted = self.arrival(&mailboxes, total, delivery, &mut progress).await;
        progress.finish();
        let took = began.elapsed();
        let accounted = accounted?;
        let settled = self.campaign_settles().await?;
        report::print(self, total, accounted, took, settled).await
    }

    /// Waits until the producer has looked at both mailboxes once.
    async fn first_contact(&self, progress: &mut Progress) -> anyhow::Result<Vec<Mailbox>> {
        let deadline = Instant::now() + FIRST_CONTACT_WITHIN;
        loop {
            self.fleet.check()?;
            let mut met = Vec::new();
            for account in self.watched() {
                let mailbox = self.store.mailbox(account.id, "INBOX").await?;
                if mailbox.uidvalidity.is_some() {
                    met.push(mailbox);
                }
            }
            if met.len() == self.watched().len() {
                return Ok(met);
            }
            if Instant::now() > deadline {
                self.fleet.show_last_words();
                bail!(
                    "the producer has not looked at the mailboxes within {} s",
                    FIRST_CONTACT_WITHIN.as_secs()
                );
            }
            progress.set(self.accounted(&met).await?, "first look");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until all mails have an outcome, or time is up; returns how many have one.
    async fn arrival(
        &self,
        mailboxes: &[Mailbox],
        total: u64,
        delivery: tokio::task::JoinHandle<anyhow::Result<()>>,
        progress: &mut Progress,
    ) -> anyhow::Result<u64> {
        let mut delivery = Some(delivery);
        let deadline =
            Instant::now() + ARRIVAL_WITHIN + Duration::from_millis(50) * u32::try_from(total).unwrap_or(0);
        loop {
            self.fleet.check()?;
            let accounted = self.accounted(mailboxes).await?;
            if let Some(finished) = delivery.take_if(|delivery| delivery.is_finished()) {
                finished.await??;
            }
            progress.set(accounted, if delivery.is_some() { "delivering" } else { "arriving" });
            if accounted >= total && delivery.is_none() {
                return Ok(accounted);
            }
            if Instant::now() > deadline {
                progress.finish();
                self.fleet.show_last_words();
                return Ok(accounted);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the campaign's messages have the status that what came back gives them; whether they have.
    async fn campaign_settles(&self) -> anyhow::Result<bool> {
        let deadline = Instant::now() + campaign::SETTLED_WITHIN;
        while !campaign_report::stands(&self.servers)? {
            if Instant::now() > deadline {
                self.fleet.show_last_words();
                return Ok(false);
            }
            self.fleet.check()?;
            tokio::time::sleep(POLL).await;
        }
        Ok(true)
    }

    /// How many messages of the mailboxes have an outcome.
    async fn accounted(&self, mailboxes: &[Mailbox]) -> anyhow::Result<u64> {
        let (Some(first), Some(last)) = (Uid::new(1), Uid::new(u32::MAX)) else { return Ok(0) };
        let mut accounted = 0;
        for mailbox in mailboxes {
            if let Some(epoch) = mailbox.uidvalidity {
                accounted += self.store.outcomes(mailbox.id, epoch, first, last).await?.len() as u64;
            }
        }
        Ok(accounted)
    }

    fn watched(&self) -> [&Account; 2] {
        [&self.accounts.sales, &self.accounts.catch_all]
    }

    /// Stops the fleet, then the servers; says which process did not end well.
    async fn stop(self) -> anyhow::Result<Vec<String>> {
        let Self { store, queue, mut fleet, servers, .. } = self;
        drop((store, queue));
        // Waits for other processes, so that it is none of the async runtime's threads that does.
        Ok(tokio::task::spawn_blocking(move || {
            let bad = fleet.stop();
            drop(servers);
            bad
        })
        .await?)
    }

    /// Now.
    fn now() -> chrono::DateTime<chrono::Utc> {
        SystemClock.now()
    }
}
