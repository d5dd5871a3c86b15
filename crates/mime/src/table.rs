//! The rows of tables of words, one at a time.
//!
//! Whoever asks a table asks for its rows here, so that the tests can take a single row out and see that the mail which
//! taught it is read otherwise then. Outside tests this is the table and nothing else.

/// The rows of a table. It must be a `static`: rows are told apart by where they stand.
#[cfg(not(test))]
pub(crate) fn rows<T>(table: &'static [T]) -> std::slice::Iter<'static, T> {
    table.iter()
}

/// The row of this number.
#[cfg(not(test))]
pub(crate) fn row<T>(table: &'static [T], number: usize) -> Option<&'static T> {
    table.get(number)
}

/// Whether a row is in its table: for those that are found by a search through several tables.
#[cfg(not(test))]
pub(crate) const fn is_there<T>(_: &'static T) -> bool {
    true
}

#[cfg(test)]
pub(crate) use taken_out::{is_there, row, rows};

#[cfg(test)]
pub(crate) mod taken_out {
    use std::cell::Cell;

    thread_local! {
        /// Where the row stands that this thread does without.
        static ROW: Cell<usize> = const { Cell::new(0) };
    }

    /// The rows of a table, but for the one that is taken out.
    pub(crate) fn rows<T>(table: &'static [T]) -> impl Iterator<Item = &'static T> {
        table.iter().filter(|row| is_there(*row))
    }

    /// The row of this number, but for the one that is taken out.
    pub(crate) fn row<T>(table: &'static [T], number: usize) -> Option<&'static T> {
        table.get(number).filter(|row| is_there(*row))
    }

    /// Whether a row is none that is taken out.
    pub(crate) fn is_there<T>(row: &'static T) -> bool {
        place(row) != ROW.get()
    }

    /// Where a row stands.
    pub(crate) fn place<T>(row: &'static T) -> usize {
        std::ptr::from_ref(row).addr()
    }

    /// Does something without a row.
    pub(crate) fn without<T>(row: usize, run: impl FnOnce() -> T) -> T {
        ROW.set(row);
        let done = run();
        ROW.set(0);
        done
    }
}

#[cfg(test)]
mod tests;
