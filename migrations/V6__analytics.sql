-- Roll-ups for analysts, in a schema of their own; and what the fleet needs to keep them: a record of which keys have
-- changed, and leases, so that one process at a time does the work.

CREATE TABLE mailfleet.leases (
    name text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 100),
    holder text NOT NULL CHECK (length(holder) BETWEEN 1 AND 200),
    epoch bigint NOT NULL CHECK (epoch > 0),
    expires timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON mailfleet.leases TO mailfleet_writer, mailfleet_maintenance;
COMMENT ON TABLE mailfleet.leases IS 'Work that one process at a time may do. Rows are never removed, so that an epoch never comes again';
COMMENT ON COLUMN mailfleet.leases.name IS 'The work';
COMMENT ON COLUMN mailfleet.leases.holder IS 'Who took it last';
COMMENT ON COLUMN mailfleet.leases.epoch IS 'Raised by each taking; whoever commits under a lower one is refused';
COMMENT ON COLUMN mailfleet.leases.expires IS 'From when on others may take it, by the server''s clock';

-- Change capture -----------------------------------------------------------------------------------------------------

CREATE TABLE mailfleet.analytics_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id uuid NOT NULL,
    campaign_id uuid,
    account_id uuid,
    day date,
    storage_keys text[],
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    created timestamptz NOT NULL DEFAULT now(),
    not_before timestamptz CHECK (not_before IS NULL OR day IS NOT NULL),
    CHECK (num_nonnulls(day, storage_keys) = 1)
-- Rows come and go all the time: dead ones are cleared away before they slow the next run.
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000);
-- Nearly always empty: it costs those who write nothing.
CREATE INDEX analytics_changes_aside_idx ON mailfleet.analytics_changes (not_before) WHERE not_before IS NOT NULL;
SELECT mailfleet.wall('mailfleet.analytics_changes');
COMMENT ON TABLE mailfleet.analytics_changes IS 'What the roll-ups have still to count again: each row a key, or messages whose keys are looked up then';
COMMENT ON COLUMN mailfleet.analytics_changes.id IS 'Number of the change; says nothing of the order of commits';
COMMENT ON COLUMN mailfleet.analytics_changes.tenant_id IS 'The tenant whose numbers change';
COMMENT ON COLUMN mailfleet.analytics_changes.campaign_id IS 'The campaign of the changed messages; NULL for none';
COMMENT ON COLUMN mailfleet.analytics_changes.account_id IS 'The account of the changed messages; NULL for none';
COMMENT ON COLUMN mailfleet.analytics_changes.day IS 'The day of the changed messages, in UTC; NULL where messages are named instead';
COMMENT ON COLUMN mailfleet.analytics_changes.storage_keys IS 'Messages of which recipients or events changed; their keys are those that they have when the change is taken';
COMMENT ON COLUMN mailfleet.analytics_changes.xid IS 'The transaction that wrote it; taken only when no transaction as old is open any more';
COMMENT ON COLUMN mailfleet.analytics_changes.created IS 'When that transaction began';
COMMENT ON COLUMN mailfleet.analytics_changes.not_before IS 'Set aside, because counting it took too long: it is counted from then on, apart from the others, with the rest of its tenant and day and with more time. NULL for a note that nothing is known against';

CREATE FUNCTION mailfleet.day_of(moment timestamptz) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (moment AT TIME ZONE 'UTC')::date;
COMMENT ON FUNCTION mailfleet.day_of(timestamptz) IS 'The day of the roll-ups that a moment belongs to, in UTC';

-- A change is noted by all subjects that roll-ups count by: the columns of uuid that analytics_changes has. They are written
-- into the function when one is added, so that a statement on messages runs SQL that is planned once.
--
-- The triggers run with the rights of whoever writes: its tenants are declared, and the change is of the same tenant.
-- One row for all messages of a statement that share a key. Both the old key and the new one have changed; so have those of
-- the answers to an outbound message that comes, goes or turns, and of its copies in inboxes: whether they are replies
-- depends on it.
CREATE FUNCTION mailfleet.make_note_messages() RETURNS void
    LANGUAGE plpgsql
    AS $make$
