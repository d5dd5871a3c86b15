//! Who has which slots, as far as it is known. A server alone, or the master of sentinels, has all of them.

use std::sync::Arc;

use super::node::Node;
use super::slot::SLOTS;

/// Slots from `first` to `last` and the index of their master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) master: usize,
}

/// One look at the servers; never changed.
pub(crate) struct View {
    masters: Vec<Arc<Node>>,
    /// By slot, not overlapping.
    ranges: Vec<Range>,
    /// Slots that are somewhere else by now, as their former masters said.
    moved: Vec<(u16, Arc<Node>)>,
}

impl View {
    /// One server with everything.
    pub(crate) fn one(node: Arc<Node>) -> Self {
        let ranges = vec![Range { first: 0, last: SLOTS - 1, master: 0 }];
        Self { masters: vec![node], ranges, moved: Vec::new() }
    }

    /// Several of them.
    pub(crate) fn many(masters: Vec<Arc<Node>>, mut ranges: Vec<Range>) -> Self {
        ranges.sort_by_key(|range| range.first);
        Self { masters, ranges, moved: Vec::new() }
    }

    /// This one, but for a slot that has moved.
    pub(crate) fn with_moved(&self, slot: u16, node: &Arc<Node>) -> Self {
        let mut moved: Vec<_> = self.moved.iter().filter(|(other, _)| *other != slot).cloned().collect();
        moved.push((slot, Arc::clone(node)));
        Self { masters: self.masters.clone(), ranges: self.ranges.clone(), moved }
    }

    /// All masters, in an order that only changes with them.
    pub(crate) fn masters(&self) -> &[Arc<Node>] {
        &self.masters
    }

    /// Whoever has this slot. `None` where nobody is known to.
    pub(crate) fn master(&self, slot: u16) -> Option<&Arc<Node>> {
        if let Some((_, node)) = self.moved.iter().find(|(moved, _)| *moved == slot) {
            return Some(node);
        }
        let range = self.ranges.get(self.ranges.partition_point(|range| range.last < slot))?;
        if range.first <= slot { self.masters.get(range.master) } else { None }
    }

    /// Whether both have the same masters.
    pub(crate) fn has_the_masters_of(&self, other: &Self) -> bool {
        let same = |(one, other): (&Arc<Node>, &Arc<Node>)| Arc::ptr_eq(one, other);
        self.masters.len() == other.masters.len() && self.masters.iter().zip(&other.masters).all(same)
    }

    /// The node of this place, of all that are known.
    pub(crate) fn node_at(&self, place: &str) -> Option<&Arc<Node>> {
        let moved = self.moved.iter().map(|(_, node)| node);
        self.masters.iter().chain(moved).find(|node| node.place() == place)
    }
}

#[cfg(test)]
mod tests {
    use mailfleet_model::Secret;

    use super::super::address::Address;
    use super::super::node::Maker;
    use super::*;
    use crate::config::Config;

    fn node(port: u16) -> Arc<Node> {
        let config = Config { url: Secret::new(format!("redis://h:{port}")), ..Config::default() };
        let Address::One(info) = Address::parse(config.url.expose()).unwrap() else { panic!() };
        Maker::new(&config, false).unwrap().node(info).unwrap()
    }

    #[test]
    fn a_slot_is_found_at_its_master_and_nowhere_where_nobody_has_it() {
        let range = |first, last, master| Range { first, last, master };
        let view = View::many(
            vec![node(1), node(2)],
            vec![range(200, 300, 0), range(0, 99, 0), range(100, 199, 1), range(400, SLOTS - 1, 1)],
        );
        let at = |view: &View, slot| view.master(slot).map(|node| node.place().to_owned());
        for (slot, place) in
            [(0, "h:1"), (99, "h:1"), (100, "h:2"), (199, "h:2"), (300, "h:1"), (16_383, "h:2")]
        {
            assert_eq!(at(&view, slot).as_deref(), Some(place), "{slot}");
        }
        assert_eq!(at(&view, 301), None);
        let moved = view.with_moved(99, &node(3));
        assert_eq!((at(&moved, 99).as_deref(), at(&moved, 98).as_deref()), (Some("h:3"), Some("h:1")));
        assert_eq!(at(&moved.with_moved(99, &node(2)), 99).as_deref(), Some("h:2"));
        assert!(moved.node_at("h:3").is_some() && view.node_at("h:3").is_none());
        assert_eq!(at(&View::one(node(7)), 9_999).as_deref(), Some("h:7"));
    }
}
