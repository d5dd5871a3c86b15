-- Row-level security: the wall between tenants. Three roles, which the programs and people's logins are members of:
--   mailfleet_writer       the fleet; reads and writes only rows of tenants that it declared for the transaction
--   mailfleet_reader       applications and analysts; the same wall, reading only
--   mailfleet_maintenance  sweeps, roll-ups and the operator's commands: no wall
-- A transaction declares its tenants with: SET LOCAL mailfleet.tenants = '{<uuid>,<uuid>}'

-- Roles belong to the whole server: another database's migration may be making them at this moment.
DO $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['mailfleet_writer', 'mailfleet_reader', 'mailfleet_maintenance'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN %s', wanted,
                    CASE wanted WHEN 'mailfleet_maintenance' THEN 'BYPASSRLS' ELSE '' END);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
        -- True for a superuser without any grant.
        IF NOT pg_catalog.pg_has_role(current_user, wanted, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO %I', wanted, current_user);
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'mailfleet_maintenance' AND rolbypassrls) THEN
        RAISE insufficient_privilege USING MESSAGE = 'the role mailfleet_maintenance has no BYPASSRLS';
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE insufficient_privilege USING MESSAGE = sqlerrm,
            DETAIL = format('once per server, as a superuser: CREATE ROLE mailfleet_writer; CREATE ROLE mailfleet_reader; CREATE ROLE mailfleet_maintenance BYPASSRLS; GRANT mailfleet_writer, mailfleet_reader, mailfleet_maintenance TO %I', current_user);
END
$roles$;

CREATE FUNCTION mailfleet.declared_tenants() RETURNS uuid[]
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT coalesce(nullif(current_setting('mailfleet.tenants', true), ''), '{}')::uuid[] $$;
COMMENT ON FUNCTION mailfleet.declared_tenants() IS 'The tenants that the transaction declared; none where it did not';

-- The sub-select is evaluated once a statement, not once a row. Only who owns the schema can grant its use, and need not
-- where the roles have it.
CREATE FUNCTION mailfleet.wall(walled regclass, tenant name DEFAULT 'tenant_id') RETURNS void
    LANGUAGE plpgsql
    AS $wall$
