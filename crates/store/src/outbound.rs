//! Messages that we send become known by registration, before or after anything else is known of them.
//!
//! A message has one row in each table of the hierarchy under the key of tenant and Message-ID, whoever comes first: its
//! registration, its copy in a Sent folder, or (in `delivery_events`, where it waits) an event. The registration brings
//! what the others do not know (campaign, lead, recipients, providers' names) and takes nothing away.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use mailfleet_model::{Direction, RecipientStatus, StorageKey, TenantId, lookup_message_id};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::events::{self, Appeared};
use crate::hierarchy::expected::{ADDRESS_MAX_CHARS, RETENTION_DAYS};
use crate::links::{self, Link, Linked};
use crate::match_lock;
use crate::outbound_types::{NewOutbound, Registered};
use crate::repeat::Tries;
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;
use crate::text::{clamp, clean, cut};

/// Most messages of one transaction.
const MAX_MESSAGES: usize = 200;
/// Most recipients and aliases of one transaction; a single message with more goes alone.
const MAX_NAMES: usize = 2_000;
/// `email_messages.message_type` of what was only registered.
const MESSAGE_TYPE: &str = "email";

/// A registration under the names that it is kept by.
#[derive(Debug)]
struct Message<'a> {
    key: StorageKey,
    /// Its Message-ID.
    id: String,
    /// Trimmed and cut as events have them.
    aliases: Vec<String>,
    told: &'a NewOutbound,
}

impl<'a> Message<'a> {
    fn of(told: &'a NewOutbound) -> Result<Self> {
        let Some(id) = lookup_message_id(&told.message_id) else {
            return Err(Error::Invalid {
                what: "Message-ID",
                value: cut(&told.message_id, 60).into_owned(),
                problem: "it is empty",
            });
        };
        let key = StorageKey::outbound(&id, told.tenant);
        let aliases = told.aliases.iter().filter_map(|alias| events::alias(alias)).collect();
        Ok(Self { key, id, aliases, told })
    }

    fn names(&self) -> impl Iterator<Item = (TenantId, String)> {
        let tenant = self.told.tenant;
        std::iter::once(&self.id).chain(&self.aliases).map(move |name| (tenant, name.clone()))
    }

    /// Its place, with what later registrations of it in the same batch add.
    fn linked(&self, part: &[Message<'_>]) -> Linked {
        let mut linked = self.alone();
        for later in part.iter().filter(|later| later.key == self.key).map(Message::alone) {
            linked.account = linked.account.or(later.account);
            linked.created = linked.created.min(later.created);
            linked.registered = match linked.registered {
                Some(first) => Some(first.and(later.registered)),
                None => later.registered,
            };
        }
        linked
    }

    fn alone(&self) -> Linked {
        Linked {
            key: self.key.clone(),
            tenant: self.told.tenant,
            account: self.told.account,
            mailbox: None,
            direction: Direction::Outbound,
            message_type: MESSAGE_TYPE.to_owned(),
            message_id: Some(self.id.clone()),
            refs: links::Refs::default(),
            registered: self
                .told
                .campaign
                .map(|campaign| links::Registered { campaign, lead: self.told.lead }),
            named: None,
            bytes: 0,
            enqueued: None,
            created: clamp(self.told.created),
        }
    }
}

impl Store {
    /// Registers messages that we send. Each has one row afterwards, whatever was known of it before; what is new about
    /// it is added, nothing is taken away, and events that waited for it take effect. Answers in the order of `messages`;
    /// safe to repeat. Up to 200 messages (with 2,000 recipients and aliases) are one transaction.
    ///
    /// Where two registrations of a message contradict each other (campaign, lead, account), the first stays, and what a
    /// later one leaves out stays too; a lead that only the later one tells is added where the campaign is the same. Over
    /// what was only seen (X-Campaign-ID, the account whose Sent folder holds the copy) a registration prevails, in either
    /// order.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty Message-ID, and where a key belongs to somebody else's mail; nothing of that
    /// transaction was registered then. After any other error the same call again is right.
    pub async fn register_outbound(&self, messages: &[NewOutbound]) -> Result<Vec<Registered>> {
        let messages: Vec<Message<'_>> = messages.iter().map(Message::of).collect::<Result<_>>()?;
        let mut registered = Vec::with_capacity(messages.len());
        let mut rest = messages.as_slice();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(part_len(rest));
            registered.extend(self.register_part(part).await?);
            rest = later;
        }
        Ok(registered)
    }

