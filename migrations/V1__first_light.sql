-- mailfleet's own tables. The schema `mailfleet` stands already: the runner makes it for its history.
-- email_content, email_messages and attachments are not here: they live in a configured schema and may be the
-- platform's own, so `mailfleet migrate` creates or adopts them by comparison (crates/store/src/hierarchy).

COMMENT ON SCHEMA mailfleet IS 'mailfleet''s own tables; the mail itself is in email_content, email_messages and attachments';
COMMENT ON TABLE mailfleet.schema_history IS 'The migrations that were applied; kept by the runner';
COMMENT ON COLUMN mailfleet.schema_history.version IS 'Number of the migration';
COMMENT ON COLUMN mailfleet.schema_history.name IS 'Its name';
COMMENT ON COLUMN mailfleet.schema_history.applied_on IS 'When it was applied, as text (RFC 3339)';
COMMENT ON COLUMN mailfleet.schema_history.checksum IS 'Checksum of its text: a file that was released is never edited';

CREATE TABLE mailfleet.tenants (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    created timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE mailfleet.tenants IS 'The customers of the platform';
COMMENT ON COLUMN mailfleet.tenants.id IS 'The platform''s id of the tenant; tenant_id everywhere else';
COMMENT ON COLUMN mailfleet.tenants.name IS 'Name for people and for the command line';
COMMENT ON COLUMN mailfleet.tenants.created IS 'When the tenant was added';

CREATE TABLE mailfleet.tenant_domains (
    domain text PRIMARY KEY CHECK (length(domain) BETWEEN 1 AND 253 AND domain = lower(domain)),
    tenant_id uuid NOT NULL REFERENCES mailfleet.tenants (id) ON DELETE CASCADE,
    created timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tenant_domains_tenant_idx ON mailfleet.tenant_domains (tenant_id);
COMMENT ON TABLE mailfleet.tenant_domains IS 'Which tenant owns which domain: decides whose a mail to a shared account is';
COMMENT ON COLUMN mailfleet.tenant_domains.domain IS 'Lower case, without a trailing dot; owned by one tenant alone';
COMMENT ON COLUMN mailfleet.tenant_domains.tenant_id IS 'The owner';
COMMENT ON COLUMN mailfleet.tenant_domains.created IS 'When the domain was added';

CREATE TABLE mailfleet.email_accounts (
    id uuid PRIMARY KEY,
    tenant_id uuid REFERENCES mailfleet.tenants (id),
    name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    host text NOT NULL CHECK (length(host) BETWEEN 1 AND 253),
    port integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    tls text NOT NULL CHECK (tls IN ('tls', 'starttls', 'plain')),
    username text NOT NULL,
    password_file text,
    password_env text,
    ca_file text,
    mailboxes text[] NOT NULL DEFAULT ARRAY['INBOX'] CHECK (cardinality(mailboxes) BETWEEN 1 AND 1000),
    recipient_from_to_cc boolean NOT NULL DEFAULT false,
    enabled boolean NOT NULL DEFAULT true,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(password_file, password_env) = 1)
);
CREATE INDEX email_accounts_tenant_idx ON mailfleet.email_accounts (tenant_id);
COMMENT ON TABLE mailfleet.email_accounts IS 'The IMAP logins that the producer watches';
COMMENT ON COLUMN mailfleet.email_accounts.id IS 'Identity; email_messages.email_account_id';
COMMENT ON COLUMN mailfleet.email_accounts.tenant_id IS 'The tenant all its mail belongs to; NULL for a shared account, where the recipient''s domain decides';
COMMENT ON COLUMN mailfleet.email_accounts.name IS 'Name for people and for the command line';
COMMENT ON COLUMN mailfleet.email_accounts.host IS 'IMAP server, as its certificate names it';
COMMENT ON COLUMN mailfleet.email_accounts.port IS 'TCP port: usually 993 with tls, 143 else';
COMMENT ON COLUMN mailfleet.email_accounts.tls IS 'tls (from the first byte), starttls, or plain';
COMMENT ON COLUMN mailfleet.email_accounts.username IS 'Login name';
COMMENT ON COLUMN mailfleet.email_accounts.password_file IS 'File on the producer''s machine whose first line is the password; the password itself is never stored';
COMMENT ON COLUMN mailfleet.email_accounts.password_env IS 'Environment variable of the producer that holds the password';
COMMENT ON COLUMN mailfleet.email_accounts.ca_file IS 'PEM file on the producer''s machine with the certificates that sign the server''s; NULL for those of the system';
COMMENT ON COLUMN mailfleet.email_accounts.mailboxes IS 'The folders to watch';
COMMENT ON COLUMN mailfleet.email_accounts.recipient_from_to_cc IS 'Shared accounts: To and Cc may decide the tenant where no Delivered-To or X-Original-To stands';
COMMENT ON COLUMN mailfleet.email_accounts.enabled IS 'Whether the producer watches it';
COMMENT ON COLUMN mailfleet.email_accounts.created IS 'When the account was added';
COMMENT ON COLUMN mailfleet.email_accounts.updated IS 'When the account was last changed';

-- UIDs and UIDVALIDITY are unsigned 32-bit numbers (RFC 3501 §2.3.1.1). `oid` is PostgreSQL's only unsigned 32-bit type:
-- it compares and sorts as one, and it halves the key of the ledger, which will have 10^9 rows.
CREATE TABLE mailfleet.mailboxes (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES mailfleet.email_accounts (id),
    name text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 1000),
    uidvalidity oid,
    last_uid oid NOT NULL DEFAULT 0,
    backfill_below oid NOT NULL DEFAULT 0,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    UNIQUE (account_id, name)
);
COMMENT ON TABLE mailfleet.mailboxes IS 'One row per watched folder of an account, with the cursor of the producer';
COMMENT ON COLUMN mailfleet.mailboxes.id IS 'Number of the mailbox, small because the ledger holds it in each row';
COMMENT ON COLUMN mailfleet.mailboxes.account_id IS 'The account it is a folder of';
COMMENT ON COLUMN mailfleet.mailboxes.name IS 'The folder''s name, decoded';
COMMENT ON COLUMN mailfleet.mailboxes.uidvalidity IS 'The epoch that last_uid belongs to; NULL before the first contact';
COMMENT ON COLUMN mailfleet.mailboxes.last_uid IS 'The greatest UID whose enqueue was confirmed; 0 for none. Only moved up, and only within its epoch';
COMMENT ON COLUMN mailfleet.mailboxes.backfill_below IS 'UIDs below this stood there at first contact: history, low priority';
COMMENT ON COLUMN mailfleet.mailboxes.created IS 'When the mailbox was first seen';
COMMENT ON COLUMN mailfleet.mailboxes.updated IS 'When the cursor last moved';

