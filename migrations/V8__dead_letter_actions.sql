-- Dead letters in groups, and the book of who replayed or discarded which.

-- NULL in letters from before: they are computed when they are read, so no row is rewritten here.
ALTER TABLE mailfleet.dead_letters ADD COLUMN fingerprint text;
COMMENT ON COLUMN mailfleet.dead_letters.fingerprint IS 'What letters of one cause have in common: see dead_fingerprint(). NULL in letters from before there were any';

-- What differs from mail to mail is taken out of the error: ids, addresses' local parts, quoted values, numbers. A number that stands
-- alone in parentheses stays, because it is a code (SQLSTATE); so does a domain, because each needs its own cure.
CREATE FUNCTION mailfleet.dead_fingerprint(reason text, class text, error text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT left(encode(sha256(convert_to(concat_ws(E'\n', reason, class,
            regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(lower(error),
                '<[^<>]*>', '<>', 'g'),
                '=\([^()]*\)', '=()', 'g'),
                '[a-z0-9.!#$%&*+/=?^_`{|}~-]+@', '@', 'g'),
                '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', '?', 'g'),
                '[0-9a-f]{16,}', '?', 'g'),
                '(?<![(0-9])[0-9]+|(?<=\()[0-9]+(?![0-9)])', '0', 'g')
        ), 'UTF8')), 'hex'), 12)
    $$;
COMMENT ON FUNCTION mailfleet.dead_fingerprint(text, text, text) IS 'The group of a dead letter: reason, class and error without what differs from mail to mail; 12 hex digits';

-- A trigger, so that writers from before this migration fill it as well.
CREATE FUNCTION mailfleet.set_dead_fingerprint() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        NEW.fingerprint := mailfleet.dead_fingerprint(NEW.reason, NEW.class, NEW.error);
        RETURN NEW;
    END
    $$;
COMMENT ON FUNCTION mailfleet.set_dead_fingerprint() IS 'Keeps dead_letters.fingerprint';
CREATE TRIGGER dead_letters_fingerprint BEFORE INSERT OR UPDATE OF reason, class, error ON mailfleet.dead_letters
    FOR EACH ROW EXECUTE FUNCTION mailfleet.set_dead_fingerprint();

CREATE TABLE mailfleet.dead_letter_actions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    action text NOT NULL CHECK (action IN ('replay', 'discard')),
    os_user text NOT NULL,
    host text NOT NULL,
    login text NOT NULL DEFAULT session_user,
    said_by text,
    filter jsonb NOT NULL,
    matched bigint NOT NULL,
    done bigint NOT NULL DEFAULT 0,
    already_queued bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    began timestamptz NOT NULL DEFAULT now(),
    progressed timestamptz NOT NULL DEFAULT now(),
    ended timestamptz,
    outcome text CHECK (outcome IN ('completed', 'stopped', 'refused', 'broken')),
    CHECK ((ended IS NULL) = (outcome IS NULL))
);
COMMENT ON TABLE mailfleet.dead_letter_actions IS 'The book of what people did to dead letters: each run of a replay or a discard. Rows are added and ended, never removed';
COMMENT ON COLUMN mailfleet.dead_letter_actions.id IS 'Number for people';
COMMENT ON COLUMN mailfleet.dead_letter_actions.action IS 'replay or discard';
COMMENT ON COLUMN mailfleet.dead_letter_actions.os_user IS 'The user of the operating system who ran it';
COMMENT ON COLUMN mailfleet.dead_letter_actions.host IS 'The machine it ran on';
COMMENT ON COLUMN mailfleet.dead_letter_actions.login IS 'The login it used at this server';
COMMENT ON COLUMN mailfleet.dead_letter_actions.said_by IS 'Who asked for it, or why, as given on the command line; NULL where nothing was';
COMMENT ON COLUMN mailfleet.dead_letter_actions.filter IS 'Which letters were asked for';
COMMENT ON COLUMN mailfleet.dead_letter_actions.matched IS 'Letters that were of that kind when it began';
COMMENT ON COLUMN mailfleet.dead_letter_actions.done IS 'Letters replayed, or discarded, so far';
COMMENT ON COLUMN mailfleet.dead_letter_actions.already_queued IS 'Letters whose job was in the queue already';
COMMENT ON COLUMN mailfleet.dead_letter_actions.failed IS 'Letters that cannot be replayed';
COMMENT ON COLUMN mailfleet.dead_letter_actions.began IS 'When it began';
COMMENT ON COLUMN mailfleet.dead_letter_actions.progressed IS 'When these numbers were written last';
COMMENT ON COLUMN mailfleet.dead_letter_actions.ended IS 'When it ended; NULL while it runs, and for good where it was killed';
COMMENT ON COLUMN mailfleet.dead_letter_actions.outcome IS 'completed; stopped (too many died again); refused (the queue took no more); broken (an error ended it)';

CREATE TABLE mailfleet.dead_letter_action_letters (
    action_id bigint NOT NULL REFERENCES mailfleet.dead_letter_actions (id),
    letter_id bigint NOT NULL,
    acted timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (action_id, letter_id)
);
COMMENT ON TABLE mailfleet.dead_letter_action_letters IS 'Which letters an action was done to. A letter that died after that did not come through';
COMMENT ON COLUMN mailfleet.dead_letter_action_letters.action_id IS 'The action (dead_letter_actions.id)';
COMMENT ON COLUMN mailfleet.dead_letter_action_letters.letter_id IS 'The letter (dead_letters.id)';
COMMENT ON COLUMN mailfleet.dead_letter_action_letters.acted IS 'When it was done';

-- For operators alone: they name tenants and people. Nobody removes from them.
GRANT SELECT, INSERT, UPDATE ON mailfleet.dead_letter_actions, mailfleet.dead_letter_action_letters TO mailfleet_maintenance;
