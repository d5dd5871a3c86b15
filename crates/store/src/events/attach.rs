//! An event finds its message, and takes effect.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mailfleet_model::{StorageKey, TenantId};
use tokio_postgres::types::ToSql;

use super::FROM_MAIL;
use super::names::{Target, by_alias};
use super::pending::{COLUMNS, Pending};
use crate::error::{Error, Result};
use crate::recipients::{self, Raise, Recipient};
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;

/// Events that are read again for recipients that are new come in pages of so many.
const PAGE: usize = 10_000;

/// What was attached.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// The events that have their message now.
    pub(super) matched: HashSet<i64>,
    /// The messages that have recipients they had not.
    pub(super) grown: HashSet<Target>,
}

impl Attached {
    pub(super) fn merge(&mut self, other: Self) {
        self.matched.extend(other.matched);
        self.grown.extend(other.grown);
    }
}

/// Attaches the events whose message is there; the others go on waiting. The locks of their messages are held.
pub(super) async fn attach(session: &mut Session, store: &Store, events: Vec<Pending>) -> Result<Attached> {
    let (strict, loose): (Vec<_>, Vec<_>) =
        found(session, store, events).await?.into_iter().partition(|(event, _)| event.strict);
    // First those that may bring recipients, then those that need one.
    let loose = claim(session, loose).await?;
    let new = recipients::create(session, &spoken_of(&loose)).await?;
    let strict = believed(session, strict).await?;
    let mut all = loose;
    all.extend(claim(session, strict).await?);

    let raises = all.iter().filter(|(event, _)| !event.recipient.is_empty()).filter_map(|found| {
        let raise: Raise = found.0.raise.clone()?;
        Some((recipient(found), raise))
    });
    let raises = Raise::best(raises.chain(said_before(session, &new).await?));
    recipients::raise(session, &raises).await?;
    let changed: BTreeSet<&str> = raises.keys().map(|(key, _)| key.as_str()).collect();
    recipients::roll_up(session, store, &changed).await?;

    let new: HashSet<&StorageKey> = new.iter().map(|(key, _)| key).collect();
    let grown = all.iter().map(|(_, target)| target).filter(|target| new.contains(&target.key));
    let grown = grown.cloned().collect();
    Ok(Attached { matched: all.iter().map(|(event, _)| event.id).collect(), grown })
}

type Found = (Pending, Target);

fn recipient((event, target): &Found) -> Recipient {
    (target.key.clone(), event.recipient.clone())
}

/// Those strict events that name a recipient of their message, as events of each that they name: of the address it was sent
/// to, and of the one that failed. One that becomes a recipient later is told by [`said_before`].
async fn believed(session: &mut Session, strict: Vec<Found>) -> Result<Vec<Found>> {
    fn named((event, target): &Found) -> impl Iterator<Item = Recipient> {
        event.original.iter().chain([&event.recipient]).map(|address| (target.key.clone(), address.clone()))
    }
    let wanted: BTreeSet<Recipient> = strict.iter().flat_map(named).collect();
    let known = recipients::known(session, &wanted).await?;
    let believed = strict.iter().flat_map(|found| {
        let recipients = named(found).filter(|recipient| known.contains(recipient));
        recipients.map(|(_, recipient)| (Pending { recipient, ..found.0.clone() }, found.1.clone()))
    });
    Ok(believed.collect())
}