-- No foreign key to mailboxes: each of its checks would lock the mailbox' row, which every writer of a batch shares.
CREATE TABLE mailfleet.mailbox_messages (
    recorded timestamptz NOT NULL DEFAULT now(),
    mailbox_id integer NOT NULL,
    uidvalidity oid NOT NULL,
    uid oid NOT NULL,
    outcome smallint NOT NULL CHECK (outcome BETWEEN 1 AND 3),
    policy smallint,
    key_hash uuid,
    PRIMARY KEY (mailbox_id, uidvalidity, uid)
);
CREATE INDEX mailbox_messages_key_hash_idx ON mailfleet.mailbox_messages (key_hash) WHERE key_hash IS NOT NULL;
COMMENT ON TABLE mailfleet.mailbox_messages IS 'The ledger: what became of each message of each mailbox. Written first in the transaction of the effect, so that it is the gate of every effect';
COMMENT ON COLUMN mailfleet.mailbox_messages.recorded IS 'When the outcome was recorded';
COMMENT ON COLUMN mailfleet.mailbox_messages.mailbox_id IS 'The folder (mailboxes.id)';
COMMENT ON COLUMN mailfleet.mailbox_messages.uidvalidity IS 'The epoch of the UID';
COMMENT ON COLUMN mailfleet.mailbox_messages.uid IS 'The message''s number';
COMMENT ON COLUMN mailfleet.mailbox_messages.outcome IS '1 dead, 2 skipped, 3 persisted; only ever raised, so that any race has one end';
COMMENT ON COLUMN mailfleet.mailbox_messages.policy IS 'Why it was skipped: 1 vanished (expunged before mailfleet had it); NULL for the other outcomes';
COMMENT ON COLUMN mailfleet.mailbox_messages.key_hash IS 'The last 32 hex digits of the storage_key it was persisted under; NULL for the other outcomes';

