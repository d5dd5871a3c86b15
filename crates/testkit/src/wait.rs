//! Waiting for a condition instead of for an amount of time.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(25);

/// Polls `f` every 25 ms until it gives a value, and returns that value.
///
/// # Panics
/// When `within` has passed; the message names `what`.
pub async fn eventually<T, F, Fut>(what: &str, within: Duration, mut f: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(value) = f().await {
            return value;
        }
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// [`eventually`] for code without a runtime.
///
/// # Panics
/// When `within` has passed; the message names `what`.
pub fn eventually_blocking<T>(what: &str, within: Duration, f: impl FnMut() -> Option<T>) -> T {
    match poll(within, POLL, f) {
        Some(value) => value,
        None => panic!("not within {within:?}: {what}"),
    }
}

/// Polls `f` every `pause` until it gives a value; `None` when `within` has passed. `f` runs at least once.
pub(crate) fn poll<T>(within: Duration, pause: Duration, mut f: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = f() {
            return Some(value);
        }
        if start.elapsed() >= within {
            return None;
        }
        std::thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_value_is_returned() {
        let mut calls = 0;
        let value = eventually("three calls", Duration::from_secs(10), || {
            calls += 1;
            std::future::ready((calls == 3).then_some("done"))
        })
        .await;
        assert_eq!((value, calls), ("done", 3));
        assert_eq!(eventually_blocking("at once", Duration::ZERO, || Some(1)), 1);
    }

    #[test]
    #[should_panic(expected = "not within 30ms: pigs fly")]
    fn what_never_comes_is_named() {
        eventually_blocking("pigs fly", Duration::from_millis(30), || None::<()>);
    }

    #[tokio::test]
    #[should_panic(expected = "not within 30ms: pigs fly")]
    async fn what_never_comes_is_named_in_async_code_too() {
        eventually("pigs fly", Duration::from_millis(30), || std::future::ready(None::<()>)).await;
    }
}
