//! The doctor's look at the accounts.

use mailfleet_store::Store;
use tokio::task::JoinSet;

use super::Finding;
use crate::commands::account::check::{Checked, check};
use crate::{failure, text};

/// Logins tried at once.
const AT_ONCE: usize = 16;

/// A login to every enabled account.
pub async fn look(store: &Store, config: &mailfleet_imap::Config) -> Vec<Finding> {
    let accounts = match store.accounts(true).await {
        Ok(accounts) => accounts,
        Err(error) => {
            return vec![Finding::error(
                "imap",
                format!("the accounts cannot be read: {}", failure::one_line(&error.into())),
                "put PostgreSQL right first, then run `mailfleet doctor` again",
            )];
        }
    };
    if accounts.is_empty() {
        return vec![Finding::warn("imap", "no enabled account", "add one: mailfleet account add --help")];
    }
    let mut waiting = accounts.into_iter();
    let mut running = JoinSet::new();
    let mut findings = Vec::new();
    loop {
        while running.len() < AT_ONCE {
            let Some(account) = waiting.next() else { break };
            let config = config.clone();
            running.spawn(async move { judge(&check(account, config).await) });
        }
        match running.join_next().await {
            Some(Ok(found)) => findings.extend(found),
            Some(Err(crash)) => {
                findings.push(Finding::error("imap", crash.to_string(), "report this as a bug"));
            }
            None => break,
        }
    }
    findings.sort_by(|a, b| a.area.cmp(&b.area));
    findings
}

fn judge(checked: &Checked) -> Vec<Finding> {
    let area = format!("imap {}", checked.account);
    if let Some(error) = &checked.error {
        let remedy = checked.remedy.as_deref().unwrap_or("the error names the cause");
        return vec![Finding::error(area, error.clone(), then_check(remedy, checked))];
    }
    let mut findings: Vec<Finding> = checked
        .mailboxes
        .iter()
        .filter_map(|mailbox| {
            let error = mailbox.error.as_ref()?;
            let remedy = mailbox.remedy.as_deref().unwrap_or("the error names the cause");
            let remedy = then_check(remedy, checked);
            Some(Finding::error(area.clone(), format!("{}: {error}", mailbox.name), remedy))
        })
        .collect();
    if findings.is_empty() {
        let messages: u64 =
            checked.mailboxes.iter().filter_map(|mailbox| mailbox.messages).map(u64::from).sum();
        findings.push(Finding::ok(
            area.clone(),
            format!(
                "login works, {} in {}",
                text::count(messages, "message", "messages"),
                text::count(checked.mailboxes.len() as u64, "watched mailbox", "watched mailboxes")
            ),
        ));
    }
    if checked.idle == Some(false) {
        findings.push(Finding::warn(
            area,
            "the server has no IDLE",
            "nothing to do: new mail is asked for every producer.poll_seconds; shorten that where it must be quicker",
        ));
    }
    findings
}

fn then_check(remedy: &str, checked: &Checked) -> String {
    format!("{remedy}; then: mailfleet account check {}", checked.account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn an_account_without_a_session_is_an_error_and_never_quietly_fine() {
        let checked = Checked {
            account: "sales".into(),
            ok: false,
            error: Some("refused".into()),
            remedy: Some("set the password".into()),
            login_ms: None,
            capabilities: Vec::new(),
            idle: None,
            mailboxes: Vec::new(),
            others: Vec::new(),
        };
        let findings = judge(&checked);
        assert!(
            matches!(findings.as_slice(), [one] if one.level == Level::Error && one.remedy.contains("set the password"))
        );
    }
}
