//! Whose a dead letter is, by name.

use std::collections::HashMap;

use mailfleet_model::{AccountId, TenantId};
use mailfleet_store::{DeadLetter, Store};

/// The names of accounts and tenants.
#[derive(Debug, Default)]
pub struct Owners {
    accounts: HashMap<AccountId, (String, Option<TenantId>)>,
    tenants: HashMap<TenantId, String>,
}

impl Owners {
    /// Reads all names.
    pub async fn read(store: &Store) -> anyhow::Result<Self> {
        let accounts = store.accounts(false).await?.into_iter();
        let tenants = store.tenants().await?.into_iter();
        Ok(Self {
            accounts: accounts.map(|account| (account.id, (account.name, account.tenant))).collect(),
            tenants: tenants.map(|tenant| (tenant.id, tenant.name)).collect(),
        })
    }

    /// The account a letter came from; `None` where it is not known.
    pub fn account(&self, letter: &DeadLetter) -> Option<&str> {
        self.accounts.get(&letter.account?).map(|(name, _)| name.as_str())
    }

    /// The tenant whose mail it is: the letter's own, else that of an account that belongs to one tenant.
    pub fn tenant_id(&self, letter: &DeadLetter) -> Option<TenantId> {
        letter.tenant.or_else(|| self.accounts.get(&letter.account?).and_then(|(_, tenant)| *tenant))
    }

    /// The name of that tenant.
    pub fn tenant(&self, letter: &DeadLetter) -> Option<&str> {
        self.tenants.get(&self.tenant_id(letter)?).map(String::as_str)
    }
}
