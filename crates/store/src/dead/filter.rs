//! Which dead letters: one condition for lists, groups, counts and what is done to them.

use chrono::{DateTime, Utc};
use mailfleet_model::{AccountId, Class, TenantId};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::DeadState;
use crate::text;

/// The condition on the letter `d`; its parameters are `$1` to `$8`, see [`Values::params`]. A letter that died before its
/// mail's tenant was known is that of the tenant whose account it came through.
pub(super) const MATCHES: &str = "($1::text IS NULL OR d.reason = $1) \
     AND ($2::uuid IS NULL OR d.tenant_id = $2 OR (d.tenant_id IS NULL AND d.account_id IN \
     (SELECT a.id FROM mailfleet.email_accounts a WHERE a.tenant_id = $2))) \
     AND ($3::timestamptz IS NULL OR d.died >= $3) AND ($4::text IS NULL OR d.state = $4) \
     AND ($5::text IS NULL OR d.class = $5) AND ($6::uuid IS NULL OR d.account_id = $6) \
     AND ($7::text IS NULL OR COALESCE(d.fingerprint, mailfleet.dead_fingerprint(d.reason, d.class, d.error)) = $7) \
     AND ($8::bigint[] IS NULL OR d.id = ANY($8))";

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadFilter {
    /// Those with this reason alone.
    pub reason: Option<String>,
    /// Those of this tenant alone.
    pub tenant: Option<TenantId>,
    /// Those that died since.
    pub since: Option<DateTime<Utc>>,
    /// Those whose last error was of this class alone.
    pub class: Option<Class>,
    /// Those that came through this account alone.
    pub account: Option<AccountId>,
    /// Those of this group alone: a [`DeadLetter::fingerprint`](super::DeadLetter::fingerprint).
    pub fingerprint: Option<String>,
    /// These numbers alone.
    pub ids: Option<Vec<i64>>,
    /// At most so many, the newest first; at most 100 000. Of no meaning to counts and to what is done to letters.
    pub limit: u32,
    /// Those in this state alone.
    pub state: Option<DeadState>,
}

impl Default for DeadFilter {
    /// The newest 100 open ones.
    fn default() -> Self {
        Self {
            reason: None,
            tenant: None,
            since: None,
            class: None,
            account: None,
            fingerprint: None,
            ids: None,
            limit: 100,
            state: Some(DeadState::Open),
        }
    }
}

/// The filter as PostgreSQL takes it.
pub(super) struct Values {
    reason: Option<String>,
    tenant: Option<Uuid>,
    since: Option<DateTime<Utc>>,
    state: Option<&'static str>,
    class: Option<&'static str>,
    account: Option<Uuid>,
    fingerprint: Option<String>,
    ids: Option<Vec<i64>>,
}

impl DeadFilter {
    pub(super) fn values(&self) -> Values {
        let clean = |text: &Option<String>| text.as_deref().map(|text| text::clean(text).into_owned());
        Values {
            reason: clean(&self.reason),
            tenant: self.tenant.map(|tenant| tenant.0),
            since: self.since.map(text::clamp),
            state: self.state.map(DeadState::as_str),
            class: self.class.map(Class::as_str),
            account: self.account.map(|account| account.0),
            fingerprint: clean(&self.fingerprint),
            ids: self.ids.clone(),
        }
    }
}

impl Values {
    /// `$1` to `$8` of [`MATCHES`].
    pub(super) fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        let Self { reason, tenant, since, state, class, account, fingerprint, ids } = self;
        vec![reason, tenant, since, state, class, account, fingerprint, ids]
    }
}
