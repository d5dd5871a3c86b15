//! The registry of roll-ups.

mod campaign;
mod mailbox;
mod tenant;

/// One roll-up: the table `analytics.<name>_day` with the measures of `measures`, and the view `analytics.<name>`.
#[derive(Debug)]
pub(super) struct RollUp {
    /// Its name.
    pub(super) name: &'static str,
    /// What it counts by besides tenant and day: a column that messages, changes and the roll-up's table have under this
    /// name. Messages where it is NULL are not counted.
    pub(super) subject: Option<&'static str>,
    /// SQL for the name of a key that people know, where `k` is a row with `tenant_id` and the subject.
    pub(super) label: &'static str,
}

/// All there are, in the order in which people are shown them.
pub(super) const ALL: [&RollUp; 3] = [&campaign::ROLL_UP, &mailbox::ROLL_UP, &tenant::ROLL_UP];

impl RollUp {
    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|rollup| rollup.name == name)
    }

    /// Its table.
    pub(super) fn table(&self) -> String {
        format!("analytics.{}_day", self.name)
    }

    /// The columns of its key without the day.
    pub(super) fn owner(&self) -> String {
        self.subject.map_or_else(|| "tenant_id".to_owned(), |subject| format!("tenant_id, {subject}"))
    }

    /// `a.x = b.x` for all columns of its key without the day.
    pub(super) fn same_owner(&self, a: &str, b: &str) -> String {
        let tenant = format!("{a}.tenant_id = {b}.tenant_id");
        self.subject
            .map_or_else(|| tenant.clone(), |subject| format!("{tenant} AND {a}.{subject} = {b}.{subject}"))
    }

    /// Like `same_owner`, for a search in the messages by the subject and the time. The tenant is checked in a form that no
    /// index serves: it is the same for all messages of a subject, and an index that begins with it would bring all of the
    /// tenant's.
    pub(super) fn belongs(&self, message: &str, key: &str) -> String {
        let tenant = format!("{message}.tenant_id = {key}.tenant_id");
        self.subject.map_or_else(
            || tenant.clone(),
            |subject| format!("{message}.{subject} = {key}.{subject} AND ({tenant}) IS TRUE"),
        )
    }

    /// The condition under which a key is one of its own.
    pub(super) fn concerned(&self) -> String {
        self.subject.map_or_else(|| "true".to_owned(), |subject| format!("{subject} IS NOT NULL"))
    }
}
