//! Commands to Redis that only somebody who means harm would give.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// What consumers hold entries of, one name a line, pseudo-consumers among them.
const HOLDERS: &str = "local names = '' \
    for _, queue in ipairs({'email:processing', 'delivery:events'}) do \
        for _, lane in ipairs({'high', 'normal', 'low'}) do \
            local pending = redis.pcall('XPENDING', 'mailfleet:{' .. queue .. ':0}:' .. lane, 'consumers') \
            for _, holder in ipairs(pending[4] or {}) do names = names .. holder[1] .. ' ' end \
        end \
    end \
    return names";

/// Sends one command and gives the answer: a line, or the text of a bulk string. An error that Redis says is an answer.
///
/// # Panics
/// Where Redis is away.
pub fn ask(port: u16, command: &str) -> String {
    try_ask(port, command, Duration::from_secs(10)).unwrap()
}

fn try_ask(port: u16, command: &str, within: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(within))?;
    write!(stream, "{command}\r\n")?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let Some(length) = line.strip_prefix('$') else { return Ok(line.trim_end().to_owned()) };
    let mut bulk = vec![0; length.trim_end().parse().unwrap()];
    stream.read_exact(&mut bulk)?;
    Ok(String::from_utf8(bulk).unwrap())
}

/// The names of the consumers that hold entries; none while Redis does not answer at once.
pub fn holders(port: u16) -> Vec<String> {
    let names = try_ask(port, &format!("EVAL \"{HOLDERS}\" 0"), Duration::from_millis(300));
    names.map(|names| names.split(' ').map(str::to_owned).collect()).unwrap_or_default()
}

/// Destroys the groups of all lanes of both queues, in a partition. True where there was one.
pub fn destroy_groups(port: u16) -> bool {
    let mut destroyed = false;
    for queue in ["email:processing", "delivery:events"] {
        for lane in ["high", "normal", "low"] {
            let key = format!("mailfleet:{{{queue}:0}}:{lane}");
            destroyed |= ask(port, &format!("XGROUP DESTROY {key} consumers")) == ":1";
        }
    }
    destroyed
}

/// Sets `maxmemory`, in bytes or with a unit.
pub fn set_max_memory(port: u16, limit: &str) {
    assert_eq!(ask(port, &format!("CONFIG SET maxmemory {limit}")), "+OK");
}

/// How much memory is used, in bytes.
pub fn used_memory(port: u16) -> u64 {
    let info = ask(port, "INFO memory");
    info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok()).unwrap()
}
