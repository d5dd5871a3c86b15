//! The roll-ups there are: rows of `analytics.roll_ups`, written by the migrations that make their tables.

use std::collections::BTreeSet;

use tokio_postgres::Row;

use crate::error::{Error, Result};
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;

/// Reads all of them, in the order in which people are shown them.
const ALL: &str = "SELECT name, subject, label FROM analytics.roll_ups ORDER BY place";

/// One roll-up: the table `analytics.<name>_day` with the measures of `measures`, and the view `analytics.<name>`.
///
/// Its parts are put into SQL as they are: nobody but the owner of the schema may write them.
#[derive(Debug, Clone)]
pub(super) struct RollUp {
    /// Its name.
    pub(super) name: String,
    /// What it counts by besides tenant and day: a column that messages, `analytics_changes` and the roll-up's table have
    /// under this name. Messages where it is NULL are not counted.
    pub(super) subject: Option<String>,
    /// SQL for the name of a key that people know, where `k` is a row with `tenant_id` and the subject.
    pub(super) label: String,
}

/// All roll-ups, as a transaction sees them, in the order in which people are shown them.
#[derive(Debug, Clone)]
pub(super) struct Registry(Vec<RollUp>);

impl Registry {
    pub(super) async fn read(session: &mut Session) -> Result<Self> {
        let rows = session.query("reading which roll-ups there are", ALL, &[]).await?;
        rows.iter().map(RollUp::read).collect::<Result<_>>().map(Self)
    }

    pub(super) fn roll_ups(&self) -> &[RollUp] {
        &self.0
    }

    /// What any of them counts by besides tenant and day, each once, always in one order.
    pub(super) fn subjects(&self) -> BTreeSet<&str> {
        self.0.iter().filter_map(|rollup| rollup.subject.as_deref()).collect()
    }

    /// The columns of a change's key, of these rows: tenant, day and all subjects.
    pub(super) fn key(&self, of: &str) -> String {
        let subjects = self.subjects().into_iter().map(|subject| format!(", {of}.{subject}"));
        format!("{of}.tenant_id, {of}.day{}", subjects.collect::<String>())
    }

    /// The key of messages: like [`Self::key`], whose names the columns have.
    pub(super) fn key_of_messages(&self, of: &str) -> String {
        let subjects = self.subjects().into_iter().map(|subject| format!(", {of}.{subject}"));
        format!("{of}.tenant_id, mailfleet.day_of({of}.created) AS day{}", subjects.collect::<String>())
    }

    /// The names of the columns of a change's key.
    pub(super) fn columns(&self) -> String {
        let subjects = self.subjects().into_iter().map(|subject| format!(", {subject}"));
        format!("tenant_id, day{}", subjects.collect::<String>())
    }
}

impl Store {
    /// The names of all roll-ups, in the order in which people are shown them.
    pub async fn roll_up_names(&self) -> Result<Vec<String>> {
        Ok(self.roll_ups().await?.into_iter().map(|rollup| rollup.name).collect())
    }

    /// The roll-up of this name.
    ///
    /// # Errors
    /// [`Error::Unknown`] where there is none.
    pub(super) async fn roll_up(&self, name: &str) -> Result<RollUp> {
        let unknown = || Error::Unknown { what: "roll-up", name: name.to_owned() };
        self.roll_ups().await?.into_iter().find(|rollup| rollup.name == name).ok_or_else(unknown)
    }

    async fn roll_ups(&self) -> Result<Vec<RollUp>> {
        self.survey("reading which roll-ups there are", ALL, &[]).await?.iter().map(RollUp::read).collect()
    }
}

impl RollUp {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self { name: get(row, "name")?, subject: get(row, "subject")?, label: get(row, "label")? })
    }

    /// Its table.
    pub(super) fn table(&self) -> String {
        format!("analytics.{}_day", self.name)
    }

    /// The columns of its key without the day.
    pub(super) fn owner(&self) -> String {
        self.subject
            .as_ref()
            .map_or_else(|| "tenant_id".to_owned(), |subject| format!("tenant_id, {subject}"))
    }

    /// `a.x = b.x` for all columns of its key without the day.
    pub(super) fn same_owner(&self, a: &str, b: &str) -> String {
        let tenant = format!("{a}.tenant_id = {b}.tenant_id");
        self.subject
            .as_ref()
            .map_or_else(|| tenant.clone(), |subject| format!("{tenant} AND {a}.{subject} = {b}.{subject}"))
    }

    /// Like `same_owner`, for a search in the messages by the subject and the time. The tenant is checked in a form that no
    /// index serves: it is the same for all messages of a subject, and an index that begins with it would bring all of the
    /// tenant's.
    pub(super) fn belongs(&self, message: &str, key: &str) -> String {
        let tenant = format!("{message}.tenant_id = {key}.tenant_id");
        self.subject.as_ref().map_or_else(
            || tenant.clone(),
            |subject| format!("{message}.{subject} = {key}.{subject} AND ({tenant}) IS TRUE"),
        )
    }

    /// The condition under which a key is one of its own.
    pub(super) fn concerned(&self) -> String {
        self.subject.as_ref().map_or_else(|| "true".to_owned(), |subject| format!("{subject} IS NOT NULL"))
    }
}
