//! When a verified call may take an endpoint's note away: at once where this process left it, seldom where another did.
//!
//! Of several producers perhaps only some can read a secret. Then each call would write into PostgreSQL what the last one
//! took away, and whether an operator sees the note would be luck. So it stands most of the time, and the writes are few.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// Another process' note is taken away no more often than this.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Endpoints that are remembered at most.
const ENDPOINTS_MAX: usize = 20_000;

/// What this process last did with the notes of endpoints.
#[derive(Debug, Default)]
pub struct Notes(Mutex<HashMap<Uuid, Last>>);

#[derive(Debug, Clone, Copy)]
enum Last {
    /// It could not verify a call itself.
    Refused,
    /// It took a note away.
    Cleared(Instant),
}

impl Notes {
    /// This process cannot verify a call of this endpoint.
    pub fn refused(&self, endpoint: Uuid) {
        self.put(endpoint, Last::Refused);
    }

    /// Whether the note of this endpoint, of which a call was verified, is to be taken away now.
    pub fn may_clear(&self, endpoint: Uuid, now: Instant) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&endpoint).copied();
        match last {
            Some(Last::Cleared(at)) if now.saturating_duration_since(at) < AGAIN_AFTER => false,
            // Two calls at once may both come here: the second writes nothing, since the note is gone.
            _ => {
                self.put(endpoint, Last::Cleared(now));
                true
            }
        }
    }

    fn put(&self, endpoint: Uuid, last: Last) {
        // A map of plain values is whole after every step.
        let mut lasts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lasts.len() >= ENDPOINTS_MAX && !lasts.contains_key(&endpoint) {
            // Rather a write too many than to grow.
            lasts.clear();
        }
        lasts.insert(endpoint, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_another_process_is_taken_away_once_a_minute_and_ones_own_at_once() {
        let (notes, now, endpoint) = (Notes::default(), Instant::now(), Uuid::from_u128(1));
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(notes.may_clear(endpoint, now), "it may be from before a restart");
        assert!(!notes.may_clear(endpoint, after(59)), "somebody has left it again");
        assert!(notes.may_clear(Uuid::from_u128(2), after(59)), "that of another endpoint");
        assert!(notes.may_clear(endpoint, after(60)));
        notes.refused(endpoint);
        assert!(notes.may_clear(endpoint, after(61)), "what was wrong here is right again");
        assert!(!notes.may_clear(endpoint, after(62)));
    }

    #[test]
    fn the_number_of_endpoints_is_bounded() {
        let notes = Notes::default();
        for id in 0..ENDPOINTS_MAX as u128 + 10 {
            notes.refused(Uuid::from_u128(id));
        }
        assert!(notes.0.lock().unwrap().len() <= ENDPOINTS_MAX);
    }
}
