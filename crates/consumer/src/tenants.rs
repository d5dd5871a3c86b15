//! Whose mail it is: the account's tenant, and for a shared account the owner of the domain it was delivered to.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mailfleet_model::{AccountId, Class, Direction, TenantId};
use mailfleet_store::Store;

use crate::ingest::{Prepared, Rejection};

/// Who owns the mail of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Tenant(TenantId),
    /// A catch-all; `to_cc` says whether To and Cc may decide when no delivery header does.
    Shared {
        to_cc: bool,
    },
}

/// What is known of accounts, read again when it is older than `refresh` or when an account is not in it.
#[derive(Debug)]
pub struct Directory {
    store: Store,
    refresh: Duration,
    known: Mutex<Option<(Instant, HashMap<AccountId, Owner>)>>,
}

impl Directory {
    /// A directory that knows nothing yet.
    pub fn new(store: Store, refresh: Duration) -> Self {
        Self { store, refresh, known: Mutex::new(None) }
    }

    /// The tenant of each mail, in their order; or why it has none.
    ///
    /// No header overrides the tenant of an account that has one. An error is the store's: nothing is known then.
    pub async fn tenants(
        &self,
        mails: &[&Prepared],
    ) -> Result<Vec<Result<TenantId, Rejection>>, mailfleet_store::Error> {
        let owners = self.owners(mails).await?;
        let candidates: Vec<Vec<String>> = mails
            .iter()
            .zip(&owners)
            .map(|(mail, owner)| match owner {
                // What we sent was delivered to others; it is the sender's.
                Some(Owner::Shared { .. }) if mail.row.direction == Direction::Outbound => {
                    sender_domain(&mail.row.from_email)
                }
                Some(Owner::Shared { to_cc }) => mail.peek.owner_domains(*to_cc),
                Some(Owner::Tenant(_)) | None => Vec::new(),
            })
            .collect();
        let asked: BTreeSet<&String> = candidates.iter().flatten().collect();
        let asked: Vec<String> = asked.into_iter().cloned().collect();
        let found =
            if asked.is_empty() { HashMap::new() } else { self.store.tenants_by_domain(&asked).await? };
        let decided = mails.iter().zip(owners).zip(candidates).map(|((mail, owner), domains)| match owner {
            None => Err(unknown_account(mail.row.at.account)),
            Some(Owner::Tenant(tenant)) => Ok(tenant),
            Some(Owner::Shared { .. }) => domains
                .iter()
                .find_map(|domain| found.get(domain).copied())
                .ok_or_else(|| unknown_tenant(&domains)),
        });
        Ok(decided.collect())
    }

    async fn owners(&self, mails: &[&Prepared]) -> Result<Vec<Option<Owner>>, mailfleet_store::Error> {
        if let Some(owners) = self.known(mails) {
            return Ok(owners);
        }
        let accounts = self.store.accounts(false).await?;
        let accounts: HashMap<AccountId, Owner> = accounts
            .into_iter()
            .map(|account| {
                let shared = Owner::Shared { to_cc: account.recipient_from_to_cc };
                (account.id, account.tenant.map_or(shared, Owner::Tenant))
            })
            .collect();
        let owners = mails.iter().map(|mail| accounts.get(&mail.row.at.account).copied()).collect();
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), accounts));
        Ok(owners)
    }

    /// The owners if all of them are known and fresh.
    fn known(&self, mails: &[&Prepared]) -> Option<Vec<Option<Owner>>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, accounts) = known.as_ref()?;
        if read.elapsed() > self.refresh {
            return None;
        }
        mails.iter().map(|mail| accounts.get(&mail.row.at.account).copied().map(Some)).collect()
    }
}

fn sender_domain(address: &str) -> Vec<String> {
    let domain = address.rsplit_once('@').map(|(_, domain)| domain.trim_end_matches('.').to_lowercase());
    domain.into_iter().collect()
}

fn unknown_tenant(domains: &[String]) -> Rejection {
    let error = if domains.is_empty() {
        "the account is shared and the mail has neither Delivered-To nor X-Original-To (or, sent by us, no From); nothing says whose it is"
            .to_owned()
    } else {
        format!(
            "nobody owns the domain {}: add it with `mailfleet tenant domain add`, then replay this letter",
            domains.join(" or ")
        )
    };
    Rejection::new("unknown_tenant", Class::Policy, error)
}

fn unknown_account(account: AccountId) -> Rejection {
    let error = format!(
        "the account {account} is not in email_accounts any more: add it again under this id, then replay this letter"
    );
    Rejection::new("unknown_account", Class::Policy, error)
}
