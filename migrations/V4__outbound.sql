-- What the fleet knows of each mail beside the hierarchy: its place in threads and campaigns, and of mail that went out,
-- how delivery to each recipient stands.

CREATE TABLE mailfleet.messages (
    storage_key text COLLATE "C" PRIMARY KEY,
    tenant_id uuid NOT NULL,
    account_id uuid,
    mailbox_id integer,
    direction text NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    message_type text NOT NULL,
    message_id text CHECK (length(message_id) <= 200),
    refs text[] NOT NULL DEFAULT '{}',
    thread_id text NOT NULL,
    parent_storage_key text COLLATE "C",
    evidence text CHECK (evidence IN ('in_reply_to', 'references', 'x_campaign_id', 'registered')),
    campaign_id uuid,
    lead_id uuid,
    bytes bigint NOT NULL DEFAULT 0,
    latency_ms integer,
    created timestamptz NOT NULL,
    updated timestamptz NOT NULL DEFAULT now()
);
-- The order in which one of several messages of a Message-ID is chosen as a parent: what we sent first.
CREATE INDEX messages_message_id_idx ON mailfleet.messages (tenant_id, message_id, direction DESC, storage_key)
    WHERE message_id IS NOT NULL;
CREATE INDEX messages_thread_idx ON mailfleet.messages (tenant_id, thread_id);
CREATE INDEX messages_campaign_idx ON mailfleet.messages (campaign_id, created) WHERE campaign_id IS NOT NULL;
CREATE INDEX messages_account_idx ON mailfleet.messages (account_id, created);
CREATE INDEX messages_tenant_created_idx ON mailfleet.messages (tenant_id, created);
SELECT mailfleet.wall('mailfleet.messages');
COMMENT ON TABLE mailfleet.messages IS 'One row per mail of the hierarchy, written in the same transaction: thread, campaign and what roll-ups count';
COMMENT ON COLUMN mailfleet.messages.storage_key IS 'The mail in email_content and email_messages';
COMMENT ON COLUMN mailfleet.messages.tenant_id IS 'The tenant that owns the mail';
COMMENT ON COLUMN mailfleet.messages.account_id IS 'The account it came to; of a message that we sent the registered one, else that of the first copy seen; NULL for none';
COMMENT ON COLUMN mailfleet.messages.mailbox_id IS 'The folder it was first seen in; NULL for a message that was only registered';
COMMENT ON COLUMN mailfleet.messages.direction IS 'inbound or outbound';
COMMENT ON COLUMN mailfleet.messages.message_type IS 'email, bounce, auto_reply, complaint…, as in email_messages';
COMMENT ON COLUMN mailfleet.messages.message_id IS 'Message-ID without brackets, cut at 200 characters; NULL where the mail has none';
COMMENT ON COLUMN mailfleet.messages.refs IS 'The messages it answers: In-Reply-To first, then References from the last to the first, each once, at most 10';
COMMENT ON COLUMN mailfleet.messages.thread_id IS 'The same for all mails of a conversation; also in email_messages';
COMMENT ON COLUMN mailfleet.messages.parent_storage_key IS 'The mail it answers, once that is known';
COMMENT ON COLUMN mailfleet.messages.evidence IS 'What ties it to its campaign: in_reply_to, references, x_campaign_id (weak: the sender writes it) or registered (we sent it)';
COMMENT ON COLUMN mailfleet.messages.campaign_id IS 'The campaign it belongs to';
COMMENT ON COLUMN mailfleet.messages.lead_id IS 'The lead it was sent to or came from';
COMMENT ON COLUMN mailfleet.messages.bytes IS 'Size of the raw mail; 0 while only registered';
COMMENT ON COLUMN mailfleet.messages.latency_ms IS 'From the producer''s enqueue to the transaction that wrote it; NULL where it did not come through the queue';
COMMENT ON COLUMN mailfleet.messages.created IS 'When the mail came or was sent; decides the day of the roll-ups';
COMMENT ON COLUMN mailfleet.messages.updated IS 'When the row was last changed';

CREATE TABLE mailfleet.awaited_parents (
    tenant_id uuid NOT NULL,
    message_id text NOT NULL,
    storage_key text COLLATE "C" NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, message_id, storage_key)
);
SELECT mailfleet.wall('mailfleet.awaited_parents');
COMMENT ON TABLE mailfleet.awaited_parents IS 'Mails whose parent is not there yet, by the Message-ID that they wait for';
COMMENT ON COLUMN mailfleet.awaited_parents.tenant_id IS 'The tenant of the mail that waits';
COMMENT ON COLUMN mailfleet.awaited_parents.message_id IS 'Message-ID of the parent';
COMMENT ON COLUMN mailfleet.awaited_parents.storage_key IS 'The mail that waits';
COMMENT ON COLUMN mailfleet.awaited_parents.created IS 'Since when';

