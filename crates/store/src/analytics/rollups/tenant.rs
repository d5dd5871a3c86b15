//! By tenant: all its mail.

use super::RollUp;

/// `analytics.tenant_day`.
pub(super) const ROLL_UP: RollUp = RollUp {
    name: "tenant",
    subject: None,
    label: "(SELECT t.name FROM mailfleet.tenants t WHERE t.id = k.tenant_id)",
};
