//! Functions that run with the rights of others, and what they touch.

use cupel_tenant::Severity;

use super::{Asked, Place, Rule, severity_of, sql, steps, words};
use crate::audit::expr::Class;
use crate::audit::facts::{Facts, Function, Kind, Oid};

static DEFINER: Rule = Rule {
    id: "F1",
    severity: Severity::Critical,
    phase: 3,
    problem: "a function that the application can call touches a tenant table with its owner's rights",
    allows: "what the owner may reach to be reached through it",
};

static DYNAMIC: Rule = Rule {
    id: "F6",
    severity: Severity::High,
    phase: 3,
    problem: "a function that the application can call puts statements together and runs them with its owner's rights",
    allows: "any table to be reached that its arguments can name",
};

static LENT: Rule = Rule {
    id: "F10",
    severity: Severity::Critical,
    phase: 3,
    problem: "a function that runs with its owner's rights calls one that the application's role owns, or can become the owner of",
    allows: "its code to run with these rights",
};

static SETS: Rule = Rule {
    id: "F4",
    severity: Severity::Medium,
    phase: 2,
    problem: "the application's role may call a function that calls set_config with its owner's rights",
    allows: "one injected expression to switch organizations inside a SELECT, if the function sets what it is told",
};

static PATH: Rule = Rule {
    id: "F5",
    severity: Severity::Medium,
    phase: 3,
    problem: "a function that runs with its owner's rights goes by a search path that the application decides",
    allows: "what it calls and reads to be replaced by objects of the application's",
};

static LEAKPROOF: Rule = Rule {
    id: "F2",
    severity: Severity::Medium,
    phase: 3,
    problem: "a function that somebody made is declared LEAKPROOF",
    allows: "it to see rows before the policies do",
};

static UNREADABLE: Rule = Rule {
    id: "F7",
    severity: Severity::Medium,
    phase: 2,
    problem: "a function in a language that is not confined to the database can be called",
    allows: "whatever it does: it cannot be read",
};

pub(super) fn find(facts: &Facts) -> Vec<Place> {
    let mut functions: Vec<&Function> =
        facts.functions.values().filter(|it| it.callable && !facts.as_made(it.oid)).collect();
    functions.sort_by(|a, b| a.object.cmp(&b.object));
    let mut places = Vec::new();
    for function in functions {
        if !function.of_triggers {
            places.extend(borrowed(facts, function));
        }
        if function.definer {
            places.extend(lent(facts, function));
            if function.sets && function.arguments > 0 && !facts.made(function.oid) {
                places.push(SETS.at(&function.object, revoke(facts, function)));
            }
        }
        // Where it is one of ours, D3 says what should stand there.
        if function.definer && !function.of_extension && !facts.made(function.oid) {
            places.extend(path(facts, function));
        }
        if function.leakproof {
            let fix = sql(format!("ALTER FUNCTION {} NOT LEAKPROOF", function.signature));
            places.push(LEAKPROOF.at(&function.object, fix));
        }
        let confined = matches!(function.language.as_str(), "sql" | "plpgsql");
        if !confined && !function.of_extension {
            places.push(UNREADABLE.at(&function.object, revoke(facts, function)));
        }
    }
    places
}

fn revoke(facts: &Facts, function: &Function) -> super::Fix {
    let revokees = facts.roles.revokees();
    let routines = std::iter::once(&function.signature).chain(&function.aggregates);
    steps(routines.map(|it| format!("REVOKE EXECUTE ON ROUTINE {it} FROM {revokees}")))
}

impl Facts {
    /// How far another role's rights take the function beyond the caller's organization; `None` if it
    /// touches no tenant table with them.
    pub(super) fn reaches(&self, function: &Function) -> Option<Class> {
        let acting = self.roles.acting();
        let mut worst = None;
        for (with, what) in &function.touches {
            let Some((with, relation)) = with.zip(self.relations.get(what)) else { continue };
            let tables: Vec<(Oid, Oid)> = match relation.kind {
                Kind::View | Kind::MaterializedView => {
                    self.behind(relation, with).into_iter().collect()
                }
                _ => vec![(*what, with)],
            };
            for (table, with) in tables {
                let table = self.relations.get(&table).filter(|it| it.is_of_orgs());
                if let Some(table) = table.filter(|_| !acting.contains(&with)) {
                    let acts = self.acts(with, table, &[]).into_iter();
                    let done = acts.filter(|(act, _)| function.verbs & act.right().bit() != 0);
                    let most = done.map(|(_, hold)| hold.class).max().unwrap_or(Class::Never);
                    worst = worst.max(Some(most));
                }
            }
        }
        worst
    }

    /// A function that the application can change and that this one runs: itself, or what it calls, at any depth.
    pub(super) fn own_code_of<'a>(&'a self, function: &'a Function) -> Option<&'a Function> {
        let mut seen: Vec<&Function> = vec![function];
        let mut at = 0;
        while let Some(next) = seen.get(at).copied() {
            if self.roles.app_reaches(next.owner) {
                return Some(next);
            }
            let called = next.calls.iter().filter_map(|it| self.functions.get(it));
            let new: Vec<&Function> =
                called.filter(|it| !seen.iter().any(|other| other.oid == it.oid)).collect();
            seen.extend(new);
            at += 1;
        }
        None
    }

    /// Whether row security does not hold the role on some tenant table that it can reach.
    pub(super) fn is_powerful(&self, role: Oid) -> bool {
        self.roles.is_exempt(role)
            || self.tenant_tables().any(|it| self.worst(role, it) > Class::Isolates)
    }
}

