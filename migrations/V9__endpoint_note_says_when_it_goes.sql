-- Since V7 the note of an endpoint goes away in two ways, of which its comment names one.

COMMENT ON COLUMN mailfleet.webhook_endpoints.note IS 'Why its calls cannot be verified, such as a secret that is not there, and what to do; NULL again with the next call that is verified by the producer that left it, or within a minute of such calls at another one';
