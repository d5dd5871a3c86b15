-- What comments say since more than one thing makes the note of an endpoint go away, and people's mails have more types than one.

COMMENT ON COLUMN mailfleet.webhook_endpoints.note IS 'Why its calls cannot be verified, such as a secret that is not there, and what to do; NULL again with the next call that is verified by the producer that left it, or within a minute of such calls at another one';

DO $$
DECLARE
    counted record;
BEGIN
    FOR counted IN
        SELECT table_name FROM information_schema.columns WHERE table_schema = 'analytics' AND column_name = 'replied'
    LOOP
        EXECUTE format('COMMENT ON COLUMN analytics.%I.replied IS %L', counted.table_name,
            'Inbound mails of type email, calendar or unsubscribe that answer an outbound message by In-Reply-To or References, of a campaign or of none; on the day and in the mailbox that they came. Never our own Sent copy, nor its copy in an inbox; never on the word of X-Campaign-ID');
    END LOOP;
END
$$;
