//! From the names in registrations to what the tenant has under them. What it does not have is refused by its field: a
//! registration under the wrong campaign would be counted there for good.

use std::collections::{BTreeSet, HashMap};

use mailfleet_model::{AccountId, CampaignId, LeadId, TenantId, recipient_key};
use mailfleet_store::{KnownLead, NewOutbound, Store};

use super::registration::Registration;

/// Why a call's names do not lead to messages.
#[derive(Debug)]
pub enum Unresolved {
    /// PostgreSQL could not be asked.
    Store(mailfleet_store::Error),
    /// The tenant has nothing of this name; the text names the field.
    Unknown(String),
}

impl From<mailfleet_store::Error> for Unresolved {
    fn from(error: mailfleet_store::Error) -> Self {
        Self::Store(error)
    }
}

/// Resolves the names of a call, all or nothing. `now_ms` is the time of messages that tell none.
pub async fn resolve(
    store: &Store,
    tenant: TenantId,
    call: Vec<Registration>,
    now_ms: i64,
) -> Result<Vec<NewOutbound>, Unresolved> {
    let words = |of: fn(&Registration) -> Option<&String>| {
        call.iter().filter_map(of).cloned().collect::<BTreeSet<_>>()
    };
    let accounts = Named::new(store.accounts_named(tenant, &words(|one| one.account.as_ref())).await?);
    let campaigns = Named::new(store.campaigns_named(tenant, &words(|one| one.campaign.as_ref())).await?);
    let mut named = Vec::with_capacity(call.len());
    for one in &call {
        let account = accounts.find(one.account.as_deref()).map_err(|()| unknown(one, "account"))?;
        let campaign = campaigns.find(one.campaign.as_deref()).map_err(|()| unknown(one, "campaign"))?;
        if one.lead.as_deref().is_some_and(|lead| lead.parse::<LeadId>().is_err()) && campaign.is_none() {
            let problem = format!("{}lead: is an address, so campaign must say of which campaign", one.place);
            return Err(Unresolved::Unknown(problem));
        }
        named.push((account, campaign));
    }
    let leads = leads(store, tenant, &call, &named).await?;
    call.into_iter()
        .zip(named)
        .map(|(one, (account, campaign))| {
            let lead = match &one.lead {
                None => None,
                Some(word) => Some(find(&leads, word, campaign).ok_or_else(|| unknown(&one, "lead"))?),
            };
            let created =
                chrono::DateTime::from_timestamp_millis(one.sent_ms.unwrap_or(now_ms)).unwrap_or_default();
            Ok(NewOutbound {
                tenant,
                message_id: one.message_id,
                account,
                // A lead belongs to one campaign: naming it names the campaign.
                campaign: campaign.or(lead.map(|lead| lead.campaign)),
                lead: lead.map(|lead| lead.id),
                from: one.from,
                recipients: one.recipients,
                to_header: one.to_header,
                subject: one.subject,
                aliases: one.alias.into_iter().collect(),
                created,
            })
        })
        .collect()
}

async fn leads(
    store: &Store,
    tenant: TenantId,
    call: &[Registration],
    named: &[(Option<AccountId>, Option<CampaignId>)],
) -> Result<Vec<KnownLead>, mailfleet_store::Error> {
    let (mut ids, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for (one, (_, campaign)) in call.iter().zip(named) {
        let Some(lead) = &one.lead else { continue };
        match (lead.parse(), campaign) {
            (Ok(id), _) => drop(ids.insert(id)),
            (Err(_), Some(campaign)) => drop(addresses.insert((*campaign, recipient_key(lead)))),
            (Err(_), None) => {}
        }
    }
    store.leads_named(tenant, &ids, &addresses).await
}

fn find<'a>(leads: &'a [KnownLead], word: &str, campaign: Option<CampaignId>) -> Option<&'a KnownLead> {
    let (id, address) = (word.parse::<LeadId>().ok(), recipient_key(word));
    let same = |lead: &&KnownLead| match id {
        Some(id) => lead.id == id,
        None => lead.email == address,
    };
    leads.iter().find(|lead| same(lead) && campaign.is_none_or(|campaign| lead.campaign == campaign))
}

fn unknown(one: &Registration, field: &str) -> Unresolved {
    let hint = match field {
        "account" => "this tenant has no such account (`mailfleet account list`)",
        "campaign" => "this tenant has no such campaign (`mailfleet campaign list`)",
        _ => "this campaign has no such lead (`mailfleet campaign import` brings leads in)",
    };
    Unresolved::Unknown(format!("{}{field}: {hint}", one.place))
}

/// Things by their names and ids.
struct Named<T> {
    by_word: HashMap<String, T>,
}

impl<T: Copy + ToString> Named<T> {
    fn new(things: Vec<(T, String)>) -> Self {
        // Names last: they win over another one's id, as they do everywhere on the command line.
        let by_id = things.iter().map(|(thing, _)| (thing.to_string(), *thing)).collect::<Vec<_>>();
        let by_name = things.into_iter().map(|(thing, name)| (name, thing));
        Self { by_word: by_id.into_iter().chain(by_name).collect() }
    }

    /// What the word names, `None` where there is no word; an error where it leads nowhere.
    fn find(&self, word: Option<&str>) -> Result<Option<T>, ()> {
        let Some(word) = word else { return Ok(None) };
        let thing = self.by_word.get(word).or_else(|| self.by_word.get(&word.to_lowercase()));
        thing.copied().map(Some).ok_or(())
    }
}
