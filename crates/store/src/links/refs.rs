//! The messages that a mail answers, from its header.

use std::collections::HashSet;

use mailfleet_model::lookup_message_id;

/// Most Message-IDs kept of one mail.
const MAX_REFS: usize = 10;

/// The messages that a mail answers, nearest first, as `lookup_message_id` keeps their Message-IDs; each once, at most 10.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refs {
    pub(crate) ids: Vec<String>,
    pub(crate) in_reply_to: usize,
}

impl Refs {
    /// Reads them from a header: what a report is `about` first, then In-Reply-To, then References from the last to the
    /// first (RFC 5322 §3.6.4). Of more than ten the nearest nine are kept, and the last, which names the thread. The own
    /// Message-ID is no reference.
    #[must_use]
    pub fn of(own: Option<&str>, about: Option<&str>, in_reply_to: &[String], references: &[String]) -> Self {
        let own = own.and_then(lookup_message_id);
        let mut seen: HashSet<String> = own.into_iter().collect();
        let mut fresh = |id: &str| lookup_message_id(id).filter(|id| seen.insert(id.clone()));
        // A report answers nobody, so its In-Reply-To is not counted as one.
        let about_ids: Vec<String> = about.into_iter().filter_map(&mut fresh).collect();
        let answered: Vec<String> = in_reply_to.iter().filter_map(|id| fresh(id)).take(MAX_REFS).collect();
        let in_reply_to = if about_ids.is_empty() { answered.len() } else { 0 };
        let mut ids: Vec<String> = about_ids;
        ids.extend(answered);
        ids.extend(references.iter().rev().filter_map(|id| fresh(id)));
        if ids.len() > MAX_REFS {
            let last = ids.pop();
            ids.truncate(MAX_REFS - 1);
            ids.extend(last);
        }
        Self { in_reply_to: in_reply_to.min(ids.len()), ids }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|&id| id.to_owned()).collect()
    }

    #[test]
    fn the_nearest_comes_first_and_each_once() {
        let refs = Refs::of(Some("me@x"), None, &ids(&["c@x"]), &ids(&["a@x", "b@x", "<c@x>", "me@x"]));
        assert_eq!(refs, Refs { ids: ids(&["c@x", "b@x", "a@x"]), in_reply_to: 1 });
        assert_eq!(Refs::of(None, None, &[], &[]), Refs::default());
    }

    #[test]
    fn what_a_report_is_about_comes_first_and_is_no_reply() {
        let refs = Refs::of(None, Some("sent@x"), &ids(&["b@x"]), &[]);
        assert_eq!(refs, Refs { ids: ids(&["sent@x", "b@x"]), in_reply_to: 0 });
    }

    #[test]
    fn a_long_thread_keeps_its_nearest_and_its_first() {
        let long: Vec<String> = (0..500).map(|n| format!("{n}@x")).collect();
        let refs = Refs::of(None, None, &ids(&["499@x"]), &long);
        assert_eq!(refs.ids.len(), MAX_REFS);
        assert_eq!(
            (refs.ids[0].as_str(), refs.ids[1].as_str(), refs.ids[9].as_str()),
            ("499@x", "498@x", "0@x")
        );
        let hostile = Refs::of(None, None, &long, &[]);
        assert_eq!((hostile.ids.len(), hostile.in_reply_to), (10, 10));
    }
}
