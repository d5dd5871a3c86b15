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

/// How many entries their holders have not renewed for so many ms; those that nobody holds (pseudo-consumers) aside.
const UNRENEWED: &str = "local found, nobody = 0, {released = 1, alone = 1, delayed = 1} \
    for _, queue in ipairs({'email:processing', 'delivery:events'}) do \
        for _, lane in ipairs({'high', 'normal', 'low'}) do \
            local key = 'mailfleet:{' .. queue .. ':0}:' .. lane \
            local rows = redis.pcall('XPENDING', key, 'consumers', 'IDLE', $IDLE, '-', '+', 1000) \
            for _, row in ipairs(rows) do if not nobody[row[2]] then found = found + 1 end end \
        end \
    end \
    return found";

/// What is in Redis that should not be there when all is done: entries, records of jobs that are not dead, raw mail, counts of
/// entries and bytes.
const LEFT: &str = "local left = '' \
    for _, key in ipairs(redis.call('KEYS', 'mailfleet:*')) do \
        local kind, many = redis.call('TYPE', key).ok, 0 \
        if kind == 'stream' and not string.find(key, ':dead$') then many = redis.call('XLEN', key) end \
        if string.find(key, ':blob:') then many = 1 end \
        if kind == 'zset' then many = redis.call('ZCARD', key) end \
        if string.find(key, ':live$') then \
            for _, record in ipairs(redis.call('HVALS', key)) do \
                if string.sub(record, 1, 1) ~= 'X' then many = many + 1 end \
            end \
        end \
        if string.find(key, ':accounts$') then \
            for _, field in ipairs(redis.call('HKEYS', key)) do \
                if string.sub(field, 1, 5) ~= '#full' then many = many + 1 end \
            end \
        end \
        if many > 0 then left = left .. key .. '=' .. many .. ' ' end \
    end \
    return left";

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

/// How many entries their holders have not renewed for `idle_ms`.
pub fn unrenewed(port: u16, idle_ms: u64) -> u64 {
    let answer = ask(port, &format!("EVAL \"{}\" 0", UNRENEWED.replace("$IDLE", &idle_ms.to_string())));
    answer.strip_prefix(':').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

/// What is left in Redis although all is done, key by key with how many there are; empty where nothing is.
pub fn left(port: u16) -> String {
    let answer = ask(port, &format!("EVAL \"{LEFT}\" 0"));
    assert!(!answer.starts_with('-'), "{answer}");
    answer.trim().to_owned()
}

/// How often Redis has answered with an error of this name since it started.
pub fn errors(port: u16, name: &str) -> u64 {
    let said = ask(port, "INFO errorstats");
    let line = format!("errorstat_{name}:count=");
    said.lines().find_map(|text| text.trim().strip_prefix(line.as_str())?.parse().ok()).unwrap_or(0)
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
