//! Where the mails of a batch belong, from what is known: pure.

use std::collections::HashMap;
use std::fmt::Write as _;

use mailfleet_model::{Direction, TenantId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::known::{Known, Name, Node, stands};
use super::{Linked, Refs};

/// A campaign, and the lead where one is known.
pub(super) type Campaign = (Uuid, Option<Uuid>);

/// Where a mail belongs, and what that was made from.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) refs: Refs,
    pub(super) thread: String,
    pub(super) parent: Option<String>,
    /// Which of `refs` the parent is.
    pub(super) parent_at: Option<usize>,
    pub(super) evidence: Option<&'static str>,
    pub(super) campaign: Option<Campaign>,
    pub(super) named: Option<Campaign>,
}

impl Placed {
    /// The messages that would take the parent's place if they came.
    pub(super) fn awaited(&self) -> &[String] {
        self.refs.ids.get(..self.parent_at.unwrap_or(self.refs.ids.len())).unwrap_or_default()
    }
}

/// The thread of a mail without a parent. `settle` makes the same in SQL.
pub(super) fn thread_id(tenant: TenantId, root: &str) -> String {
    let digest = Sha256::digest(format!("{tenant} {root}"));
    digest.iter().take(16).fold(String::from("t_"), |mut id, byte| {
        // Writing into a String cannot fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}

/// Places the rows; `named` is what their X-Campaign-ID was found to mean.
pub(super) fn place(rows: &[Linked], named: &[Option<Campaign>], known: &Known) -> Vec<Placed> {
    let mut by_name: HashMap<Name, usize> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        let Some(id) = &row.message_id else { continue };
        let best = by_name.entry((row.tenant, id.clone())).or_insert(index);
        if rows.get(*best).is_some_and(|other| rank(row) < rank(other)) {
            *best = index;
        }
    }
    let states = vec![State::Open; rows.len()];
    let mut placing = Placing { rows, named, known, by_name, states };
    (0..rows.len()).for_each(|index| placing.visit(index));
    placing
        .states
        .into_iter()
        .filter_map(|state| match state {
            State::Done(placed) => Some(placed),
            State::Open | State::Under => None,
        })
        .collect()
}

/// The order in which one of several messages with a Message-ID is chosen: the least first.
fn rank(row: &Linked) -> (bool, &str) {
    (row.direction == Direction::Inbound, row.key.as_str())
}

#[derive(Debug, Clone)]
enum State {
    Open,
    /// Being placed: whoever meets it here has gone in a circle.
    Under,
    Done(Placed),
}

struct Placing<'a> {
    rows: &'a [Linked],
    named: &'a [Option<Campaign>],
    known: &'a Known,
    by_name: HashMap<Name, usize>,
    states: Vec<State>,
}

/// What a child takes from its parent.
struct Parent {
    at: usize,
    key: String,
    thread: String,
    outbound: bool,
    campaign: Option<Campaign>,
}

impl Placing<'_> {
    /// Places a row after its parents of this batch; as deep as the batch has mails at most.
    fn visit(&mut self, index: usize) {
        let (Some(row), Some(State::Open)) = (self.rows.get(index), self.states.get(index)) else { return };
        self.set(index, State::Under);
        let own = stands(row, self.known).cloned();
        // The copy in the Sent folder knows better what the message answers than its registration.
        let refs = match &own {
            Some(node) if row.bytes == 0 && node.bytes > 0 => node.refs.clone(),
            _ => row.refs.clone(),
        };
        let parent = refs.ids.iter().enumerate().find_map(|(at, id)| self.parent(row, at, id));
        let named = self.named.get(index).copied().flatten().or(own.as_ref().and_then(|node| node.named));
        let (campaign, evidence) = self.campaign(row, own.as_ref(), &refs, parent.as_ref(), named);
        let root = refs.ids.last().or(row.message_id.as_ref()).map_or(row.key.as_str(), String::as_str);
        let placed = Placed {
            thread: parent.as_ref().map_or_else(|| thread_id(row.tenant, root), |p| p.thread.clone()),
            parent_at: parent.as_ref().map(|parent| parent.at),
            parent: parent.map(|parent| parent.key),
            refs,
            evidence,
            campaign,
            named,
        };
        self.set(index, State::Done(placed));
    }

    fn set(&mut self, index: usize, state: State) {
        if let Some(slot) = self.states.get_mut(index) {
            *slot = state;
        }
    }

    /// The message of this Message-ID, of this batch or of before, unless that would go in a circle.
    fn parent(&mut self, row: &Linked, at: usize, id: &str) -> Option<Parent> {
        let name = (row.tenant, id.to_owned());
        let known = self.known.best.get(&name);
        let here = self.by_name.get(&name).copied().filter(|&index| {
            let (Some(row), Some(node)) = (self.rows.get(index), known) else { return true };
            // The same row, or a better one than what stands.
            rank(row) <= (node.direction == Direction::Inbound, node.key.as_str())
        });
        let Some(index) = here else {
            return known.map(|node| Parent {
                at,
                key: node.key.clone(),
                thread: node.thread.clone(),
                outbound: node.direction == Direction::Outbound,
                campaign: passed_on(
                    node.direction,
                    node.evidence.as_deref(),
                    node.campaign.map(|c| (c, node.lead)),
                ),
            });
        };
        self.visit(index);
        let (Some(parent), Some(State::Done(placed))) = (self.rows.get(index), self.states.get(index)) else {
            return None;
        };
        Some(Parent {
            at,
            key: parent.key.as_str().to_owned(),
            thread: placed.thread.clone(),
            outbound: parent.direction == Direction::Outbound,
            campaign: passed_on(parent.direction, placed.evidence, placed.campaign),
        })
    }

    fn campaign(
        &self,
        row: &Linked,
        own: Option<&Node>,
        refs: &Refs,
        parent: Option<&Parent>,
        named: Option<Campaign>,
    ) -> (Option<Campaign>, Option<&'static str>) {
        let before = own.and_then(Node::registered);
        if let Some(told) = before.map_or(row.registered, |before| Some(before.and(row.registered))) {
            return (Some((told.campaign.0, told.lead.map(|lead| lead.0))), Some("registered"));
        }
        let by_header = (named, named.map(|_| "x_campaign_id"));
        match row.direction {
            Direction::Outbound if named.is_some() => return by_header,
            Direction::Inbound if self.is_copy(row) => return (None, None),
            Direction::Outbound | Direction::Inbound => {}
        }
        match parent {
            Some(Parent { at, outbound, campaign: Some(campaign), .. }) => {
                let direct = *outbound && *at < refs.in_reply_to;
                (Some(*campaign), Some(if direct { "in_reply_to" } else { "references" }))
            }
            _ => by_header,
        }
    }

    /// Whether this inbound mail is a copy of one that we sent.
    fn is_copy(&self, row: &Linked) -> bool {
        let Some(id) = &row.message_id else { return false };
        let name = (row.tenant, id.clone());
        let here = self.by_name.get(&name).and_then(|&index| self.rows.get(index));
        here.is_some_and(|row| row.direction == Direction::Outbound)
            || self.known.best.get(&name).is_some_and(|node| node.direction == Direction::Outbound)
    }
}

/// The campaign that answers to a message inherit: what only its sender says of itself is not passed on.
fn passed_on(direction: Direction, evidence: Option<&str>, campaign: Option<Campaign>) -> Option<Campaign> {
    match direction {
        Direction::Outbound => campaign,
        Direction::Inbound => campaign.filter(|_| matches!(evidence, Some("in_reply_to" | "references"))),
    }
}
