//! How fast letters go.

use std::time::Duration;

use tokio::time::Instant;

/// Letters a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(u32);

/// Reads `20` or `20/s`.
pub fn rate(word: &str) -> Result<Rate, String> {
    let number = word.strip_suffix("/s").unwrap_or(word);
    match number.parse() {
        Ok(rate @ 1..=10_000) => Ok(Rate(rate)),
        _ => Err(format!("`{word}` is no rate: use 20 or 20/s, at most 10000/s")),
    }
}

/// Lets letters pass at a rate. Time that went by unused is not made up for.
#[derive(Debug)]
pub struct Pace {
    rate: Option<Rate>,
    next: Instant,
}

impl Pace {
    /// Without a rate all pass at once.
    pub fn new(rate: Option<Rate>) -> Self {
        Self { rate, next: Instant::now() }
    }

    /// How many may go in one step: those of a fifth of a second, at least one.
    pub fn step(&self) -> usize {
        self.rate.map_or(usize::MAX, |Rate(rate)| usize::try_from(rate / 5).unwrap_or(1).max(1))
    }

    /// Waits until so many may go.
    pub async fn pass(&mut self, letters: usize) {
        if self.rate.is_some() {
            tokio::time::sleep_until(self.due(letters, Instant::now())).await;
        }
    }

    /// When so many may go; the next ones after that have to wait for these.
    fn due(&mut self, letters: usize, now: Instant) -> Instant {
        let due = self.next.max(now);
        if let Some(Rate(rate)) = self.rate {
            self.next = due + Duration::from_secs(1) * u32::try_from(letters).unwrap_or(u32::MAX) / rate;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_a_second() {
        assert_eq!(
            (rate("20"), rate("20/s"), rate("10000/s")),
            (Ok(Rate(20)), Ok(Rate(20)), Ok(Rate(10_000)))
        );
        assert!(["", "0", "-1", "1.5", "20/m", "10001", "s"].iter().all(|word| rate(word).is_err()));
    }

    #[test]
    fn so_many_pass_in_a_second_and_no_more() {
        let mut pace = Pace::new(Some(Rate(20)));
        assert_eq!((pace.step(), Pace::new(None).step()), (4, usize::MAX));
        let begun = pace.next;
        let mut due = |letters, after_ms| pace.due(letters, begun + Duration::from_millis(after_ms)) - begun;
        // The first go at once, the others one by one after them.
        let times = [due(4, 0), due(4, 0), due(1, 0), due(4, 450), due(4, 2_000), due(4, 2_000)];
        assert_eq!(times.map(|time| time.as_millis()), [0, 200, 400, 450, 2_000, 2_200]);
    }
}
