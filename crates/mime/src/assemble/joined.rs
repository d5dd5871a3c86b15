//! The text of a mail, or its HTML, as it grows from part to part.
//!
//! While it grows it weighs twice, once before and once behind. So it is not moved where there is room: what was decoded into
//! as much memory as it needs has a little more than that, for the few words of a cover or of a list's footer.

/// Text of so many parts.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    text: Option<String>,
    /// What it weighs so far.
    weight: usize,
}

/// How a text comes to what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    First,
    /// Into the room behind what is there.
    Behind,
    /// What is there goes before it, into its own room.
    Around,
    /// Both into more memory.
    Moved,
}

impl Joined {
    /// All of it; `None` where there was none.
    pub(crate) fn all(self) -> Option<String> {
        self.text
    }

    pub(crate) const fn is_none(&self) -> bool {
        self.text.is_none()
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.text.as_ref().is_none_or(|text| text.trim().is_empty())
    }

    fn how(&self, more: &String) -> How {
        let Some(text) = &self.text else { return How::First };
        if text.capacity() - text.len() > more.len() {
            How::Behind
        } else if more.capacity() - more.len() > text.len() {
            How::Around
        } else {
            How::Moved
        }
    }

    /// What this text adds to the weight, with what it makes the others weigh.
    pub(crate) fn weight(&self, more: &String) -> usize {
        match self.how(more) {
            How::First | How::Behind | How::Around => more.len(),
            How::Moved => {
                let all = self.text.as_ref().map_or(0, String::len).saturating_add(more.len());
                all.saturating_mul(2).saturating_sub(self.weight)
            }
        }
    }

    /// Adds a text, on a line of its own.
    pub(crate) fn add(&mut self, mut more: String) {
        let how = self.how(&more);
        self.weight += self.weight(&more);
        let Some(text) = &mut self.text else {
            self.text = Some(more);
            return;
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.reserve_exact(1);
            text.push('\n');
        }
        match how {
            How::Around => {
                more.insert_str(0, text);
                *text = more;
            }
            How::Moved => {
                // Room for a little more, not for as much again: a copy of a long text weighs.
                text.reserve_exact(more.len() + text.len() / 4);
                text.push_str(&more);
            }
            How::First | How::Behind => text.push_str(&more),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_room(text: &str, room: usize) -> String {
        let mut roomy = String::with_capacity(text.len() + room);
        roomy.push_str(text);
        roomy
    }

    #[test]
    fn texts_stand_on_lines_of_their_own_wherever_the_room_is() {
        for (first, second) in [(0, 0), (100, 0), (0, 100)] {
            let mut joined = Joined::default();
            joined.add(with_room("one", first));
            joined.add(with_room("two\n", second));
            joined.add(String::new());
            joined.add("three".to_owned());
            assert_eq!(joined.all().as_deref(), Some("one\ntwo\nthree"));
        }
        let mut empty = Joined::default();
        empty.add(String::new());
        empty.add("x".to_owned());
        assert_eq!(empty.all().as_deref(), Some("x"));
    }

    #[test]
    fn what_is_moved_weighs_twice_with_all_that_is_there() {
        let mut joined = Joined::default();
        let (first, roomy, exact) = (with_room("12345", 0), with_room("678", 100), with_room("678", 0));
        assert_eq!(joined.weight(&first), 5);
        joined.add(first);
        assert_eq!((joined.weight(&roomy), joined.weight(&exact)), (3, 5 + 6));
        joined.add(exact);
        joined.add(with_room("9", 0));
        assert!(joined.text.as_ref().is_some_and(|text| text == "12345\n678\n9"));
        let more = with_room("more than there is room for", 0);
        assert_eq!(joined.weight(&more), 2 * (11 + 27) - joined.weight);
    }
}
