//! By campaign: what was sent for it, what became of that, and who answered.

use super::RollUp;

/// `analytics.campaign_day`.
pub(super) const ROLL_UP: RollUp = RollUp {
    name: "campaign",
    subject: Some("campaign_id"),
    label: "(SELECT c.name FROM mailfleet.campaigns c WHERE c.id = k.campaign_id AND c.tenant_id = k.tenant_id)",
};