fn borrowed(facts: &Facts, function: &Function) -> Option<Place> {
    let class = facts.reaches(function);
    let fix = || revoke(facts, function);
    match class {
        Some(class) if class > Class::Isolates => {
            let place = DEFINER.at(&function.object, fix());
            Some(if function.reads_context {
                place
                    .weighing(Severity::Medium)
                    .noting("it asks for the context; whether that is enough cannot be shown")
            } else {
                place.weighing(severity_of(class))
            })
        }
        _ if function.dynamic && function.definer && facts.is_powerful(function.owner) => {
            let severity = if function.arguments > 0 { Severity::High } else { Severity::Medium };
            Some(DYNAMIC.at(&function.object, fix()).weighing(severity))
        }
        _ => None,
    }
}

/// A function with the rights of somebody that the application cannot become, that runs code of the application's.
fn lent(facts: &Facts, function: &Function) -> Option<Place> {
    if facts.roles.app_reaches(function.owner) {
        return None;
    }
    let own = facts.own_code_of(function)?;
    let fix = words(format!(
        "ALTER FUNCTION {} OWNER TO a role that the application cannot become",
        own.signature
    ));
    // Without a place to create in, its owner can change its attributes but not its body.
    let powerful = facts.makes.objects && facts.is_powerful(function.owner);
    let severity = if powerful { Severity::Critical } else { Severity::Medium };
    Some(LENT.at(&function.object, fix).weighing(severity).noting(own.object.as_str()))
}

fn path(facts: &Facts, function: &Function) -> Option<Place> {
    let fix = sql(format!(
        "ALTER ROUTINE {} SET search_path = pg_catalog, {}, pg_temp",
        function.signature,
        crate::audit::facts::quoted(&function.schema)
    ));
    let place = PATH.at(&function.object, fix);
    if !facts.is_powerful(function.owner) {
        return function.search_path.is_none().then(|| place.weighing(Severity::Low));
    }
    match &function.search_path {
        None if facts.makes.objects => Some(place.weighing(Severity::High)),
        None => Some(place),
        Some(_) if function.open_path => Some(
            place
                .weighing(Severity::High)
                .noting("a schema on its path is open to the application"),
        ),
        Some(path)
            if facts.makes.temporary
                && !path.contains("pg_temp")
                && !function.touches.is_empty() =>
        {
            Some(place.noting("pg_temp is not the last on its path, so it comes first"))
        }
        Some(_) => None,
    }
}

pub(super) const ASKED: &[Asked] = &[
    Asked {
        rule: Rule {
            id: "F3",
            severity: Severity::Medium,
            phase: 2,
            problem: "the application's role can reach other servers or files from SQL",
            allows: "rows to be carried out, or to be read with the rights of another connection",
        },
        query: "SELECT e.extname || ': ' || count(*) || ' functions',
              format('REVOKE EXECUTE ON FUNCTION %s FROM %s',
                string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid), q.revokees),
              CASE WHEN bool_or(p.proname LIKE 'dblink_connect_u') THEN 'high' END
            FROM pg_catalog.pg_extension e
            JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
              AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass
            JOIN pg_catalog.pg_proc p ON p.oid = d.objid, q
            WHERE e.extname IN ('dblink', 'adminpack', 'pg_cron', 'pg_net', 'http', 'plsh', 'pageinspect',
                'pg_visibility', 'pg_buffercache', 'pgrowlocks', 'pgstattuple', 'pg_walinspect', 'pg_freespacemap',
                'pg_surgery', 'amcheck')
              AND p.prorettype <> 'trigger'::regtype
              AND EXISTS (SELECT FROM r WHERE has_function_privilege(r.role, p.oid, 'EXECUTE')
                AND has_schema_privilege(r.role, p.pronamespace, 'USAGE'))
            GROUP BY e.extname, q.revokees
            UNION ALL
            SELECT 'server ' || s.srvname, format('REVOKE USAGE ON FOREIGN SERVER %I FROM %s', s.srvname, q.revokees),
              CASE WHEN EXISTS (SELECT FROM r, pg_catalog.pg_namespace n
                WHERE has_schema_privilege(r.role, n.oid, 'CREATE')) THEN 'high' END
            FROM pg_catalog.pg_foreign_server s, q
            WHERE EXISTS (SELECT FROM r WHERE has_server_privilege(r.role, s.oid, 'USAGE'))",
    },
    Asked {
        rule: Rule {
            id: "F4",
            severity: Severity::Medium,
            phase: 2,
            problem: "the application's role may call set_config",
            allows: "one injected expression to switch organizations inside a SELECT, and one in an admin transaction to take back its role",
        },
        query: "SELECT 'pg_catalog.set_config(text, text, boolean)'::text,
              'REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM ' || q.revokees,
              NULL::text
            FROM q WHERE EXISTS (SELECT FROM r
              WHERE has_function_privilege(r.role, 'pg_catalog.set_config(text, text, boolean)', 'EXECUTE'))",
    },
    Asked {
        rule: Rule {
            id: "E1",
            severity: Severity::High,
            phase: 3,
            problem: "an event trigger runs a function that the application's role owns, or can become the owner of",
            allows: "its code to run as whoever changes the schema next",
        },
        query: "SELECT 'event trigger ' || t.evtname, format('DROP EVENT TRIGGER %I', t.evtname), NULL::text
            FROM pg_catalog.pg_event_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.evtfoid
            WHERE EXISTS (SELECT FROM r WHERE r.role <> 0 AND pg_has_role(r.role, p.proowner, 'USAGE'))",
    },
];