DECLARE
    spot text := (SELECT relnamespace::regnamespace::text FROM pg_catalog.pg_class WHERE oid = walled);
    role name;
    counter regclass;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', walled);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', walled);
    EXECUTE format('DROP POLICY IF EXISTS mailfleet_tenants ON %s', walled);
    EXECUTE format(
        'CREATE POLICY mailfleet_tenants ON %s USING (%I = ANY ((SELECT mailfleet.declared_tenants())::uuid[]))',
        walled, tenant);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO mailfleet_writer, mailfleet_maintenance', walled);
    EXECUTE format('GRANT SELECT ON %s TO mailfleet_reader', walled);
    FOREACH role IN ARRAY ARRAY['mailfleet_writer', 'mailfleet_reader', 'mailfleet_maintenance'] LOOP
        IF NOT has_schema_privilege(role, spot::regnamespace::oid, 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', spot, role);
        END IF;
    END LOOP;
    -- The counters of serial columns, which a table that was there before may have.
    FOR counter IN
        SELECT d.objid::regclass FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
        AND d.refobjid = walled AND d.deptype = 'a' AND c.relkind = 'S'
    LOOP
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO mailfleet_writer, mailfleet_maintenance', counter);
    END LOOP;
END
$wall$;
COMMENT ON FUNCTION mailfleet.wall(regclass, name) IS 'Puts a table behind the wall: row-level security, forced, by the column that holds the tenant, and the grants of the three roles';

GRANT USAGE ON SCHEMA mailfleet TO mailfleet_writer, mailfleet_reader, mailfleet_maintenance;
GRANT SELECT ON mailfleet.schema_history TO mailfleet_writer, mailfleet_reader, mailfleet_maintenance;

-- Reference data: the fleet reads all of it, to tell whose a mail is; operators alone change it.
SELECT mailfleet.wall('mailfleet.tenants', 'id');
SELECT mailfleet.wall('mailfleet.tenant_domains');
SELECT mailfleet.wall('mailfleet.email_accounts');
CREATE POLICY mailfleet_fleet ON mailfleet.tenants FOR SELECT TO mailfleet_writer USING (true);
CREATE POLICY mailfleet_fleet ON mailfleet.tenant_domains FOR SELECT TO mailfleet_writer USING (true);
CREATE POLICY mailfleet_fleet ON mailfleet.email_accounts FOR SELECT TO mailfleet_writer USING (true);
REVOKE INSERT, UPDATE, DELETE ON mailfleet.tenants, mailfleet.tenant_domains, mailfleet.email_accounts
    FROM mailfleet_writer;

-- Folders have no tenant of their own but their account's. The fleet's cursors move before a mail's tenant is known.
ALTER TABLE mailfleet.mailboxes ENABLE ROW LEVEL SECURITY;
ALTER TABLE mailfleet.mailboxes FORCE ROW LEVEL SECURITY;
CREATE POLICY mailfleet_fleet ON mailfleet.mailboxes TO mailfleet_writer USING (true);
CREATE POLICY mailfleet_tenants ON mailfleet.mailboxes FOR SELECT TO mailfleet_reader
    USING (account_id IN (SELECT id FROM mailfleet.email_accounts));
GRANT SELECT ON mailfleet.mailboxes TO mailfleet_reader;
GRANT SELECT, INSERT, UPDATE ON mailfleet.mailboxes TO mailfleet_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON mailfleet.mailboxes TO mailfleet_maintenance;

-- The ledger says of a place in a mailbox that something was done with it, and not whose it was: readers have no part in it.
GRANT SELECT, INSERT, UPDATE ON mailfleet.mailbox_messages TO mailfleet_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON mailfleet.mailbox_messages TO mailfleet_maintenance;

-- A mail may die before its tenant is known: the fleet then writes nobody's letter, and no reader sees it.
SELECT mailfleet.wall('mailfleet.dead_letters');
CREATE POLICY mailfleet_fleet ON mailfleet.dead_letters TO mailfleet_writer USING (tenant_id IS NULL);

-- Between two runs of a job its mail may have become another tenant's (an account or a domain changed hands). The letter
-- of the job is still the job's, so these two look past the wall, by job alone.
CREATE FUNCTION mailfleet.resolve_letters(jobs text[]) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        WITH resolved AS (
            UPDATE mailfleet.dead_letters SET state = 'resolved', closed = now(), raw = NULL
            WHERE job_id = ANY (jobs) AND state <> 'resolved' RETURNING 1
        )
        SELECT count(*) FROM resolved
    $$;
COMMENT ON FUNCTION mailfleet.resolve_letters(text[]) IS 'Closes the letters of jobs whose mail is stored, whoever''s it was when they died; the raw mail goes';
CREATE FUNCTION mailfleet.tenants_of_letters(jobs text[]) RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT coalesce(array_agg(DISTINCT tenant_id), '{}') FROM mailfleet.dead_letters
        WHERE job_id = ANY (jobs) AND tenant_id IS NOT NULL
    $$;
COMMENT ON FUNCTION mailfleet.tenants_of_letters(text[]) IS 'The tenants under which these jobs died before';
REVOKE ALL ON FUNCTION mailfleet.resolve_letters(text[]), mailfleet.tenants_of_letters(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mailfleet.resolve_letters(text[]), mailfleet.tenants_of_letters(text[]) TO mailfleet_writer;
-- They run as the role without a wall. Its right to create is needed for the change of owner alone.
GRANT CREATE ON SCHEMA mailfleet TO mailfleet_maintenance;
ALTER FUNCTION mailfleet.resolve_letters(text[]) OWNER TO mailfleet_maintenance;
ALTER FUNCTION mailfleet.tenants_of_letters(text[]) OWNER TO mailfleet_maintenance;
REVOKE CREATE ON SCHEMA mailfleet FROM mailfleet_maintenance;