DECLARE
    columns CONSTANT text[] := (
        SELECT array_agg(quote_ident(attname) ORDER BY attname <> 'tenant_id', attnum) FROM pg_catalog.pg_attribute
        WHERE attrelid = 'mailfleet.analytics_changes'::regclass AND atttypid = 'uuid'::regtype
        AND attnum > 0 AND NOT attisdropped);
    alias text;
    -- Where {n.key} stands for tenant and subjects of the rows called n.
    body text := $note$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO mailfleet.analytics_changes ({key}, day)
            SELECT {n.key}, mailfleet.day_of(n.created) FROM new_rows n
            UNION
            SELECT {c.key}, mailfleet.day_of(c.created) FROM new_rows n
                JOIN mailfleet.messages c ON c.parent_storage_key = n.storage_key AND c.tenant_id = n.tenant_id
                WHERE n.direction = 'outbound'
            UNION
            SELECT {c.key}, mailfleet.day_of(c.created) FROM new_rows n
                JOIN mailfleet.messages c ON c.tenant_id = n.tenant_id AND c.message_id = n.message_id
                WHERE n.direction = 'outbound' AND c.direction = 'inbound';
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO mailfleet.analytics_changes ({key}, day)
            SELECT {o.key}, mailfleet.day_of(o.created) FROM old_rows o
            UNION
            SELECT {c.key}, mailfleet.day_of(c.created) FROM old_rows o
                JOIN mailfleet.messages c ON c.parent_storage_key = o.storage_key AND c.tenant_id = o.tenant_id
                WHERE o.direction = 'outbound'
            UNION
            SELECT {c.key}, mailfleet.day_of(c.created) FROM old_rows o
                JOIN mailfleet.messages c ON c.tenant_id = o.tenant_id AND c.message_id = o.message_id
                WHERE o.direction = 'outbound' AND c.direction = 'inbound';
    ELSE
        -- What the roll-ups do not count (a thread, what ties a mail to its campaign) is no change to them. Both states are
        -- compared as sets: the plan is kept from a statement on one row, and a join of them would then compare each of
        -- thousands with all.
        INSERT INTO mailfleet.analytics_changes ({key}, day)
            WITH was AS (
                SELECT storage_key, {key}, created, direction, message_type, message_id,
                    parent_storage_key, bytes, latency_ms FROM old_rows
            ), becomes AS (
                SELECT storage_key, {key}, created, direction, message_type, message_id,
                    parent_storage_key, bytes, latency_ms FROM new_rows
            ), changed AS (
                (TABLE was EXCEPT TABLE becomes) UNION ALL (TABLE becomes EXCEPT TABLE was)
            ), turned AS (
                (SELECT storage_key, tenant_id, direction, message_id FROM was
                EXCEPT SELECT storage_key, tenant_id, direction, message_id FROM becomes)
                UNION ALL
                (SELECT storage_key, tenant_id, direction, message_id FROM becomes
                EXCEPT SELECT storage_key, tenant_id, direction, message_id FROM was)
            )
            SELECT {c.key}, mailfleet.day_of(c.created) FROM changed c
            UNION
            SELECT {c.key}, mailfleet.day_of(c.created) FROM turned t
                JOIN mailfleet.messages c ON c.parent_storage_key = t.storage_key
            UNION
            SELECT {c.key}, mailfleet.day_of(c.created) FROM turned t
                JOIN mailfleet.messages c ON c.tenant_id = t.tenant_id AND c.message_id = t.message_id
                WHERE c.direction = 'inbound';
    END IF;
    RETURN NULL;
