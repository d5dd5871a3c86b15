//! What is counted, as SQL over the base tables. The meaning of each measure stands in the comments of migration V6.

use super::keys::Keys;
use super::rollups::RollUp;

/// The measures that are plain counts, by the names of their columns.
pub(super) const COUNTS: [&str; 12] = [
    "sent",
    "delivered",
    "bounced_soft",
    "bounced_hard",
    "complained",
    "opened",
    "clicked",
    "unsubscribed",
    "replied",
    "auto_replied",
    "received",
    "bytes_in",
];

/// That a message is of the day of a key, in a form that the indexes of messages, which end in `created`, serve.
pub(super) fn same_day(message: &str, key: &str) -> String {
    format!(
        "{message}.created >= {key}.day::timestamp AT TIME ZONE 'UTC' \
         AND {message}.created < ({key}.day + 1)::timestamp AT TIME ZONE 'UTC'"
    )
}

/// Removes the rows of the keys.
pub(super) fn clear(rollup: &RollUp, keys: &Keys) -> String {
    format!(
        "DELETE FROM {} d USING {} WHERE {} AND d.day = u.day",
        rollup.table(),
        keys.rows("u"),
        rollup.same_owner("d", "u")
    )
}

/// Counts the keys anew. A key without any message gets no row.
///
/// The parts are put under one another and summed, never joined: the planner cannot know how many messages a key has, and a
/// join of the parts would then compare all keys with all.
pub(super) fn fill(rollup: &RollUp, keys: &Keys) -> String {
    let key = format!("{}, day", rollup.owner());
    let parts = [
        part(
            &key,
            "picked",
            &[
                ("replied", "count(*) FILTER (WHERE answer IN ('email', 'calendar', 'unsubscribe'))"),
                ("auto_replied", "count(*) FILTER (WHERE answer = 'auto_reply')"),
                ("received", "count(*) FILTER (WHERE direction = 'inbound')"),
                ("bytes_in", "coalesce(sum(bytes) FILTER (WHERE direction = 'inbound'), 0)::bigint"),
            ],
        ),
        part(
            &key,
            "picked JOIN mailfleet.message_recipients r USING (storage_key, tenant_id) WHERE direction = 'outbound'",
            &[
                ("sent", "count(*) FILTER (WHERE status >= 1)"),
                ("delivered", "count(*) FILTER (WHERE status IN (3, 6))"),
                ("bounced_soft", "count(*) FILTER (WHERE status = 4)"),
                ("bounced_hard", "count(*) FILTER (WHERE status = 5)"),
                ("complained", "count(*) FILTER (WHERE status = 6)"),
            ],
        ),
        part(
            &key,
            "picked JOIN mailfleet.delivery_events e USING (storage_key, tenant_id) WHERE direction = 'outbound' \
             AND kind IN ('opened', 'clicked', 'unsubscribed')",
            &[
                ("opened", "count(DISTINCT (storage_key, recipient)) FILTER (WHERE kind = 'opened')"),
                ("clicked", "count(DISTINCT (storage_key, recipient)) FILTER (WHERE kind = 'clicked')"),
                (
                    "unsubscribed",
                    "count(DISTINCT (storage_key, recipient)) FILTER (WHERE kind = 'unsubscribed')",
                ),
            ],
        ),
        part(&key, "latencies", &[("latency_counts", "analytics.sum_counts(counts)")]),
    ];
    format!(
        "WITH {picked}, {latencies}, parts AS ({parts}) INSERT INTO {table} ({key}, {counts}, latency_counts) \
         SELECT {key}, {sums}, analytics.sum_counts(latency_counts) FROM parts GROUP BY {key}",
        picked = picked(rollup, keys, &key),
        latencies = latencies(&key),
        parts = parts.join(" UNION ALL "),
        table = rollup.table(),
        counts = COUNTS.join(", "),
        sums = COUNTS.map(|count| format!("sum({count})::bigint")).join(", "),
    )
}

/// The messages of the keys, with what kind of answer each is to a message that went out; computed once. An answer is what
/// came in, has such a parent and is no copy of our own mail, whatever ties it to a campaign. Each step is an index probe,
/// and only for what passed the one before: OFFSET 0 keeps the planner, which cannot know how many there are, from reading
/// all messages for it.
fn picked(rollup: &RollUp, keys: &Keys, key: &str) -> String {
    format!(
        "keys AS (SELECT DISTINCT {key} FROM {rows} WHERE {concerned}), \
         picked AS MATERIALIZED ( \
             SELECT m.tenant_id, {subject} k.day, m.storage_key, m.direction, m.bytes, m.latency_ms, \
                 CASE WHEN m.direction <> 'inbound' OR m.parent_storage_key IS NULL THEN NULL \
                     WHEN NOT EXISTS ( \
                         SELECT FROM mailfleet.messages p WHERE p.storage_key = m.parent_storage_key \
                         AND p.tenant_id = m.tenant_id AND p.direction = 'outbound' OFFSET 0) THEN NULL \
                     WHEN EXISTS ( \
                         SELECT FROM mailfleet.messages o WHERE o.tenant_id = m.tenant_id \
                         AND o.message_id = m.message_id AND o.direction = 'outbound' OFFSET 0) THEN NULL \
                     ELSE m.message_type END AS answer \
             FROM keys k JOIN mailfleet.messages m ON {belongs} AND {same_day})",
        rows = keys.rows("u"),
        concerned = rollup.concerned(),
        subject = rollup.subject.as_ref().map(|subject| format!("m.{subject},")).unwrap_or_default(),
        belongs = rollup.belongs("m", "k"),
        same_day = same_day("m", "k"),
    )
}

/// A histogram of the latencies of each key that has any, with its empty buckets.
fn latencies(key: &str) -> String {
    format!(
        "timed AS ( \
             SELECT {key}, width_bucket(latency_ms, analytics.latency_bounds()) AS bucket, count(*) AS n \
             FROM picked WHERE latency_ms IS NOT NULL GROUP BY {key}, bucket), \
         buckets AS ( \
             SELECT {key}, bucket, sum(n)::bigint AS n FROM ( \
                 SELECT {key}, bucket, n FROM timed UNION ALL \
                 SELECT {key}, bucket, 0 FROM (SELECT DISTINCT {key} FROM timed) AS t \
                 CROSS JOIN generate_series(0, cardinality(analytics.latency_bounds())) AS b (bucket)) AS filled \
             GROUP BY {key}, bucket), \
         latencies AS (SELECT {key}, array_agg(n ORDER BY bucket) AS counts FROM buckets GROUP BY {key})"
    )
}

/// One part: these measures of a source by key, and nothing of the others.
fn part(key: &str, source: &str, measures: &[(&str, &str)]) -> String {
    let known = |name: &str| measures.iter().find(|(measure, _)| *measure == name).map(|(_, sql)| *sql);
    let counts = COUNTS.map(|count| format!("{} AS {count}", known(count).unwrap_or("0::bigint"))).join(", ");
    let latency = known("latency_counts").unwrap_or("NULL::bigint[]");
    format!("SELECT {key}, {counts}, {latency} AS latency_counts FROM {source} GROUP BY {key}")
}
