//! By mailbox: an account with all its folders, which is what its users call a mailbox.

use super::RollUp;

/// `analytics.mailbox_day`.
pub(super) const ROLL_UP: RollUp = RollUp {
    name: "mailbox",
    subject: Some("account_id"),
    label: "(SELECT a.name FROM mailfleet.email_accounts a WHERE a.id = k.account_id)",
};
