//! Sessions with an account's IMAP server. Everything here blocks: call it off the async threads.

use anyhow::Context as _;
use mailfleet_imap::{Config, Endpoint, KillSwitch, MailSource, UidInfo, Waits};
use mailfleet_store::Account;

/// A logged-in session for an account.
pub fn open(account: &Account, config: &Config) -> anyhow::Result<Box<dyn MailSource + Send>> {
    let password = account.password.read().with_context(|| format!("the password of {}", account.name))?;
    let endpoint = Endpoint {
        host: account.host.clone(),
        port: account.port,
        tls: account.tls,
        ca_file: account.ca_file.clone(),
        config: config.clone(),
        waits: Waits::default(),
    };
    Ok(mailfleet_imap::connect(&endpoint, &account.username, &password, &KillSwitch::new())?)
}

/// Every message of the open mailbox, page by page. UIDs ascend from page to page, which bounds the loop.
pub fn list_all(session: &mut dyn MailSource) -> anyhow::Result<Vec<UidInfo>> {
    let mut all = Vec::new();
    let mut from = 1;
    loop {
        let page = session.list_uids(from)?;
        let Some(last) = page.last().map(|info| info.uid.get()) else { return Ok(all) };
        all.extend(page);
        match last.checked_add(1).filter(|next| *next > from) {
            Some(next) => from = next,
            None => return Ok(all),
        }
    }
}
