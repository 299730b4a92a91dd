//! Rights that row security does not cover.

use cupel_tenant::Severity;

use super::{Asked, Place, Rule, sql};
use crate::audit::facts::{Facts, Oid, Right};

static TRUNCATE: Rule = Rule {
    id: "G1",
    severity: Severity::Critical,
    phase: 2,
    problem: "the application's role may truncate the table",
    allows: "deleting every organization's rows: row security does not cover TRUNCATE",
};

static REFERENCES: Rule = Rule {
    id: "G3",
    severity: Severity::High,
    phase: 2,
    problem: "the application's role may refer to the table by a foreign key of its own",
    allows: "learning which keys exist elsewhere, by a table of its own without policies",
};

static TRIGGER: Rule = Rule {
    id: "G4",
    severity: Severity::Critical,
    phase: 2,
    problem: "the application's role may put triggers on the table",
    allows: "its code to run as whoever touches the row next, and to keep what it sees",
};

static MAINTAIN: Rule = Rule {
    id: "G5",
    severity: Severity::Medium,
    phase: 2,
    problem: "the application's role may maintain the table",
    allows: "rewriting it under a lock that every organization waits for",
};

pub(super) fn find(facts: &Facts) -> Vec<Place> {
    const RIGHTS: [(Right, &Rule, &str); 4] = [
        (Right::Truncate, &TRUNCATE, "TRUNCATE"),
        (Right::References, &REFERENCES, "REFERENCES"),
        (Right::Trigger, &TRIGGER, "TRIGGER"),
        (Right::Maintain, &MAINTAIN, "MAINTAIN"),
    ];
    let mut places = Vec::new();
    for table in facts.tenant_tables() {
        for (right, rule, name) in RIGHTS {
            let owned = facts.roles.app_reaches(table.owner);
            if owned || !facts.app_may(table.oid, &[right]) {
                continue;
            }
            let revokees = facts.roles.revokees();
            let fix = sql(format!("REVOKE {name} ON {} FROM {revokees}", table.quoted));
            let place = rule.at(table.object(), fix);
            places.push(match right {
                Right::References if !facts.makes.objects => useless(place),
                // A temporary function will do, for as long as its session lasts.
                Right::Trigger if !(facts.makes.objects || facts.makes.temporary) => useless(place),
                Right::Truncate if !truncates(facts, table.oid) => place
                    .weighing(Severity::Medium)
                    .noting("tables that refer to it stand in the way yet"),
                _ => place,
            });
        }
    }
    places
}

fn useless(place: Place) -> Place {
    place.weighing(Severity::Medium).noting("it can create nothing to use it with yet")
}

/// Whether TRUNCATE would be carried out: with CASCADE it needs the right on all that refers to the table.
fn truncates(facts: &Facts, table: Oid) -> bool {
    let mut emptied = vec![table];
    let mut at = 0;
    while let Some(table) = emptied.get(at).copied() {
        at += 1;
        for from in facts.foreign_keys.iter().filter(|it| it.to == table).map(|it| it.from) {
            if !facts.app_may(from, &[Right::Truncate]) {
                return false;
            }
            if !emptied.contains(&from) {
                emptied.push(from);
            }
        }
    }
    true
}

