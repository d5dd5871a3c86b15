-- Campaigns and their leads, which the platform keeps and mailfleet is told of; and what is needed to tie mail to them.

CREATE TABLE mailfleet.campaigns (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES mailfleet.tenants (id) ON DELETE CASCADE,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name),
    UNIQUE (id, tenant_id)
);
SELECT mailfleet.wall('mailfleet.campaigns');
COMMENT ON TABLE mailfleet.campaigns IS 'The campaigns of the tenants: reference data, upserted by `mailfleet campaign import`';
COMMENT ON COLUMN mailfleet.campaigns.id IS 'The platform''s id of the campaign; campaign_id everywhere else';
COMMENT ON COLUMN mailfleet.campaigns.tenant_id IS 'The tenant whose campaign it is';
COMMENT ON COLUMN mailfleet.campaigns.name IS 'Name for people, once per tenant';
COMMENT ON COLUMN mailfleet.campaigns.created IS 'When it was imported first';
COMMENT ON COLUMN mailfleet.campaigns.updated IS 'When it was last changed';

CREATE TABLE mailfleet.leads (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES mailfleet.tenants (id) ON DELETE CASCADE,
    campaign_id uuid NOT NULL,
    email text NOT NULL CHECK (length(email) BETWEEN 3 AND 320 AND email = lower(email)),
    name text,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, campaign_id, email),
    -- With the tenant: a lead cannot belong to another tenant's campaign.
    FOREIGN KEY (campaign_id, tenant_id) REFERENCES mailfleet.campaigns (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX leads_campaign_idx ON mailfleet.leads (campaign_id);
SELECT mailfleet.wall('mailfleet.leads');
COMMENT ON TABLE mailfleet.leads IS 'The people that a campaign writes to: reference data, upserted by `mailfleet campaign import`';
COMMENT ON COLUMN mailfleet.leads.id IS 'The platform''s id of the lead; lead_id everywhere else';
COMMENT ON COLUMN mailfleet.leads.tenant_id IS 'The tenant whose lead it is';
COMMENT ON COLUMN mailfleet.leads.campaign_id IS 'The campaign that writes to it; somebody in two campaigns is a lead of each';
COMMENT ON COLUMN mailfleet.leads.email IS 'Address in lower case, once per campaign';
COMMENT ON COLUMN mailfleet.leads.name IS 'Name, where the platform told it';
COMMENT ON COLUMN mailfleet.leads.created IS 'When it was imported first';
COMMENT ON COLUMN mailfleet.leads.updated IS 'When it was last changed';

ALTER TABLE mailfleet.email_accounts ADD COLUMN sent_mailboxes text[] NOT NULL DEFAULT '{}'
    CHECK (cardinality(sent_mailboxes) <= 1000);
COMMENT ON COLUMN mailfleet.email_accounts.sent_mailboxes IS 'The folders to watch whose mail we sent ourselves: direction outbound';

-- What the links of a mail are made from, kept so that they can be made again when something nearer comes later.
ALTER TABLE mailfleet.messages
    ADD COLUMN in_reply_to smallint NOT NULL DEFAULT 0,
    ADD COLUMN named_campaign_id uuid,
    ADD COLUMN named_lead_id uuid,
    ADD COLUMN named_campaign text,
    ADD COLUMN named_address text,
    ADD COLUMN account_told boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN mailfleet.messages.in_reply_to IS 'How many of refs, from the first, stand in In-Reply-To';
COMMENT ON COLUMN mailfleet.messages.named_campaign_id IS 'The campaign of the tenant that its X-Campaign-ID names';
COMMENT ON COLUMN mailfleet.messages.named_lead_id IS 'The lead of that campaign that the mail came from or was sent to';
COMMENT ON COLUMN mailfleet.messages.named_campaign IS 'What its X-Campaign-ID says, whether there is such a campaign or not; an import that brings it looks here';
COMMENT ON COLUMN mailfleet.messages.named_address IS 'The other side''s address, by which the lead of that campaign is found';
COMMENT ON COLUMN mailfleet.messages.account_told IS 'Whether a registration told account_id; else it is that of the folder in which the mail was seen';
CREATE INDEX messages_named_idx ON mailfleet.messages (tenant_id, named_campaign, storage_key)
    WHERE named_campaign IS NOT NULL AND named_lead_id IS NULL;
CREATE INDEX messages_parent_idx ON mailfleet.messages (parent_storage_key) WHERE parent_storage_key IS NOT NULL;
