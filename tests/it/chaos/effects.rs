//! What took effect, read from the database.

use std::collections::BTreeMap;

use mailfleet_tests::Fleet;

use super::checker::{Effect, Found, Item};

/// Inbound mails: number, account, how often, and whether text and attachments are whole.
const MAILS: &str = "\
    SELECT substr(m.subject, 8), a.name, count(*), bool_and( \
        c.content_text LIKE '%This is mail ' || substr(m.subject, 8) || '.%' AND \
        (SELECT count(*) FROM attachments t WHERE t.parent_storage_key = m.storage_key) = \
            CASE WHEN substr(m.subject, 8)::int % 5 = 0 THEN 1 ELSE 0 END) \
    FROM email_messages m JOIN email_content c USING (storage_key) \
    JOIN mailfleet.email_accounts a ON a.id = m.email_account_id \
    WHERE m.direction = 'inbound' GROUP BY 1, 2";

/// Messages that we sent: number, how often, and whether each has its one recipient, delivered.
const SENT: &str = "\
    SELECT substr(m.subject, 7), count(*), bool_and(m.status = 'delivered' AND \
        (SELECT array_agg(r.status::int) = ARRAY[3] FROM mailfleet.message_recipients r WHERE r.storage_key = m.storage_key)) \
    FROM email_messages m WHERE m.direction = 'outbound' GROUP BY 1";

/// Events: number of their message, kind, how often, and whether each belongs to its message.
const EVENTS: &str = "\
    SELECT substring(message_id from 'sent-([0-9]+)@'), kind, count(*), bool_and(storage_key IS NOT NULL) \
    FROM mailfleet.delivery_events GROUP BY 1, 2";

/// Dead letters, whatever became of them.
const DEAD: &str = "\
    SELECT coalesce(substring(d.message_id from '^<?(stray-[0-9]+|[0-9]+)@run.example'), ''), coalesce(a.name, ''), \
        d.job_id, d.reason \
    FROM mailfleet.dead_letters d LEFT JOIN mailfleet.email_accounts a ON a.id = d.account_id";

/// The roll-ups, summed over their days.
const TOTALS: &str = "\
    SELECT 'tenant ' || t.name, received, sent, delivered, opened \
    FROM analytics.tenant JOIN mailfleet.tenants t ON t.id = tenant_id \
    UNION ALL SELECT 'mailbox ' || a.name, received, sent, delivered, opened \
    FROM analytics.mailbox JOIN mailfleet.email_accounts a ON a.id = account_id";

/// Reads all of it.
pub fn found(fleet: &Fleet) -> Found {
    let mut found = Found::default();
    for row in rows(fleet, MAILS) {
        let item = number(&row[0]).map(|n| Item::Mail(n, row[1].clone()));
        add(&mut found.effects, item, &row, 2);
    }
    for row in rows(fleet, SENT) {
        add(&mut found.effects, number(&row[0]).map(Item::Sent), &row, 1);
    }
    for row in rows(fleet, EVENTS) {
        let item = number(&row[0]).map(|n| Item::Event(n, row[1].clone()));
        add(&mut found.effects, item, &row, 2);
    }
    for row in rows(fleet, DEAD) {
        let item = match (row[0].strip_prefix("stray-").and_then(number), number(&row[0])) {
            (Some(n), _) => Item::Stray(n),
            (None, Some(n)) => Item::Mail(n, row[1].clone()),
            (None, None) => Item::Other(format!("{} {}", row[2], row[3])),
        };
        *found.dead.entry(item).or_insert(0) += 1;
    }
    for row in rows(fleet, TOTALS) {
        for (measure, value) in ["received", "sent", "delivered", "opened"].iter().zip(&row[1..]) {
            let value: u64 = value.parse().unwrap();
            if value > 0 {
                found.totals.insert(format!("{measure}, {}", row[0]), value);
            }
        }
    }
    found
}

/// Takes in a row whose columns from `at` on are the times and whether all is whole.
fn add(effects: &mut BTreeMap<Item, Effect>, item: Option<Item>, row: &[String], at: usize) {
    let item = item.unwrap_or_else(|| Item::Other(row.join("|")));
    effects.insert(item, Effect { times: row[at].parse().unwrap(), whole: row[at + 1] == "t" });
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

fn rows(fleet: &Fleet, sql: &str) -> Vec<Vec<String>> {
    fleet.sql(sql).lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}