END
$note$;
BEGIN
    FOREACH alias IN ARRAY ARRAY['', 'n.', 'o.', 'c.'] LOOP
        body := replace(body, '{' || alias || 'key}', alias || array_to_string(columns, ', ' || alias));
    END LOOP;
    EXECUTE format('CREATE OR REPLACE FUNCTION mailfleet.note_messages() RETURNS trigger LANGUAGE plpgsql '
        'SET search_path = pg_catalog, pg_temp AS %L', body);
END
$make$;
COMMENT ON FUNCTION mailfleet.make_note_messages() IS 'Writes note_messages() for the subjects that analytics_changes has columns of';
-- Of use to migrations alone.
REVOKE EXECUTE ON FUNCTION mailfleet.make_note_messages() FROM PUBLIC;
SELECT mailfleet.make_note_messages();
COMMENT ON FUNCTION mailfleet.note_messages() IS 'Notes for the roll-ups which keys a statement on messages has changed';

-- A recipient or an event does not say which key its message has, and another transaction may be changing that: the
-- message is noted, and its key looked up when the change is taken. One row a tenant and statement.
CREATE FUNCTION mailfleet.note_details() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $note$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO mailfleet.analytics_changes (tenant_id, storage_keys)
            SELECT n.tenant_id, array_agg(DISTINCT n.storage_key) FROM new_rows n
            WHERE n.storage_key IS NOT NULL GROUP BY n.tenant_id;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO mailfleet.analytics_changes (tenant_id, storage_keys)
            SELECT o.tenant_id, array_agg(DISTINCT o.storage_key) FROM old_rows o
            WHERE o.storage_key IS NOT NULL GROUP BY o.tenant_id;
    ELSE
        INSERT INTO mailfleet.analytics_changes (tenant_id, storage_keys)
            SELECT side.tenant_id, array_agg(DISTINCT side.storage_key)
            FROM (SELECT tenant_id, storage_key FROM old_rows UNION SELECT tenant_id, storage_key FROM new_rows) AS side
            WHERE side.storage_key IS NOT NULL GROUP BY side.tenant_id;
    END IF;
    RETURN NULL;
END
$note$;
COMMENT ON FUNCTION mailfleet.note_details() IS 'Notes for the roll-ups of which messages a statement has changed recipients or events';

DO $triggers$
DECLARE
    watched text;
    note text;
BEGIN
    FOREACH watched IN ARRAY ARRAY['messages', 'message_recipients', 'delivery_events'] LOOP
        note := CASE watched WHEN 'messages' THEN 'note_messages' ELSE 'note_details' END;
        EXECUTE format('CREATE TRIGGER analytics_insert AFTER INSERT ON mailfleet.%I REFERENCING NEW TABLE AS new_rows '
            'FOR EACH STATEMENT EXECUTE FUNCTION mailfleet.%I()', watched, note);
        EXECUTE format('CREATE TRIGGER analytics_update AFTER UPDATE ON mailfleet.%I REFERENCING OLD TABLE AS old_rows '
            'NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION mailfleet.%I()', watched, note);
        EXECUTE format('CREATE TRIGGER analytics_delete AFTER DELETE ON mailfleet.%I REFERENCING OLD TABLE AS old_rows '
            'FOR EACH STATEMENT EXECUTE FUNCTION mailfleet.%I()', watched, note);
    END LOOP;
END
$triggers$;

-- What analysts read ---------------------------------------------------------------------------------------------------

CREATE SCHEMA IF NOT EXISTS analytics;
GRANT USAGE ON SCHEMA analytics TO mailfleet_writer, mailfleet_reader, mailfleet_maintenance;
COMMENT ON SCHEMA analytics IS 'Roll-ups by campaign, mailbox and tenant, kept by mailfleet. A mail counts on the day (UTC) that it came or was sent; what happens to it later corrects that day. Rows are walled by tenant: SELECT set_config(''mailfleet.tenants'', ''{<uuid>}'', true) first, in a transaction';

