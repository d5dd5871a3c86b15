//! A helper program that may hang is killed in time.

use std::io::{Read, Write as _};
use std::process::{Child, Output};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::wait::poll;

/// Gives `input` to a child and waits for its end; after `within` it is killed, which is an error.
pub(crate) fn run_bounded(mut child: Child, input: &str, within: Duration) -> Result<Output> {
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(mut stdout), Some(mut stderr)) = pipes else { bail!("a child without pipes") };
    // On threads of their own: it may answer before it has read everything, and all pipes are of bounded size. They end with
    // the child, whose ends of the pipes they hold the others of.
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()).ok());
        let read = |pipe: &mut dyn Read| {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).map(|_| bytes)
        };
        let (out, err) = (scope.spawn(move || read(&mut stdout)), scope.spawn(move || read(&mut stderr)));
        let status = poll(within, Duration::from_millis(1), || child.try_wait().transpose());
        if status.is_none() {
            // Only fails where it has just ended by itself.
            child.kill().ok();
        }
        let ended = child.wait().context("wait for a child")?;
        let bytes = |thread: ScopedJoinHandle<'_, std::io::Result<Vec<u8>>>| -> Result<Vec<u8>> {
            Ok(thread.join().map_err(|_| anyhow!("a thread that reads a pipe panicked"))??)
        };
        let (stdout, stderr) = (bytes(out)?, bytes(err)?);
        match status {
            None => bail!("it did not end in {within:?}: {}", String::from_utf8_lossy(&stderr)),
            Some(status) => {
                status.context("wait for a child")?;
                Ok(Output { status: ended, stdout, stderr })
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use super::*;

    fn run(script: &str, input: &str, within: Duration) -> Result<Output> {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        run_bounded(command.spawn()?, input, within)
    }

    #[test]
    fn a_child_that_never_ends_is_killed_and_that_is_an_error() {
        let begun = Instant::now();
        let error =
            run("echo why >&2; exec sleep 60", "", Duration::from_millis(100)).unwrap_err().to_string();
        assert!(error.contains("did not end in 100ms: why"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn more_than_a_pipe_holds_goes_in_and_out() {
        let input = "x".repeat(1 << 20);
        let output = run("tee /dev/stderr; exit 3", &input, Duration::from_mins(1)).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(3), input.len()));
        assert_eq!(output.stderr.len(), input.len());
    }
}
