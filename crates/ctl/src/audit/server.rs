//! The server's side of the audit: which UIDs each watched mailbox holds.

use chrono::{DateTime, Utc};
use mailfleet_model::{Uid, UidValidity};
use mailfleet_store::Account;

use crate::session;

/// What a mailbox holds.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The epoch of the UIDs.
    pub uidvalidity: UidValidity,
    /// The messages, ascending.
    pub messages: Vec<Message>,
}

/// One message on the server.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// Its UID.
    pub uid: Uid,
    /// Its size in bytes.
    pub size: u64,
    /// When the server took it in.
    pub internal_date: Option<DateTime<Utc>>,
}

/// Lists every watched mailbox of an account: one answer a mailbox, an error as text where it cannot be listed.
pub async fn list(account: Account, config: mailfleet_imap::Config) -> Vec<(String, Result<Listed, String>)> {
    let mailboxes: Vec<String> = account.watched().map(|(name, _)| name.to_owned()).collect();
    let listed = tokio::task::spawn_blocking(move || list_blocking(&account, &config)).await;
    listed.unwrap_or_else(|crash| {
        let error = format!("the session ended unexpectedly: {crash}");
        mailboxes.into_iter().map(|mailbox| (mailbox, Err(error.clone()))).collect()
    })
}

fn list_blocking(
    account: &Account,
    config: &mailfleet_imap::Config,
) -> Vec<(String, Result<Listed, String>)> {
    account
        .watched()
        .map(|(mailbox, _)| {
            // A session each: an error in one mailbox leaves the session out of step and must not colour the next.
            let listed = session::open(account, config).and_then(|mut session| {
                let selected = session.examine(mailbox)?;
                let infos = session::list_all(session.as_mut())?;
                // The answer is in hand; a server that does not say goodbye changes nothing about it.
                let _ = session.logout();
                Ok((selected, infos))
            });
            let listed =
                listed.map_err(|error| crate::failure::one_line(&error)).and_then(|(selected, infos)| {
                    let uidvalidity = selected.uidvalidity.ok_or("the server gives no UIDVALIDITY")?;
                    Ok(Listed { uidvalidity, messages: infos.iter().map(message).collect() })
                });
            (mailbox.to_owned(), listed)
        })
        .collect()
}

fn message(info: &mailfleet_imap::UidInfo) -> Message {
    Message {
        uid: info.uid,
        size: info.size,
        internal_date: info.internal_date_ms.and_then(DateTime::from_timestamp_millis),
    }
}
