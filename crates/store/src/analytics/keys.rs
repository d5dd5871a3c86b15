//! Keys as parallel arrays: of tenant, day, and each subject that a roll-up counts by.

use chrono::NaiveDate;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::rollups::Registry;
use crate::error::Result;
use crate::rows::get;

/// The keys of a page. Subjects are names of columns, from the registry.
pub(super) struct Keys {
    tenants: Vec<Uuid>,
    days: Vec<NaiveDate>,
    subjects: Vec<(String, Vec<Option<Uuid>>)>,
}

impl Keys {
    /// What aggregates rows of keys to what [`Keys::read`] reads.
    pub(super) fn arrays(registry: &Registry) -> String {
        let subjects = registry
            .subjects()
            .into_iter()
            .map(|subject| format!(", coalesce(array_agg({subject}), '{{}}') AS of_{subject}"));
        format!(
            "coalesce(array_agg(tenant_id), '{{}}') AS tenants, coalesce(array_agg(day), '{{}}') AS days{}",
            subjects.collect::<String>()
        )
    }

    /// Reads a row of arrays.
    pub(super) fn read(registry: &Registry, row: &Row) -> Result<Self> {
        let subjects = registry.subjects().into_iter();
        Ok(Self {
            tenants: get(row, "tenants")?,
            days: get(row, "days")?,
            subjects: subjects
                .map(|subject| Ok((subject.to_owned(), get(row, &format!("of_{subject}"))?)))
                .collect::<Result<_>>()?,
        })
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.days.len()
    }

    /// The keys as rows, in the FROM of a statement that has [`Keys::params`].
    pub(super) fn rows(&self, alias: &str) -> String {
        let mut arrays = vec!["$1::uuid[]".to_owned(), "$2::date[]".to_owned()];
        let mut columns = vec!["tenant_id", "day"];
        for (subject, _) in &self.subjects {
            arrays.push(format!("${}::uuid[]", arrays.len() + 1));
            columns.push(subject);
        }
        format!("unnest({}) AS {alias} ({})", arrays.join(", "), columns.join(", "))
    }

    /// The parameters of a statement that reads [`Keys::rows`].
    pub(super) fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&self.tenants, &self.days];
        params.extend(self.subjects.iter().map(|(_, ids)| ids as &(dyn ToSql + Sync)));
        params
    }
}
