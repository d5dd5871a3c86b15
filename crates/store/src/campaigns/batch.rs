//! Some lines of an import over what stands: each is judged as if the lines before it had been written already, so that it
//! makes no difference which lines go to PostgreSQL together.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use mailfleet_model::TenantId;
use uuid::Uuid;

use super::made::MadeIds;
use super::renamed::{Change, Renamed};
use super::sql::{self, Key, Row, Stands};
use super::{Imported, NewLead, RefusedLead};
use crate::error::Result;
use crate::session::Session;
use crate::text;

/// A line whose campaign is known.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// Its place in the call.
    pub(super) index: usize,
    pub(super) key: Key,
    pub(super) lead: &'a NewLead,
}

/// A lead as the lines make it.
#[derive(Debug)]
struct Lead<'a> {
    stands: Option<Stands>,
    id: Uuid,
    name: Option<Cow<'a, str>>,
    /// The lines that were taken.
    lines: Vec<Line<'a>>,
}

#[derive(Debug)]
pub(super) struct Batch<'a> {
    leads: BTreeMap<Key, Lead<'a>>,
    /// Whose an id is.
    owners: HashMap<Uuid, Key>,
    odd: BTreeSet<Key>,
}

impl<'a> Batch<'a> {
    /// Looks up what stands of some lines.
    pub(super) async fn look_up(session: &mut Session, tenant: TenantId, lines: &[Line<'a>]) -> Result<Self> {
        let keys: BTreeSet<Key> = lines.iter().map(|line| line.key.clone()).collect();
        let ids: BTreeSet<Uuid> = lines.iter().filter_map(|line| line.lead.lead_id).map(|id| id.0).collect();
        let (stand, odd) = sql::by_key(session, tenant, &keys).await?;
        let mut owners: HashMap<Uuid, Key> = sql::by_id(session, &ids).await?.into_iter().collect();
        let mut leads = BTreeMap::new();
        for stands in stand {
            owners.insert(stands.id, stands.key.clone());
            let (key, id, name) = (stands.key.clone(), stands.id, stands.name.clone().map(Cow::Owned));
            leads.insert(key, Lead { stands: Some(stands), id, name, lines: Vec::new() });
        }
        Ok(Self { leads, owners, odd })
    }

    /// Takes a line, or says why it contradicts what stands or a line before it. What is empty in it erases nothing.
    pub(super) fn take(&mut self, made: &mut MadeIds, line: Line<'a>) -> std::result::Result<(), String> {
        let (key, email) = (&line.key, &line.key.1);
        if self.odd.contains(key) {
            return Err(format!("email: `{email}` has a letter that is no lower case to PostgreSQL"));
        }
        let given = line.lead.lead_id.map(|id| id.0);
        let known = self.leads.get(key).map(|lead| lead.id);
        if let (Some(given), Some(known)) = (given, known)
            && given != known
            && !made.made(known)
        {
            return Err(format!("the lead {email} has the id {known}, not {given}"));
        }
        if let Some(given) = given
            && let Some(owner) = self.owners.get(&given).filter(|owner| *owner != key)
        {
            return Err(format!("the lead_id {given} belongs to {}", owner.1));
        }
        let id = given.or(known).unwrap_or_else(|| made.make());
        if let Some(known) = known {
            self.owners.remove(&known);
        }
        self.owners.insert(id, key.clone());
        let lead = self.leads.entry(key.clone()).or_insert_with(|| Lead {
            stands: None,
            id,
            name: None,
            lines: Vec::new(),
        });
        lead.id = id;
        if let Some(name) = line.lead.name.as_deref().filter(|name| !name.is_empty()) {
            lead.name = Some(text::clean(name));
        }
        lead.lines.push(line);
        Ok(())
    }

    /// Writes the leads. Where PostgreSQL does not take one, the lines that gave its id are refused, and the others are
    /// handed back.
    pub(super) async fn write(
        mut self,
        session: &mut Session,
        tenant: TenantId,
        (renamed_before, imported): (&mut Renamed, &mut Imported),
        refused: &mut Vec<RefusedLead>,
    ) -> Result<Vec<Line<'a>>> {
        self.leads.retain(|_, lead| !lead.lines.is_empty());
        let (mut new, mut renamed, mut before) = (Vec::new(), Vec::new(), Vec::new());
        for (key, lead) in &self.leads {
            let row = Row { id: lead.id, key, name: lead.name.as_deref() };
            match &lead.stands {
                None => new.push(row),
                // It was made by this import and nothing hangs on it yet. It makes room for the lead with its own id.
                Some(stands) if stands.id != lead.id => {
                    sql::take_back(session, stands.id).await?;
                    before.push((lead.id, Row { id: stands.id, key, name: stands.name.as_deref() }));
                    new.push(row);
                }
                Some(stands) if stands.name.as_deref() != lead.name.as_deref() => renamed.push(row),
                Some(_) => {}
            }
        }
        let added = sql::insert(session, tenant, &new).await?;
        sql::rename(session, tenant, &renamed).await?;
        before.retain(|(id, _)| !added.contains(id));
        let before: Vec<Row<'_>> = before.into_iter().map(|(_, row)| row).collect();
        sql::insert(session, tenant, &before).await?;
        Ok(self.account(&added, renamed_before, imported, refused))
    }

    fn account(
        self,
        added: &BTreeSet<Uuid>,
        renamed: &mut Renamed,
        imported: &mut Imported,
        refused: &mut Vec<RefusedLead>,
    ) -> Vec<Line<'a>> {
        let mut again = Vec::new();
        for lead in self.leads.into_values() {
            let moved = lead.stands.as_ref().is_none_or(|stands| stands.id != lead.id);
            if moved && !added.contains(&lead.id) {
                for line in lead.lines {
                    if line.lead.lead_id.is_some() {
                        let (id, email) = (lead.id, &line.key.1);
                        let why = format!("the lead_id {id} is taken, or another import adds {email} now");
                        refused.push((line.index, why));
                    } else {
                        again.push(line);
                    }
                }
                continue;
            }
            let lines = lead.lines.len() as u64;
            let change = lead.stands.as_ref().map(|stands| renamed.change(stands, lead.name.as_deref()));
            // Each line is counted once: what it changed, or as unchanged.
            imported.unchanged += match change {
                None => {
                    imported.new_leads += 1;
                    lines.saturating_sub(1)
                }
                Some(Change::Renamed) => {
                    imported.changed_leads += 1;
                    lines.saturating_sub(1)
                }
                Some(Change::TakenBack) => {
                    imported.changed_leads = imported.changed_leads.saturating_sub(1);
                    lines + 1
                }
                Some(Change::None) => lines,
            };
        }
        again
    }
}