CREATE TABLE mailfleet.dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id text NOT NULL UNIQUE CHECK (length(job_id) <= 200),
    tenant_id uuid,
    account_id uuid,
    mailbox_id integer,
    uidvalidity oid,
    uid oid,
    message_id text,
    lane text NOT NULL CHECK (lane IN ('high', 'normal', 'low')),
    envelope jsonb NOT NULL,
    raw bytea,
    raw_size_bytes bigint,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 100),
    class text NOT NULL CHECK (class IN ('outage', 'transient', 'data', 'policy', 'hostile', 'fault')),
    error text NOT NULL,
    attempts integer NOT NULL,
    crashes integer NOT NULL,
    drains integer NOT NULL,
    history jsonb NOT NULL DEFAULT '[]',
    previous jsonb NOT NULL DEFAULT '[]',
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'resolved', 'discarded')),
    created timestamptz NOT NULL DEFAULT now(),
    died timestamptz NOT NULL DEFAULT now(),
    closed timestamptz
);
CREATE INDEX dead_letters_open_idx ON mailfleet.dead_letters (reason, died) WHERE state = 'open';
CREATE INDEX dead_letters_died_idx ON mailfleet.dead_letters (died);
CREATE INDEX dead_letters_message_id_idx ON mailfleet.dead_letters (message_id) WHERE message_id IS NOT NULL;
COMMENT ON TABLE mailfleet.dead_letters IS 'Jobs that could not be done, with all that is needed to see why and to do them again. One row per job';
COMMENT ON COLUMN mailfleet.dead_letters.id IS 'Number for people and for the command line';
COMMENT ON COLUMN mailfleet.dead_letters.job_id IS 'The job; a job that dies again opens its row again';
COMMENT ON COLUMN mailfleet.dead_letters.tenant_id IS 'The tenant, where it is known';
COMMENT ON COLUMN mailfleet.dead_letters.account_id IS 'The account the mail came from, where there is one';
COMMENT ON COLUMN mailfleet.dead_letters.mailbox_id IS 'The folder, for a mail';
COMMENT ON COLUMN mailfleet.dead_letters.uidvalidity IS 'The epoch of the UID, for a mail';
COMMENT ON COLUMN mailfleet.dead_letters.uid IS 'The message''s number, for a mail';
COMMENT ON COLUMN mailfleet.dead_letters.message_id IS 'Message-ID without brackets, cut at 200 characters, where it could be read';
COMMENT ON COLUMN mailfleet.dead_letters.lane IS 'The lane it left: high, normal or low';
COMMENT ON COLUMN mailfleet.dead_letters.envelope IS 'The envelope as it travelled through the queue';
COMMENT ON COLUMN mailfleet.dead_letters.raw IS 'The raw mail, for the replay; removed when the letter is resolved';
COMMENT ON COLUMN mailfleet.dead_letters.raw_size_bytes IS 'Size of the raw mail; NULL where there was none';
COMMENT ON COLUMN mailfleet.dead_letters.reason IS 'The named reason, such as unknown_tenant or attempts_exhausted';
COMMENT ON COLUMN mailfleet.dead_letters.class IS 'Class of the last error: outage, transient, data, policy, hostile or fault';
COMMENT ON COLUMN mailfleet.dead_letters.error IS 'The last error, one line';
COMMENT ON COLUMN mailfleet.dead_letters.attempts IS 'Errors that were retried';
COMMENT ON COLUMN mailfleet.dead_letters.crashes IS 'Times a process died on it';
COMMENT ON COLUMN mailfleet.dead_letters.drains IS 'Times it was handed back by a stopping worker';
COMMENT ON COLUMN mailfleet.dead_letters.history IS 'Its attempts: array of objects';
COMMENT ON COLUMN mailfleet.dead_letters.previous IS 'Its former deaths, the last 20: reason, error, class, history, when it died and when it was closed';
COMMENT ON COLUMN mailfleet.dead_letters.state IS 'open, replayed (back in the queue), resolved (persisted after all) or discarded (given up by an operator)';
COMMENT ON COLUMN mailfleet.dead_letters.created IS 'When it died first';
COMMENT ON COLUMN mailfleet.dead_letters.died IS 'When it died last';
COMMENT ON COLUMN mailfleet.dead_letters.closed IS 'When it was replayed, resolved or discarded; NULL while open';