pub(super) const ASKED: &[Asked] = &[
    Asked {
        rule: Rule {
            id: "R4",
            severity: Severity::Medium,
            phase: 2,
            problem: "the application's role may create objects",
            allows: "functions, tables and temporary tables that others then use unknowingly",
        },
        query: "SELECT 'schema ' || n.nspname, format('REVOKE CREATE ON SCHEMA %I FROM %s', n.nspname, q.revokees),
              NULL::text
            FROM pg_catalog.pg_namespace n, q
            WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
              AND EXISTS (SELECT FROM r WHERE has_schema_privilege(r.role, n.oid, 'CREATE'))
              AND NOT EXISTS (SELECT FROM r WHERE pg_has_role(r.role, n.nspowner, 'USAGE') AND r.role <> 0)
            UNION ALL
            SELECT 'database ' || d.datname, format('REVOKE %s ON DATABASE %I FROM %s',
              string_agg(p.name, ', ' ORDER BY p.name), d.datname, q.revokees), NULL
            FROM unnest(ARRAY['CREATE', 'TEMPORARY']) p(name), pg_catalog.pg_database d, q
            WHERE d.datname = current_database()
              AND EXISTS (SELECT FROM r WHERE has_database_privilege(r.role, d.oid, p.name))
            GROUP BY d.datname, q.revokees",
    },
    Asked {
        rule: Rule {
            id: "G2",
            severity: Severity::Medium,
            phase: 2,
            problem: "tables that are made later are open to the application's role as they are made",
            allows: "a new table to be reached before it has row security",
        },
        query: "SELECT 'default privileges of ' || pg_get_userbyid(d.defaclrole)
                || coalesce(' in ' || n.nspname, ''),
              format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON TABLES FROM %s',
                pg_get_userbyid(d.defaclrole), CASE WHEN n.oid IS NULL THEN '' ELSE format(' IN SCHEMA %I', n.nspname) END,
                string_agg(DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC'
                  ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', ')), NULL::text
            FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace,
              aclexplode(d.defaclacl) a
            WHERE d.defaclobjtype = 'r' AND (a.grantee = 0
              OR EXISTS (SELECT FROM r WHERE r.role <> 0 AND r.role <> d.defaclrole
                AND pg_has_role(r.role, a.grantee, 'USAGE')))
            GROUP BY d.oid, d.defaclrole, n.oid, n.nspname",
    },
    Asked {
        rule: Rule {
            id: "G6",
            severity: Severity::Medium,
            phase: 2,
            problem: "the application's role was granted what the server keeps for administration as it is delivered",
            allows: "reading files, what the planner keeps of every organization's values, or the server's secrets",
        },
        query: "SELECT p.oid::regprocedure::text,
              format('REVOKE ALL ON FUNCTION %s FROM %s', p.oid::regprocedure, q.revokees),
              CASE WHEN p.proname IN ('pg_read_file', 'pg_read_binary_file', 'lo_import', 'lo_export', 'pg_file_write')
                THEN 'critical' END
            FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_init_privs i ON i.objoid = p.oid
                AND i.classoid = 'pg_catalog.pg_proc'::regclass AND i.privtype = 'i',
              LATERAL aclexplode(p.proacl) a, q
            WHERE (a.grantee = 0 OR EXISTS (SELECT FROM r WHERE r.role <> 0 AND pg_has_role(r.role, a.grantee, 'USAGE')))
              AND NOT EXISTS (SELECT FROM aclexplode(i.initprivs) o WHERE o.grantee = a.grantee)
            UNION
            SELECT 'pg_catalog.' || c.relname, format('REVOKE ALL ON pg_catalog.%I FROM %s', c.relname, q.revokees),
              CASE WHEN c.relname IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject') THEN 'critical' END
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_init_privs i ON i.objoid = c.oid
                AND i.classoid = 'pg_catalog.pg_class'::regclass AND i.objsubid = 0 AND i.privtype = 'i'
              LEFT JOIN LATERAL (SELECT a.attacl FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL) t ON true,
              LATERAL (SELECT * FROM aclexplode(c.relacl) UNION ALL SELECT * FROM aclexplode(t.attacl)) a, q
            WHERE c.relnamespace = 'pg_catalog'::regnamespace
              AND (a.grantee = 0 OR EXISTS (SELECT FROM r WHERE r.role <> 0 AND pg_has_role(r.role, a.grantee, 'USAGE')))
              AND NOT EXISTS (SELECT FROM aclexplode(i.initprivs) o
                WHERE o.grantee IN (0, a.grantee) AND o.privilege_type = a.privilege_type)
              AND NOT EXISTS (SELECT FROM pg_catalog.pg_init_privs j, aclexplode(j.initprivs) o
                WHERE j.classoid = i.classoid AND j.objoid = c.oid AND j.objsubid > 0 AND o.grantee = a.grantee)",
    },
    Asked {
        rule: Rule {
            id: "S6",
            severity: Severity::Low,
            phase: 2,
            problem: "the application's role may read or set a sequence",
            allows: "counting what all organizations store, or making their inserts fail",
        },
        query: "SELECT n.nspname || '.' || c.relname,
              format('REVOKE SELECT, UPDATE ON SEQUENCE %I.%I FROM %s', n.nspname, c.relname, q.revokees),
              CASE WHEN bool_or(has_sequence_privilege(r.role, c.oid, 'UPDATE')) THEN 'medium' END
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, r, q
            WHERE c.relkind = 'S' AND n.nspname <> 'cupel' AND n.nspname NOT LIKE 'pg\\_temp%'
              AND has_schema_privilege(r.role, n.oid, 'USAGE')
              AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(r.role, c.oid, 'SELECT, UPDATE') END
            GROUP BY n.nspname, c.relname, q.revokees",
    },
    Asked {
        rule: Rule {
            id: "S8",
            severity: Severity::High,
            phase: 2,
            problem: "the application's role can read large objects",
            allows: "every organization to read them: row security does not cover them",
        },
        query: "SELECT 'large objects of ' || pg_get_userbyid(l.lomowner),
              '-- keep large values in rows of a tenant table, or have another role own them'::text, NULL::text
            FROM pg_catalog.pg_largeobject_metadata l
            WHERE EXISTS (SELECT FROM r WHERE r.role <> 0 AND pg_has_role(r.role, l.lomowner, 'USAGE'))
              OR EXISTS (SELECT FROM aclexplode(l.lomacl) a, r WHERE a.privilege_type = 'SELECT'
                AND (a.grantee = 0 OR r.role <> 0 AND pg_has_role(r.role, a.grantee, 'USAGE')))
              OR current_setting('lo_compat_privileges')::bool
            GROUP BY l.lomowner",
    },
];