    /// One part, repeated while it loses against other transactions.
    async fn register_part(&self, part: &[Message<'_>]) -> Result<Vec<Registered>> {
        let tenants: BTreeSet<TenantId> = part.iter().map(|message| message.told.tenant).collect();
        let mut tries = Tries::default();
        loop {
            let mut session = self.session().await?;
            session.begin_for(&tenants).await?;
            let registered = effects(&mut session, self, part).await;
            match session.end(registered).await {
                Err(error) if tries.again(&error).await => {}
                outcome => return outcome,
            }
        }
    }
}

/// How many of the first messages go into one transaction: at least one.
fn part_len(messages: &[Message<'_>]) -> usize {
    let mut names = 0;
    let fitting = messages.iter().take(MAX_MESSAGES).take_while(|message| {
        names += message.aliases.len() + message.told.recipients.len();
        names <= MAX_NAMES
    });
    fitting.count().max(1)
}

async fn effects(session: &mut Session, store: &Store, part: &[Message<'_>]) -> Result<Vec<Registered>> {
    let names: BTreeSet<(TenantId, String)> = part.iter().flat_map(Message::names).collect();
    match_lock::lock(session, &names).await?;
    // By key, so that all writers lock in the same order; of a message that stands twice in the batch the first counts,
    // and each brings its recipients.
    let mut sorted: BTreeMap<&StorageKey, &Message<'_>> = BTreeMap::new();
    for message in part {
        sorted.entry(&message.key).or_insert(message);
    }
    let sorted: Vec<&Message<'_>> = sorted.into_values().collect();
    contents(session, store, &sorted).await?;
    let sent = seen(session, store, &sorted).await?;
    let linked: Vec<Linked> = sorted.iter().map(|message| message.linked(part)).collect();
    let links = links::link(session, store, &linked).await?;
    let mut new = headers(session, store, &sorted, &links).await?;
    let aliases: Vec<_> = part
        .iter()
        .flat_map(|message| {
            let of = |alias: &String| {
                (message.told.tenant, alias.clone(), message.key.clone(), message.id.clone())
            };
            message.aliases.iter().map(of)
        })
        .collect();
    events::teach(session, &aliases, true).await?;
    let appeared: Vec<Appeared> = part
        .iter()
        .map(|message| Appeared {
            tenant: message.told.tenant,
            key: message.key.clone(),
            message_id: message.id.clone(),
            recipients: message.told.recipients.clone(),
            sent: sent.contains(&message.key),
        })
        .collect();
    events::appeared(session, store, &appeared).await?;
    let registered =
        part.iter().map(|message| if new.remove(&message.key) { Registered::New } else { Registered::Known });
    Ok(registered.collect())
}

/// A row without content for each message, which its copy fills in later.
async fn contents(session: &mut Session, store: &Store, messages: &[&Message<'_>]) -> Result<()> {
    let content = &store.tables().content;
    let insert = format!(
        "INSERT INTO {content} (storage_key, tenant_id, content_text, content_html, headers, raw_size_bytes, \
         compression_algorithm, created, expires, retention_days) \
         SELECT k, t, '', '', '{{}}', 0, 'none', now(), now() + make_interval(days => {RETENTION_DAYS}), {RETENTION_DAYS} \
         FROM unnest($1::text[], $2::uuid[]) AS r(k, t) ON CONFLICT DO NOTHING"
    );
    // Zero rows inserted must mean that the row is ours. One that is not visible now is another tenant's.
    let foreign = format!(
        "SELECT r.k FROM unnest($1::text[], $2::uuid[]) AS r(k, t) \
         WHERE NOT EXISTS (SELECT 1 FROM {content} c WHERE c.storage_key = r.k AND c.tenant_id = r.t)"
    );
    let keys: Vec<&str> = messages.iter().map(|message| message.key.as_str()).collect();
    let tenants: Vec<Uuid> = messages.iter().map(|message| message.told.tenant.0).collect();
    session.execute("inserting into email_content", &insert, &[&keys, &tenants]).await?;
    match session.query_opt("comparing keys", &foreign, &[&keys, &tenants]).await? {
        None => Ok(()),
        Some(row) => Err(Error::Invalid {
            what: "storage_key",
            value: get(&row, "k")?,
            problem: "it belongs to the mail of another tenant",
        }),
    }
}

/// The messages whose copy was seen in a Sent folder: they have content.
async fn seen(
    session: &mut Session,
    store: &Store,
    messages: &[&Message<'_>],
) -> Result<HashSet<StorageKey>> {
    let sql = format!(
        "SELECT storage_key::text AS storage_key FROM {} WHERE storage_key = ANY($1::text[]) AND content_hash IS NOT NULL",
        store.tables().content
    );
    let keys: Vec<&str> = messages.iter().map(|message| message.key.as_str()).collect();
    let rows = session.query("looking for Sent copies", &sql, &[&keys]).await?;
    rows.iter().map(|row| Ok(StorageKey::from_stored(get(row, "storage_key")?))).collect()
}

/// The rows of `email_messages`; returns the keys that are new. Those that stand keep what they have; the links have been
/// filled in there.
async fn headers(
    session: &mut Session,
    store: &Store,
    messages: &[&Message<'_>],
    links: &[Link],
) -> Result<HashSet<StorageKey>> {
    let table = &store.tables().messages;
    let insert = format!(
        "INSERT INTO {table} (storage_key, tenant_id, email_account_id, direction, message_type, from_email, to_email, \
         subject, status, created, processed, updated, parent_storage_key, thread_id, campaign_id, lead_id) \
         SELECT k, t, a, 'outbound', '{MESSAGE_TYPE}', f, r, s, $8::text, c, now(), now(), p, h, g, l \
         FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], \
         $9::text[], $10::text[], $11::uuid[], $12::uuid[]) AS z(k, t, a, f, r, s, c, p, h, g, l) \
         ON CONFLICT DO NOTHING RETURNING storage_key::text AS storage_key"
    );
    // Which account and which time count was decided where the row of `messages` was written. The keys come as parameters:
    // in an adopted table the column may be of another collation than there.
    let fill = format!(
        "UPDATE {table} AS m SET email_account_id = COALESCE(l.account_id, m.email_account_id), \
         created = LEAST(m.created, l.created), updated = now() FROM unnest($1::text[]) AS r(k) \
         JOIN mailfleet.messages l ON l.storage_key = r.k WHERE m.storage_key = r.k \
         AND (m.email_account_id, m.created) IS DISTINCT FROM \
         (COALESCE(l.account_id, m.email_account_id), LEAST(m.created, l.created))"
    );
    let keys: Vec<&str> = messages.iter().map(|message| message.key.as_str()).collect();
    let told: Vec<&NewOutbound> = messages.iter().map(|message| message.told).collect();
    let tenants: Vec<Uuid> = told.iter().map(|told| told.tenant.0).collect();
    let accounts: Vec<Option<Uuid>> = told.iter().map(|told| told.account.map(|account| account.0)).collect();
    let senders: Vec<_> = told.iter().map(|told| cut(&told.from, ADDRESS_MAX_CHARS)).collect();
    let recipients: Vec<_> = told.iter().map(|told| clean(&told.to_header)).collect();
    let subjects: Vec<_> = told.iter().map(|told| clean(&told.subject)).collect();
    let created: Vec<DateTime<Utc>> = told.iter().map(|told| clamp(told.created)).collect();
    let parents: Vec<Option<&str>> = links.iter().map(|link| link.parent.as_deref()).collect();
    let threads: Vec<&str> = links.iter().map(|link| link.thread.as_str()).collect();
    let campaigns: Vec<Option<Uuid>> = links.iter().map(|link| link.campaign.map(|id| id.0)).collect();
    let leads: Vec<Option<Uuid>> = links.iter().map(|link| link.lead.map(|id| id.0)).collect();
    let queued = RecipientStatus::Queued.as_str();
    let rows = session
        .query(
            "inserting into email_messages",
            &insert,
            &[
                &keys,
                &tenants,
                &accounts,
                &senders,
                &recipients,
                &subjects,
                &created,
                &queued,
                &parents,
                &threads,
                &campaigns,
                &leads,
            ],
        )
        .await?;
    session.execute("completing email_messages", &fill, &[&keys]).await?;
    rows.iter().map(|row| Ok(StorageKey::from_stored(get(row, "storage_key")?))).collect()
}