CREATE FUNCTION analytics.latency_bounds() RETURNS integer[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY[5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 3600000];
COMMENT ON FUNCTION analytics.latency_bounds() IS 'Upper bounds of the latency buckets in milliseconds, exclusive; beyond the last there is one bucket more. The one place that knows them: whoever changes them runs `mailfleet analytics rebuild`';

CREATE FUNCTION analytics.add_counts(a bigint[], b bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (SELECT array_agg(coalesce(x, 0) + coalesce(y, 0) ORDER BY bucket)
            FROM unnest(a, b) WITH ORDINALITY AS both_counts (x, y, bucket));
COMMENT ON FUNCTION analytics.add_counts(bigint[], bigint[]) IS 'Two histograms as one';

CREATE AGGREGATE analytics.sum_counts(bigint[]) (
    SFUNC = analytics.add_counts, STYPE = bigint[], COMBINEFUNC = analytics.add_counts, PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.sum_counts(bigint[]) IS 'Histograms as one; NULL where there is none';

CREATE FUNCTION analytics.percentile_ms(counts bigint[], fraction double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        SELECT coalesce(bounds[bucket - 1], 0)
            + (coalesce(bounds[bucket], bounds[bucket - 1]) - coalesce(bounds[bucket - 1], 0))
            * (fraction * total - (upto - n)) / n
        FROM (
            SELECT n, bucket::integer AS bucket, analytics.latency_bounds() AS bounds,
                (sum(n) OVER (ORDER BY bucket))::double precision AS upto, (sum(n) OVER ())::double precision AS total
            FROM unnest(counts) WITH ORDINALITY AS histogram (n, bucket)
        ) AS cumulated
        WHERE n > 0 AND upto >= fraction * total ORDER BY bucket LIMIT 1
    );
COMMENT ON FUNCTION analytics.percentile_ms(bigint[], double precision) IS 'A percentile (0 to 1) of a latency histogram in milliseconds, interpolated within its bucket; the last bound for what lies beyond it; NULL where nothing was counted';

CREATE FUNCTION analytics.rate(part bigint, whole bigint) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN part::double precision / nullif(whole, 0);
COMMENT ON FUNCTION analytics.rate(bigint, bigint) IS 'Part of a whole; NULL where there is no whole: unknown is not zero';

-- The roll-ups there are. The fleet reads from here what it has to count: a further one is a migration with one call of
-- analytics.roll_up, and nothing else.
CREATE TABLE analytics.roll_ups (
    place integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
    subject text CHECK (subject ~ '^[a-z][a-z0-9_]{0,39}$'),
    label text NOT NULL
);
GRANT SELECT ON analytics.roll_ups TO mailfleet_writer, mailfleet_reader, mailfleet_maintenance;
COMMENT ON TABLE analytics.roll_ups IS 'The roll-ups there are: each the table analytics.<name>_day and the view analytics.<name>. Written by migrations alone, for its SQL is run';
COMMENT ON COLUMN analytics.roll_ups.place IS 'The order in which people are shown them';
COMMENT ON COLUMN analytics.roll_ups.name IS 'Its name';
COMMENT ON COLUMN analytics.roll_ups.subject IS 'What it counts by besides tenant and day: a column, a uuid, that messages, analytics_changes and its own table have under this name. Messages where it is NULL are not counted. NULL for a roll-up by tenant and day alone';
COMMENT ON COLUMN analytics.roll_ups.label IS 'SQL for the name of a key that people know, where k is a row with tenant_id and the subject';

-- Makes a roll-up: its table with the measures and their meaning, the wall, the view over all days, its place among the
-- others, and its subject in the notes of changes. It is empty until `mailfleet analytics rebuild` has run; what changes from
-- now on is counted at once.
CREATE FUNCTION analytics.roll_up(name text, subject text, label text, about text) RETURNS void
    LANGUAGE plpgsql
    AS $roll_up$
DECLARE
    daily text := format('analytics.%I', name || '_day');
    total text := format('analytics.%I', name);
    keys text := 'tenant_id' || coalesce(', ' || quote_ident(subject), '');
    measures CONSTANT text[] := ARRAY[
        ['sent', 'Recipients of outbound messages that left: of any status but queued'],
        ['delivered', 'Of those, delivered (also where a complaint followed)'],
        ['bounced_soft', 'Of those, bounced for a while'],
        ['bounced_hard', 'Of those, bounced for good'],
        ['complained', 'Of those, complained'],
        ['opened', 'Messages opened, each recipient once'],
        ['clicked', 'Messages of which a link was followed, each recipient once'],
        ['unsubscribed', 'Messages that made somebody unsubscribe, each recipient once'],
        ['replied', 'Inbound mails of type email that answer an outbound message by In-Reply-To or References, of a campaign or of none; on the day and in the mailbox that they came. Never our own Sent copy, nor its copy in an inbox; never on the word of X-Campaign-ID'],
        ['auto_replied', 'The same of type auto_reply: out of office and the like'],
        ['received', 'Inbound mails of any type'],
        ['bytes_in', 'Size of the inbound mails, raw']];
    measure text[];
    sums text := '';
    noted regtype;
BEGIN
    IF subject IS NOT NULL THEN
        -- Its columns and indexes are looked up by the name that messages, the changes and its own table all know it by.
        IF subject = 'tenant_id' OR NOT EXISTS (
            SELECT FROM pg_catalog.pg_attribute WHERE attrelid = 'mailfleet.messages'::regclass AND attname = subject
            AND atttypid = 'uuid'::regtype AND attnum > 0 AND NOT attisdropped)
        THEN
            RAISE EXCEPTION 'a roll-up cannot count by %: mailfleet.messages has no such column of type uuid', subject
                USING ERRCODE = 'undefined_column',
                HINT = 'Add the column to mailfleet.messages before the roll-up; NULL as the subject counts by tenant and day alone.';
        END IF;
        IF NOT EXISTS (
            SELECT FROM pg_catalog.pg_index WHERE indrelid = 'mailfleet.messages'::regclass AND indisvalid
            AND pg_get_indexdef(indexrelid, 1, false) = quote_ident(subject)
            AND pg_get_indexdef(indexrelid, 2, false) = 'created')
        THEN
            RAISE EXCEPTION 'a roll-up cannot count by %: each page would read all of mailfleet.messages', subject
                USING ERRCODE = 'undefined_object', HINT = format(
                    'Before the roll-up: CREATE INDEX ON mailfleet.messages (%1$I, created) WHERE %1$I IS NOT NULL', subject);
        END IF;
        SELECT atttypid::regtype INTO noted FROM pg_catalog.pg_attribute
            WHERE attrelid = 'mailfleet.analytics_changes'::regclass AND attname = subject AND attnum > 0 AND NOT attisdropped;
        IF noted IS NULL THEN
            EXECUTE format('ALTER TABLE mailfleet.analytics_changes ADD COLUMN %I uuid', subject);
            EXECUTE format('COMMENT ON COLUMN mailfleet.analytics_changes.%I IS %L', subject,
                subject || ' of the changed messages; NULL for none');
        ELSIF noted <> 'uuid'::regtype THEN
            RAISE EXCEPTION 'a roll-up cannot count by %: mailfleet.analytics_changes has a column of this name that is no uuid', subject
                USING ERRCODE = 'duplicate_column', HINT = 'Count by a column of mailfleet.messages of another name.';
        END IF;
        PERFORM mailfleet.make_note_messages();
    END IF;
    INSERT INTO analytics.roll_ups (name, subject, label) VALUES (name, subject, label);
    EXECUTE format('CREATE TABLE %1$s (tenant_id uuid NOT NULL%2$s, day date NOT NULL, PRIMARY KEY (%3$s, day))',
        daily, coalesce(', ' || quote_ident(subject) || ' uuid NOT NULL', ''), keys);
    EXECUTE format('COMMENT ON TABLE %s IS %L', daily, about);
    EXECUTE format('COMMENT ON COLUMN %s.tenant_id IS %L', daily, 'The tenant of the mails');
    IF subject IS NOT NULL THEN
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', daily, subject,
            'What it is counted by; mail of none is in the other roll-ups only');
    END IF;
    FOREACH measure SLICE 1 IN ARRAY measures LOOP
        EXECUTE format('ALTER TABLE %s ADD COLUMN %I bigint NOT NULL', daily, measure[1]);
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', daily, measure[1], measure[2]);
        sums := sums || format(', sum(%1$I)::bigint AS %1$I', measure[1]);
    END LOOP;
    EXECUTE format('ALTER TABLE %s ADD COLUMN latency_counts bigint[]', daily);
    EXECUTE format('COMMENT ON COLUMN %s.latency_counts IS %L', daily,
        'Mails by the time from the producer''s enqueue to the commit, in the buckets of analytics.latency_bounds(); NULL where none came through the queue');
    EXECUTE format('COMMENT ON COLUMN %s.day IS %L', daily, 'The day, in UTC, on which the mails came or were sent');
    EXECUTE format('CREATE INDEX ON %s (day)', daily);
    PERFORM mailfleet.wall(daily::regclass);
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %s FROM mailfleet_writer', daily);
    -- Of the reader's rights, not the owner's: the wall stands before the view too.
    EXECUTE format('CREATE VIEW %1$s WITH (security_invoker = true) AS SELECT *, '
        'analytics.rate(delivered, sent) AS delivered_rate, '
        'analytics.rate(bounced_soft + bounced_hard, sent) AS bounced_rate, '
        'analytics.rate(complained, sent) AS complained_rate, analytics.rate(opened, sent) AS opened_rate, '
        'analytics.rate(clicked, sent) AS clicked_rate, analytics.rate(unsubscribed, sent) AS unsubscribed_rate, '
        'analytics.rate(replied, sent) AS replied_rate, analytics.percentile_ms(latency_counts, 0.5) AS latency_p50_ms, '
        'analytics.percentile_ms(latency_counts, 0.95) AS latency_p95_ms '
        'FROM (SELECT %2$s, min(day) AS first_day, max(day) AS last_day%3$s, '
        'analytics.sum_counts(latency_counts) AS latency_counts FROM %4$s GROUP BY %2$s) AS total',
        total, keys, sums, daily);
    EXECUTE format('GRANT SELECT ON %s TO mailfleet_writer, mailfleet_reader, mailfleet_maintenance', total);
    EXECUTE format('COMMENT ON VIEW %s IS %L', total,
        'Sums of ' || daily || ' over all days; rates are per recipient sent to and NULL where none was; p50 and p95 of the latency are interpolated');
END
$roll_up$;
COMMENT ON FUNCTION analytics.roll_up(text, text, text, text) IS 'Makes a roll-up of this name and subject: table, measures, wall, view';
-- Of use to migrations alone.
REVOKE EXECUTE ON FUNCTION analytics.roll_up(text, text, text, text) FROM PUBLIC;

SELECT analytics.roll_up('campaign', 'campaign_id',
    '(SELECT c.name FROM mailfleet.campaigns c WHERE c.id = k.campaign_id AND c.tenant_id = k.tenant_id)',
    'What became of a campaign''s mails of a day');
SELECT analytics.roll_up('mailbox', 'account_id',
    '(SELECT a.name FROM mailfleet.email_accounts a WHERE a.id = k.account_id)',
    'What was sent from and came to a mailbox on a day. A mailbox is here what it is to its users: an account with all its folders; a shared account has a row for each tenant');
SELECT analytics.roll_up('tenant', NULL,
    '(SELECT t.name FROM mailfleet.tenants t WHERE t.id = k.tenant_id)',
    'All mail of a tenant of a day');
