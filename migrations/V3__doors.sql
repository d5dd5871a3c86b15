-- The doors: where sending servers and providers report what became of our messages, who may register messages, and what
-- came in. Tokens and secrets are never stored: of a token its SHA-256, of a secret the place where the producer finds it.

CREATE TABLE mailfleet.webhook_endpoints (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES mailfleet.tenants (id),
    provider text NOT NULL CHECK (length(provider) BETWEEN 1 AND 40),
    name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    secret_file text,
    secret_env text,
    topic_arn text,
    enabled boolean NOT NULL DEFAULT true,
    created timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(secret_file, secret_env) = 1)
);
CREATE INDEX webhook_endpoints_tenant_idx ON mailfleet.webhook_endpoints (tenant_id);
SELECT mailfleet.wall('mailfleet.webhook_endpoints');
-- A call shows its token before its tenant is known: the producer looks endpoints up by the token's hash.
CREATE POLICY mailfleet_by_token ON mailfleet.webhook_endpoints FOR SELECT TO mailfleet_writer USING (true);
-- Hashes of tokens are nobody's business who only reads mail.
REVOKE SELECT ON mailfleet.webhook_endpoints FROM mailfleet_reader;
-- Operators alone change it.
REVOKE INSERT, UPDATE, DELETE ON mailfleet.webhook_endpoints FROM mailfleet_writer;
COMMENT ON TABLE mailfleet.webhook_endpoints IS 'The addresses under which providers may report delivery events';
COMMENT ON COLUMN mailfleet.webhook_endpoints.id IS 'Identity';
COMMENT ON COLUMN mailfleet.webhook_endpoints.tenant_id IS 'The tenant whose messages are reported on';
COMMENT ON COLUMN mailfleet.webhook_endpoints.provider IS 'Which form and signature its calls have: generic, postal, mailgun…; the first part of the path';
COMMENT ON COLUMN mailfleet.webhook_endpoints.name IS 'Name for people and for the command line';
COMMENT ON COLUMN mailfleet.webhook_endpoints.token_hash IS 'SHA-256 of the token in the path';
COMMENT ON COLUMN mailfleet.webhook_endpoints.secret_file IS 'File on the producer''s machine with the secret or public key that calls are verified with';
COMMENT ON COLUMN mailfleet.webhook_endpoints.secret_env IS 'Environment variable of the producer that holds it, instead of a file';
COMMENT ON COLUMN mailfleet.webhook_endpoints.topic_arn IS 'Amazon SNS: the only topic whose messages are taken';
COMMENT ON COLUMN mailfleet.webhook_endpoints.enabled IS 'Whether calls are taken; a disabled endpoint answers like an unknown one';
COMMENT ON COLUMN mailfleet.webhook_endpoints.created IS 'When it was added';

CREATE TABLE mailfleet.api_tokens (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES mailfleet.tenants (id),
    name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    created timestamptz NOT NULL DEFAULT now(),
    revoked timestamptz
);
CREATE INDEX api_tokens_tenant_idx ON mailfleet.api_tokens (tenant_id);
SELECT mailfleet.wall('mailfleet.api_tokens');
CREATE POLICY mailfleet_by_token ON mailfleet.api_tokens FOR SELECT TO mailfleet_writer USING (true);
REVOKE SELECT ON mailfleet.api_tokens FROM mailfleet_reader;
REVOKE INSERT, UPDATE, DELETE ON mailfleet.api_tokens FROM mailfleet_writer;
COMMENT ON TABLE mailfleet.api_tokens IS 'Who may register outbound messages over HTTP';
COMMENT ON COLUMN mailfleet.api_tokens.id IS 'Identity';
COMMENT ON COLUMN mailfleet.api_tokens.tenant_id IS 'The tenant that its messages belong to';
COMMENT ON COLUMN mailfleet.api_tokens.name IS 'Name for people and for the command line';
COMMENT ON COLUMN mailfleet.api_tokens.token_hash IS 'SHA-256 of the token';
COMMENT ON COLUMN mailfleet.api_tokens.created IS 'When it was made';
COMMENT ON COLUMN mailfleet.api_tokens.revoked IS 'Since when it is refused; NULL while it is good';

CREATE TABLE mailfleet.webhook_inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Without a foreign key: each call would lock the endpoint's row, and endpoints are disabled, never deleted.
    endpoint_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    provider text NOT NULL,
    dedupe text COLLATE "C" NOT NULL CHECK (length(dedupe) BETWEEN 1 AND 200),
    body bytea NOT NULL,
    events jsonb NOT NULL DEFAULT '[]',
    note text,
    received timestamptz NOT NULL DEFAULT now(),
    applied timestamptz,
    UNIQUE (endpoint_id, dedupe)
);
-- The sweep looks for what waits, and there is little of it however long the table grows.
CREATE INDEX webhook_inbox_waiting_idx ON mailfleet.webhook_inbox (id) WHERE applied IS NULL;
CREATE INDEX webhook_inbox_last_idx ON mailfleet.webhook_inbox (endpoint_id, id);
SELECT mailfleet.wall('mailfleet.webhook_inbox');
COMMENT ON TABLE mailfleet.webhook_inbox IS 'Every webhook call that was taken, written before it was answered';
COMMENT ON COLUMN mailfleet.webhook_inbox.id IS 'Number of the call; its job is e:<id>';
COMMENT ON COLUMN mailfleet.webhook_inbox.endpoint_id IS 'The endpoint that took it';
COMMENT ON COLUMN mailfleet.webhook_inbox.tenant_id IS 'The endpoint''s tenant';
COMMENT ON COLUMN mailfleet.webhook_inbox.provider IS 'The endpoint''s provider';
COMMENT ON COLUMN mailfleet.webhook_inbox.dedupe IS 'What tells a repetition from a new call: the provider''s id of it, or a hash of the body';
COMMENT ON COLUMN mailfleet.webhook_inbox.body IS 'The call as it came, byte for byte';
COMMENT ON COLUMN mailfleet.webhook_inbox.events IS 'What it says, in our vocabulary: an array of events; empty where it says nothing of a message';
COMMENT ON COLUMN mailfleet.webhook_inbox.note IS 'What an operator has to do about it, such as the address that confirms a subscription';
COMMENT ON COLUMN mailfleet.webhook_inbox.received IS 'When it was committed';
COMMENT ON COLUMN mailfleet.webhook_inbox.applied IS 'When its events took effect; NULL while that is to come';
