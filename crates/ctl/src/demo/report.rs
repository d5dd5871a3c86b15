//! What the demo shows at its end.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use mailfleet_queue::Queues;
use serde::Deserialize;

use super::Demo;
use super::campaign_report;
use super::children::Fleet;
use super::servers::{CATCH_ALL, DATABASE, SALES, Servers};
use crate::audit::{Audited, Auditor};
use crate::commands::{audit, queue};
use crate::failure::Exit;
use crate::output::{self, Rows};
use crate::text;

/// Prints what arrived and what did not. `Clean` when every mail is accounted for and the campaign stands as it must.
pub(super) async fn print(
    demo: &Demo,
    total: u64,
    accounted: u64,
    took: Duration,
    campaign_stands: bool,
) -> anyhow::Result<Exit> {
    arrived(&demo.servers)?;
    sample(&demo.servers)?;
    let rolled_up = campaign_report::print(demo).await?;
    output::line("\nQueues:")?;
    queue::print(&Queues::connect(demo.queue.config())?).await?;
    for (reason, count) in demo.store.dead_count().await? {
        output::line(format_args!("dead letters: {count} because of {reason}"))?;
    }

    output::line("\nAudit (is every message on the server accounted for):")?;
    let auditor = Auditor {
        store: demo.store.clone(),
        queue: demo.queue.clone(),
        imap: mailfleet_imap::Config::default(),
        older_than: Duration::ZERO,
        now: Demo::now(),
    };
    let audited = auditor.run(demo.watched().map(Clone::clone).to_vec()).await;
    audit::print(&audited)?;

    output::line("\nMetrics:")?;
    for member in &demo.fleet.members {
        output::line(format_args!("  {:<12} http://{}/metrics", member.name(), member.admin))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate for people; mails of a demo are few")]
    let rate = accounted as f64 / took.as_secs_f64().max(0.001);
    output::line(format_args!(
        "\n{accounted} of {total} mails accounted for, {:.1} s after the start of the fleet ({rate:.0} mails/s)",
        took.as_secs_f64()
    ))?;
    Ok(Exit::clean_if(
        accounted >= total && campaign_stands && rolled_up && audited.iter().all(Audited::is_clean),
    ))
}

/// How to look around while the demo stays up.
pub(super) fn look_around(servers: &Servers, fleet: &Fleet, config: &Path) -> anyhow::Result<()> {
    let me = std::env::current_exe().map_or_else(|_| "mailfleet".to_owned(), |me| me.display().to_string());
    output::line("\nThe fleet stays up until Ctrl-C. Look around:")?;
    let psql = servers.postgres.psql_program();
    output::line(format_args!("  rows        {} {}", psql.display(), servers.postgres.url(DATABASE)))?;
    for member in &fleet.members {
        output::line(format_args!(
            "  {:<11} http://{}/metrics, log {}",
            member.name(),
            member.admin,
            member.log.display()
        ))?;
    }
    output::line(format_args!(
        "  imap        127.0.0.1:{}, no TLS, login {SALES} or {CATCH_ALL}, password {}",
        servers.dovecot.port(),
        mailfleet_testkit::PASSWORD
    ))?;
    output::line(format_args!("  redis       {}", servers.redis.url()))?;
    output::line(format_args!("  mailfleet   {me} --config {} queue depth", config.display()))
}

/// Counts by direction and type.
fn arrived(servers: &Servers) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Row {
        direction: String,
        message_type: String,
        mails: u64,
        attachments: u64,
        bytes: u64,
    }
    let rows: Vec<Row> = query(
        servers,
        "SELECT m.direction, m.message_type, count(*) AS mails,
                coalesce(sum((SELECT count(*) FROM attachments a WHERE a.parent_storage_key = m.storage_key)), 0)::int8
                    AS attachments,
                coalesce(sum(c.raw_size_bytes), 0)::int8 AS bytes
         FROM email_messages m JOIN email_content c USING (storage_key)
         GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2",
    )?;
    output::line("What arrived:")?;
    let mut table = Rows::new(&["DIRECTION", "TYPE", "MAILS", "ATTACHMENTS", "SIZE"]);
    for row in rows {
        table.push([
            row.direction,
            row.message_type,
            row.mails.to_string(),
            row.attachments.to_string(),
            text::size(row.bytes),
        ]);
    }
    table.print("nothing")
}

/// A few rows, of different kinds.
fn sample(servers: &Servers) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Row {
        message_type: String,
        from_email: Option<String>,
        subject: Option<String>,
        attachments: u64,
        storage_key: String,
    }
    let rows: Vec<Row> = query(
        servers,
        "SELECT message_type, from_email, subject, storage_key, attachments FROM (
             SELECT m.*, row_number() OVER (PARTITION BY m.message_type ORDER BY m.storage_key) AS place,
                    (SELECT count(*) FROM attachments a WHERE a.parent_storage_key = m.storage_key) AS attachments
             FROM email_messages m) ranked
         WHERE place <= 2 ORDER BY message_type, place LIMIT 8",
    )?;
    output::line("\nSome rows of email_messages:")?;
    let mut table = Rows::new(&["TYPE", "FROM", "SUBJECT", "ATTACHMENTS", "STORAGE KEY"]);
    for row in rows {
        table.push([
            row.message_type,
            text::cut(&row.from_email.unwrap_or_default(), 30),
            text::cut(&row.subject.unwrap_or_default(), 40),
            row.attachments.to_string(),
            text::cut(&row.storage_key, 46),
        ]);
    }
    table.print("none")
}

/// Runs a query by psql and reads each row as JSON.
pub(super) fn query<T: serde::de::DeserializeOwned>(servers: &Servers, sql: &str) -> anyhow::Result<Vec<T>> {
    let answer = servers.postgres.psql(DATABASE, &format!("SELECT row_to_json(q) FROM ({sql}) q"))?;
    answer
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).with_context(|| format!("cannot read the row {line}")))
        .collect()
}