/// What strict events that have their message by another recipient say of these new ones: the one to keep for each. The
/// locks of the messages are held, so no event joins them meanwhile and the pages come to an end.
pub(super) async fn said_before(
    session: &mut Session,
    new: &[Recipient],
) -> Result<BTreeMap<Recipient, Raise>> {
    let sql = format!(
        "SELECT {COLUMNS}, e.storage_key, r.a FROM mailfleet.delivery_events e \
         JOIN unnest($1::text[], $2::text[]) AS r(k, a) ON e.storage_key = r.k AND r.a IN (e.recipient, e.original_recipient) \
         WHERE e.original_recipient IS NOT NULL AND starts_with(e.source, '{FROM_MAIL}') AND (e.id, r.a) > ($3, $4::text) \
         ORDER BY e.id, r.a LIMIT {PAGE}"
    );
    let (keys, addresses): (Vec<&str>, Vec<&str>) =
        new.iter().map(|(key, address)| (key.as_str(), address.as_str())).unzip();
    let mut said = BTreeMap::new();
    let mut after = (!new.is_empty()).then(|| (0_i64, String::new()));
    while let Some((id, address)) = after {
        let params: [&(dyn ToSql + Sync); 4] = [&keys, &addresses, &id, &address];
        let rows = session.query("reading events of new recipients", &sql, &params).await?;
        let mut page = Vec::with_capacity(rows.len());
        for row in &rows {
            let recipient = (StorageKey::from_stored(get(row, "storage_key")?), get(row, "a")?);
            match Pending::read(row) {
                Ok(event) => page.extend(event.raise.map(|raise| (recipient, raise))),
                // A newer version has attached it.
                Err(Error::Unreadable { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        said = Raise::best(said.into_iter().chain(page));
        after = match rows.last() {
            Some(last) if rows.len() >= PAGE => Some((get(last, "id")?, get(last, "a")?)),
            _ => None,
        };
    }
    Ok(said)
}

/// Those events that would be attached now.
pub(super) async fn ripe(session: &mut Session, store: &Store, events: Vec<Pending>) -> Result<Vec<Pending>> {
    let found = found(session, store, events).await?;
    let strict = found.iter().filter(|(event, _)| event.strict).cloned().collect();
    let believed: HashSet<i64> =
        believed(session, strict).await?.into_iter().map(|(event, _)| event.id).collect();
    let ripe = found.into_iter().map(|(event, _)| event);
    Ok(ripe.filter(|event| !event.strict || believed.contains(&event.id)).collect())
}

/// Those events whose message is there. A Message-ID that is ours goes before an alias; where it is not (providers do
/// write their own), the alias decides.
async fn found(session: &mut Session, store: &Store, events: Vec<Pending>) -> Result<Vec<Found>> {
    let aliases = by_alias(session, events.iter().map(|event| &event.named)).await?;
    let candidates: Vec<[Option<Target>; 2]> = events
        .iter()
        .map(|Pending { named, .. }| {
            let alias = named.alias.clone().and_then(|alias| aliases.get(&(named.tenant, alias)).cloned());
            [named.direct(), alias]
        })
        .collect();
    let keys: BTreeSet<&StorageKey> =
        candidates.iter().flatten().flatten().map(|target| &target.key).collect();
    let there = recipients::outbound(session, store, &keys).await?;
    let found = events.into_iter().zip(candidates).filter_map(|(event, candidates)| {
        let target = candidates.into_iter().flatten().find(|target| there.contains(&target.key))?;
        Some((event, target))
    });
    Ok(found.collect())
}

/// Writes their message into the events; returns those that had none until now.
async fn claim(session: &mut Session, found: Vec<Found>) -> Result<Vec<Found>> {
    const SQL: &str = "UPDATE mailfleet.delivery_events AS e SET storage_key = r.k \
         FROM unnest($1::bigint[], $2::text[]) AS r(i, k) WHERE e.id = r.i AND e.storage_key IS NULL RETURNING e.id";
    if found.is_empty() {
        return Ok(found);
    }
    let (ids, keys): (Vec<i64>, Vec<&str>) =
        found.iter().map(|(event, target)| (event.id, target.key.as_str())).unzip();
    let rows = session.query("attaching events", SQL, &[&ids, &keys]).await?;
    let claimed = rows.iter().map(|row| get(row, "id")).collect::<Result<HashSet<i64>>>()?;
    Ok(found.into_iter().filter(|(event, _)| claimed.contains(&event.id)).collect())
}

/// The recipients that events with a status speak of. One that was only opened is none: "queued", which nobody said,
/// would make the message look worse.
fn spoken_of(found: &[Found]) -> BTreeMap<Recipient, TenantId> {
    let speaking = found.iter().filter(|(event, _)| event.raise.is_some() && !event.recipient.is_empty());
    speaking.map(|found| (recipient(found), found.1.tenant)).collect()
}
