-- What keeps an endpoint from verifying its calls is told where operators look. The producer finds it out when it takes a call, and may
-- write this one column, within the wall; what opens a door stays the operators' own.

ALTER TABLE mailfleet.webhook_endpoints ADD COLUMN note text;
GRANT UPDATE (note) ON mailfleet.webhook_endpoints TO mailfleet_writer;
COMMENT ON COLUMN mailfleet.webhook_endpoints.note IS 'Why its calls cannot be verified, such as a secret that is not there, and what to do; NULL again with the next call that is verified';