CREATE TABLE mailfleet.message_recipients (
    storage_key text COLLATE "C" NOT NULL,
    recipient text NOT NULL CHECK (length(recipient) BETWEEN 1 AND 320),
    tenant_id uuid NOT NULL,
    status smallint NOT NULL DEFAULT 0 CHECK (status BETWEEN 0 AND 6),
    enhanced_status text,
    smtp_code integer,
    diagnostic text,
    reason text,
    changed timestamptz,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (storage_key, recipient)
);
CREATE INDEX message_recipients_tenant_idx ON mailfleet.message_recipients (tenant_id, recipient);
SELECT mailfleet.wall('mailfleet.message_recipients');
COMMENT ON TABLE mailfleet.message_recipients IS 'How delivery of each outbound message to each of its recipients stands';
COMMENT ON COLUMN mailfleet.message_recipients.storage_key IS 'The outbound message';
COMMENT ON COLUMN mailfleet.message_recipients.recipient IS 'Address in lower case, without brackets';
COMMENT ON COLUMN mailfleet.message_recipients.tenant_id IS 'The tenant that sent it';
COMMENT ON COLUMN mailfleet.message_recipients.status IS '0 queued, 1 sent, 2 deferred, 3 delivered, 4 bounced (soft), 5 bounced (hard), 6 complained; only ever raised';
COMMENT ON COLUMN mailfleet.message_recipients.enhanced_status IS 'Enhanced status code (RFC 3463) of the event that set the status';
COMMENT ON COLUMN mailfleet.message_recipients.smtp_code IS 'SMTP reply code of that event';
COMMENT ON COLUMN mailfleet.message_recipients.diagnostic IS 'What the remote server said in that event';
COMMENT ON COLUMN mailfleet.message_recipients.reason IS 'Why it bounced, in the established vocabulary, where it is known';
COMMENT ON COLUMN mailfleet.message_recipients.changed IS 'When that event happened';
COMMENT ON COLUMN mailfleet.message_recipients.created IS 'When the recipient was registered';
COMMENT ON COLUMN mailfleet.message_recipients.updated IS 'When the row was last changed';

CREATE TABLE mailfleet.message_aliases (
    tenant_id uuid NOT NULL,
    alias text NOT NULL CHECK (length(alias) BETWEEN 1 AND 300),
    storage_key text COLLATE "C" NOT NULL,
    message_id text NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, alias)
);
CREATE INDEX message_aliases_key_idx ON mailfleet.message_aliases (storage_key);
SELECT mailfleet.wall('mailfleet.message_aliases');
COMMENT ON TABLE mailfleet.message_aliases IS 'Names that sending providers give our messages';
COMMENT ON COLUMN mailfleet.message_aliases.tenant_id IS 'The tenant that sent the message';
COMMENT ON COLUMN mailfleet.message_aliases.alias IS '<provider>:<the provider''s id of the message>';
COMMENT ON COLUMN mailfleet.message_aliases.storage_key IS 'The outbound message; it may not be there yet, where an event told both names first';
COMMENT ON COLUMN mailfleet.message_aliases.message_id IS 'Message-ID of that message: what whoever uses the alias must lock';
COMMENT ON COLUMN mailfleet.message_aliases.created IS 'When it was told';

CREATE TABLE mailfleet.delivery_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL UNIQUE CHECK (length(source) <= 500),
    tenant_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('sent', 'deferred', 'delivered', 'bounced', 'complained', 'opened', 'clicked', 'unsubscribed')),
    message_id text,
    alias text,
    recipient text NOT NULL,
    original_recipient text,
    permanence text CHECK (permanence IN ('soft', 'hard')),
    enhanced_status text,
    smtp_code integer,
    diagnostic text,
    reason text,
    occurred timestamptz NOT NULL,
    storage_key text COLLATE "C",
    received timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX delivery_events_message_idx ON mailfleet.delivery_events (storage_key) WHERE storage_key IS NOT NULL;
CREATE INDEX delivery_events_waiting_idx ON mailfleet.delivery_events (id) WHERE storage_key IS NULL;
CREATE INDEX delivery_events_waiting_id_idx ON mailfleet.delivery_events (tenant_id, message_id) WHERE storage_key IS NULL;
CREATE INDEX delivery_events_waiting_alias_idx ON mailfleet.delivery_events (tenant_id, alias) WHERE storage_key IS NULL;
SELECT mailfleet.wall('mailfleet.delivery_events');
COMMENT ON TABLE mailfleet.delivery_events IS 'What was said of our messages, each saying once; those without a storage_key wait for their message';
COMMENT ON COLUMN mailfleet.delivery_events.id IS 'Number of the event';
COMMENT ON COLUMN mailfleet.delivery_events.source IS 'Where it comes from: w:<inbox row>:<n> for a webhook, m:<storage_key>:<n> for a mail; what makes it count once';
COMMENT ON COLUMN mailfleet.delivery_events.tenant_id IS 'The tenant whose endpoint or mailbox brought it';
COMMENT ON COLUMN mailfleet.delivery_events.kind IS 'sent, deferred, delivered, bounced, complained, opened, clicked or unsubscribed';
COMMENT ON COLUMN mailfleet.delivery_events.message_id IS 'Message-ID of the message it is about, without brackets, where the source tells it';
COMMENT ON COLUMN mailfleet.delivery_events.alias IS 'The source''s own name of the message';
COMMENT ON COLUMN mailfleet.delivery_events.recipient IS 'The recipient it is about, in lower case';
COMMENT ON COLUMN mailfleet.delivery_events.original_recipient IS 'The address the message was sent to, in lower case, where a returned mail tells it and it is another than recipient: that server forwards';
COMMENT ON COLUMN mailfleet.delivery_events.permanence IS 'Of a bounce: soft or hard';
COMMENT ON COLUMN mailfleet.delivery_events.enhanced_status IS 'Enhanced status code (RFC 3463)';
COMMENT ON COLUMN mailfleet.delivery_events.smtp_code IS 'SMTP reply code';
COMMENT ON COLUMN mailfleet.delivery_events.diagnostic IS 'What the remote server said';
COMMENT ON COLUMN mailfleet.delivery_events.reason IS 'Why it bounced, where it is known';
COMMENT ON COLUMN mailfleet.delivery_events.occurred IS 'When it happened, else when it was received';
COMMENT ON COLUMN mailfleet.delivery_events.storage_key IS 'The message, once both are there';
COMMENT ON COLUMN mailfleet.delivery_events.received IS 'When it was recorded';
