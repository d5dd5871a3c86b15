//! The names of a message (its Message-ID, and what providers call it), which keys they stand for, and their locks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mailfleet_model::{StorageKey, TenantId, lookup_message_id};
use uuid::Uuid;

use super::NewEvent;
use crate::error::Result;
use crate::match_lock;
use crate::recipients;
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;
use crate::text;

/// Longest alias kept, in characters.
const ALIAS_MAX_CHARS: usize = 300;

/// An alias as it is kept and compared; `None` where nothing is left.
pub(crate) fn alias(text: &str) -> Option<String> {
    let kept = text::cut(text.trim(), ALIAS_MAX_CHARS).into_owned();
    (!kept.is_empty()).then_some(kept)
}

/// A message as an event names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Named {
    pub(super) tenant: TenantId,
    pub(super) message_id: Option<String>,
    pub(super) alias: Option<String>,
}

impl Named {
    pub(super) fn by(event: &NewEvent) -> Self {
        Self {
            tenant: event.tenant,
            message_id: event.event.message_id.as_deref().and_then(lookup_message_id),
            alias: event.event.alias.as_deref().and_then(alias),
        }
    }

    /// The key of the message by its Message-ID.
    pub(super) fn direct(&self) -> Option<Target> {
        self.message_id.as_ref().map(|id| Target {
            tenant: self.tenant,
            key: StorageKey::outbound(id, self.tenant),
            message_id: id.clone(),
        })
    }

    fn names(&self) -> impl Iterator<Item = (TenantId, String)> {
        [&self.message_id, &self.alias].into_iter().flatten().map(|name| (self.tenant, name.clone()))
    }
}

/// A message of ours, which may not be there yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) tenant: TenantId,
    pub(super) key: StorageKey,
    pub(super) message_id: String,
}

/// Which messages the aliases among these names stand for.
pub(super) async fn by_alias<'a>(
    session: &mut Session,
    named: impl IntoIterator<Item = &'a Named>,
) -> Result<HashMap<(TenantId, String), Target>> {
    const SQL: &str = "SELECT a.tenant_id, a.alias, a.storage_key, a.message_id FROM mailfleet.message_aliases a \
         JOIN unnest($1::uuid[], $2::text[]) AS r(t, a) ON a.tenant_id = r.t AND a.alias = r.a";
    let asked: BTreeSet<(TenantId, &str)> =
        named.into_iter().filter_map(|named| Some((named.tenant, named.alias.as_deref()?))).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let (tenants, aliases): (Vec<Uuid>, Vec<&str>) =
        asked.into_iter().map(|(tenant, alias)| (tenant.0, alias)).unzip();
    let rows = session.query("looking up aliases", SQL, &[&tenants, &aliases]).await?;
    let target = |row| {
        let tenant = TenantId(get(row, "tenant_id")?);
        let key = StorageKey::from_stored(get(row, "storage_key")?);
        Ok(((tenant, get(row, "alias")?), Target { tenant, key, message_id: get(row, "message_id")? }))
    };
    rows.iter().map(target).collect()
}

/// Takes the locks of all names of these events' messages, and of `more`, until the transaction ends.
pub(crate) async fn lock(
    session: &mut Session,
    events: &[NewEvent],
    more: BTreeSet<(TenantId, String)>,
) -> Result<()> {
    let named: Vec<Named> = events.iter().map(Named::by).collect();
    lock_named(session, &named, more).await
}

/// As [`lock`], by names.
pub(super) async fn lock_named(
    session: &mut Session,
    named: &[Named],
    more: BTreeSet<(TenantId, String)>,
) -> Result<()> {
    let mut wanted: BTreeSet<(TenantId, String)> = named.iter().flat_map(Named::names).chain(more).collect();
    // Who comes with an alias alone must meet who registers the Message-ID behind it.
    wanted.extend(behind(session, named).await?);
    match_lock::lock(session, &wanted).await?;
    // An alias that was told while this waited. Out of the common order: a deadlock is possible, costs nobody anything
    // and is repeated by the caller.
    let late: BTreeSet<_> =
        behind(session, named).await?.into_iter().filter(|name| !wanted.contains(name)).collect();
    match_lock::lock(session, &late).await
}

async fn behind(session: &mut Session, named: &[Named]) -> Result<Vec<(TenantId, String)>> {
    let targets = by_alias(session, named).await?;
    Ok(targets.into_values().map(|target| (target.tenant, target.message_id)).collect())
}

/// An alias, and the message for which it is said to stand: its key and Message-ID.
pub(crate) type Alias = (TenantId, String, StorageKey, String);

/// Notes what events tell of aliases: it changes what is known only where that was no message of ours and this is one, so
/// that the order in which two events tell it is all the same. The locks of all these names are held. Returns the aliases
/// that stand for something else than before.
pub(super) async fn tell(
    session: &mut Session,
    store: &Store,
    aliases: &[Alias],
) -> Result<Vec<(TenantId, String)>> {
    if aliases.is_empty() {
        return Ok(Vec::new());
    }
    let named: Vec<Named> = aliases
        .iter()
        .map(|(tenant, alias, ..)| Named { tenant: *tenant, message_id: None, alias: Some(alias.clone()) })
        .collect();
    let known = by_alias(session, &named).await?;
    let keys = aliases.iter().map(|(_, _, key, _)| key).chain(known.values().map(|target| &target.key));
    let ours = recipients::outbound(session, store, &keys.collect()).await?;
    let (better, rest): (Vec<Alias>, Vec<Alias>) =
        aliases.iter().cloned().partition(|(tenant, alias, key, _)| {
            let settled =
                known.get(&(*tenant, alias.clone())).is_some_and(|target| ours.contains(&target.key));
            ours.contains(key) && !settled
        });
    let mut taught = teach(session, &better, true).await?;
    taught.extend(teach(session, &rest, false).await?);
    Ok(taught)
}

/// Notes which message an alias stands for. Where that is known already it changes only with `overrule`: by a sender's
/// own word, or as [`tell`] decides. Returns the aliases that stand for something else than before.
pub(crate) async fn teach(
    session: &mut Session,
    aliases: &[Alias],
    overrule: bool,
) -> Result<Vec<(TenantId, String)>> {
    const KEEP: &str = "NOTHING";
    const CHANGE: &str = "UPDATE SET storage_key = excluded.storage_key, message_id = excluded.message_id \
         WHERE a.storage_key <> excluded.storage_key";
    // Each once, in one order for everybody.
    let mut sorted: BTreeMap<(TenantId, &str), (&StorageKey, &str)> = BTreeMap::new();
    for (tenant, alias, key, message_id) in aliases {
        sorted.entry((*tenant, alias)).or_insert((key, message_id));
    }
    if sorted.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "INSERT INTO mailfleet.message_aliases AS a (tenant_id, alias, storage_key, message_id) \
         SELECT t, n, k, m FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS r(t, n, k, m) \
         ON CONFLICT (tenant_id, alias) DO {} RETURNING tenant_id, alias",
        if overrule { CHANGE } else { KEEP }
    );
    let tenants: Vec<Uuid> = sorted.keys().map(|(tenant, _)| tenant.0).collect();
    let names: Vec<&str> = sorted.keys().map(|(_, alias)| *alias).collect();
    let keys: Vec<&str> = sorted.values().map(|(key, _)| key.as_str()).collect();
    let ids: Vec<&str> = sorted.values().map(|(_, id)| *id).collect();
    let rows = session.query("noting aliases", &sql, &[&tenants, &names, &keys, &ids]).await?;
    rows.iter().map(|row| Ok((TenantId(get(row, "tenant_id")?), get(row, "alias")?))).collect()
}
