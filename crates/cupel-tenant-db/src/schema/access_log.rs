/// The log of admin access: rows are added by one function, which chains each to the one before by its
/// digest, and changed by nobody.
///
/// The function runs as the owner, and reads who has logged in from the session, so the admin role can
/// neither leave a row out nor write one in another's name. The digest is over a JSON array of all fields,
/// which is one text for one row. The table's lock makes rows follow each other; an advisory one could be
/// held by anybody. The owner can take the trigger away, and then the chain shows what was changed.
pub(crate) const ACCESS_LOG: &str = r#"CREATE TABLE IF NOT EXISTS cupel.access_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  login name NOT NULL DEFAULT session_user,
  actor text NOT NULL,
  reason text NOT NULL,
  ticket text,
  approver text,
  access text NOT NULL CHECK (access IN ('read only', 'read write')),
  orgs text[],
  expires timestamptz NOT NULL,
  previous bytea,
  digest bytea NOT NULL
);
COMMENT ON COLUMN cupel.access_log.orgs IS 'the organizations that were named; NULL for all';
COMMENT ON COLUMN cupel.access_log.digest IS 'SHA-256 of the previous digest and of this row';
CREATE OR REPLACE FUNCTION cupel.access_digest(entry cupel.access_log) RETURNS bytea
  LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
  AS $$ SELECT sha256(coalesce(entry.previous, '') || convert_to(jsonb_build_array(entry.id,
      extract(epoch FROM entry.at), entry.login, entry.actor, entry.reason, entry.ticket,
      entry.approver, entry.access, entry.orgs, extract(epoch FROM entry.expires))::text, 'UTF8')) $$;
CREATE OR REPLACE FUNCTION cupel.log_access(actor text, reason text, ticket text, approver text,
    access text, orgs text[], milliseconds bigint) RETURNS bigint
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ DECLARE entry cupel.access_log; BEGIN
    LOCK TABLE cupel.access_log IN SHARE ROW EXCLUSIVE MODE;
    entry.id := nextval(pg_get_serial_sequence('cupel.access_log', 'id'));
    entry.at := clock_timestamp();
    entry.login := session_user;
    entry.actor := log_access.actor;
    entry.reason := log_access.reason;
    entry.ticket := log_access.ticket;
    entry.approver := log_access.approver;
    entry.access := log_access.access;
    entry.orgs := log_access.orgs;
    entry.expires := entry.at + milliseconds * interval '1 millisecond';
    entry.previous := (SELECT l.digest FROM cupel.access_log l ORDER BY l.id DESC LIMIT 1);
    entry.digest := cupel.access_digest(entry);
    INSERT INTO cupel.access_log OVERRIDING SYSTEM VALUE SELECT entry.*;
    RETURN entry.id;
  END $$;
CREATE OR REPLACE FUNCTION cupel.keep_access_log() RETURNS trigger
  LANGUAGE plpgsql
  AS $$ BEGIN
    RAISE EXCEPTION 'the access log is only added to' USING ERRCODE = 'insufficient_privilege';
  END $$;
CREATE OR REPLACE TRIGGER keep BEFORE DELETE OR UPDATE OR TRUNCATE ON cupel.access_log
  FOR EACH STATEMENT EXECUTE FUNCTION cupel.keep_access_log();
ALTER TABLE cupel.access_log ENABLE ALWAYS TRIGGER keep;
"#;
