//! One try of a batch at PostgreSQL, for every kind of work: together, and where that fails, each entry by itself.

use mailfleet_model::{Classify as _, JobId};
use mailfleet_queue::Failure;
use mailfleet_store::Error;

use crate::batch::{Case, Context, Kind, Verdict};
use crate::blame::Mark;
use crate::ingest::Rejection;
use crate::policy::Policy;

/// Something with its entry's place in the batch.
pub type Placed<T> = (usize, T);

impl<K: Kind> Context<K> {
    /// Writes the rows in one call; where that fails for the batch, each in its own.
    pub async fn write(&self, cases: &mut [Case<'_>], mut rows: Vec<Placed<K::Row>>) {
        rows.retain(|(index, _)| cases.get_mut(*index).is_some_and(Case::goes_on));
        if rows.is_empty() {
            return;
        }
        let (indexes, rows): (Vec<usize>, Vec<K::Row>) = rows.into_iter().unzip();
        let began = self.suspects.mark();
        match self.write_once(&rows).await {
            Ok(fates) => {
                for (index, fate) in indexes.into_iter().zip(fates) {
                    self.judge(cases, index, fate);
                }
            }
            Err(error) if rows.len() == 1 => {
                for index in indexes {
                    self.fail(cases, index, began, &error);
                }
            }
            Err(error) => {
                for case in indexes.iter().filter_map(|index| cases.get(*index)) {
                    self.suspects.suspect(case.delivery.job_id());
                }
                if let Some(suppressed) = self.log.open() {
                    tracing::warn!(
                        %error, entries = rows.len(), suppressed,
                        "a batch could not be written; each entry is tried alone"
                    );
                }
                self.write_each(cases, indexes.into_iter().zip(rows).collect()).await;
            }
        }
    }

    /// Each row in its own transaction. Those that failed while nothing else was stored are tried once more after
    /// something was: only then it is known whether they are to blame.
    async fn write_each(&self, cases: &mut [Case<'_>], mut rows: Vec<Placed<K::Row>>) {
        for _ in 0..2 {
            let before = self.suspects.mark();
            let mut undecided = Vec::new();
            for (index, row) in rows {
                // The rows before it have taken their time.
                if !cases.get_mut(index).is_some_and(Case::is_ours) {
                    continue;
                }
                let began = self.suspects.mark();
                match self.write_once(std::slice::from_ref(&row)).await {
                    Ok(fates) => {
                        for fate in fates {
                            self.judge(cases, index, fate);
                        }
                    }
                    Err(error) => {
                        if matches!(self.fail(cases, index, began, &error), Some(Verdict::Later)) {
                            undecided.push((index, row));
                        }
                    }
                }
            }
            if undecided.is_empty() || self.suspects.mark() == before {
                return;
            }
            rows = undecided;
        }
    }

    async fn write_once(&self, rows: &[K::Row]) -> Result<Vec<K::Fate>, Error> {
        let fates = self.gate.through(|| K::write(self, rows)).await?;
        self.gate.worked();
        if fates.iter().any(K::is_new) {
            self.suspects.stored();
        }
        Ok(fates)
    }

    fn judge(&self, cases: &mut [Case<'_>], index: usize, fate: K::Fate) {
        let Some(case) = cases.get_mut(index) else { return };
        self.suspects.forget(case.delivery.job_id());
        let verdict = K::judge(self, case, fate);
        case.verdict = Some(verdict);
    }

    fn fail<'a>(
        &self,
        cases: &'a mut [Case<'_>],
        index: usize,
        began: Mark,
        error: &Error,
    ) -> Option<&'a Verdict> {
        let case = cases.get_mut(index)?;
        let verdict = self.failed(case.delivery.job_id(), began, error);
        Some(case.verdict.insert(verdict))
    }

    /// What becomes of an entry for which the store has no answer but an error.
    pub fn failed(&self, job: &JobId, began: Mark, error: &Error) -> Verdict {
        let class = error.class();
        match Policy::of(class) {
            Policy::Bury => Verdict::Dead(Rejection::permanent(class, error)),
            Policy::Wait if self.suspects.failed(job, began) => {
                Verdict::Retry(Failure::new(class, error.to_string()))
            }
            Policy::Wait => Verdict::Later,
        }
    }
}

/// Ends an entry.
pub fn end(cases: &mut [Case<'_>], index: usize, verdict: Verdict) {
    if let Some(case) = cases.get_mut(index) {
        case.verdict = Some(verdict);
    }
}
