use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;

use super::{Oid, Server};

/// A role's attributes.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Role {
    pub(crate) oid: Oid,
    pub(crate) name: String,
    pub(crate) superuser: bool,
    pub(crate) bypass: bool,
    pub(crate) replication: bool,
    pub(crate) create_role: bool,
    pub(crate) create_db: bool,
}

/// One membership, and what it lets the member do.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct Membership {
    member: Oid,
    role: Oid,
    inherits: bool,
    sets: bool,
    pub(crate) admin: bool,
}

/// Who is who, and what the application's role can become.
#[derive(Debug)]
pub(crate) struct Roles {
    all: HashMap<Oid, Role>,
    /// By member, the roles whose rights it has without doing anything; itself is one.
    inherited: HashMap<Oid, HashSet<Oid>>,
    app: Oid,
    /// Everything that the application can become by SET ROLE, itself first.
    can_be: Vec<Oid>,
    /// Of those, the ones whose rights are worth asking after: a superuser has all.
    acting: Vec<Oid>,
    memberships: Vec<Membership>,
    /// What it can become only by granting it to itself.
    pub(crate) administers: HashSet<Oid>,
}

/// Reads the roles; `None` if there is no application's role of that name.
pub(super) async fn read(
    conn: &mut PgConnection,
    app: &str,
    server: &Server,
) -> Result<Option<Roles>, sqlx::Error> {
    let list: Vec<Role> = sqlx::query_as(
        "SELECT oid::int8, rolname::text AS name, rolsuper AS superuser, rolbypassrls AS bypass,
           rolreplication AS replication, rolcreaterole AS create_role, rolcreatedb AS create_db
         FROM pg_catalog.pg_roles ORDER BY rolname",
    )
    .fetch_all(&mut *conn)
    .await?;
    // From 16 on each membership says what it lets the member do.
    let memberships: Vec<Membership> = sqlx::query_as(if server.version >= 160_000 {
        "SELECT member::int8, roleid::int8 AS role, bool_or(inherit_option) AS inherits,
           bool_or(set_option) AS sets, bool_or(admin_option) AS admin
         FROM pg_catalog.pg_auth_members GROUP BY member, roleid"
    } else {
        "SELECT m.member::int8, m.roleid::int8 AS role, r.rolinherit AS inherits, true AS sets,
           m.admin_option AS admin
         FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.member"
    })
    .fetch_all(conn)
    .await?;
    let Some(app) = list.iter().find(|it| it.name == app).map(|it| it.oid) else {
        return Ok(None);
    };
    let mut memberships = memberships;
    // Whoever owns the database is a member of this role, and no row says so.
    if let Some(owners) = list.iter().find(|it| it.name == "pg_database_owner") {
        memberships.push(Membership {
            member: server.database_owner,
            role: owners.oid,
            inherits: true,
            sets: false,
            admin: false,
        });
    }
    let all: HashMap<Oid, Role> = list.into_iter().map(|it| (it.oid, it)).collect();
    let members: HashSet<Oid> = memberships.iter().map(|it| it.member).collect();
    let inherited = members
        .into_iter()
        .map(|member| {
            (member, closure(member, &memberships, |it| it.inherits).into_iter().collect())
        })
        .collect();
    let can_be = closure(app, &memberships, |it| it.sets || it.admin);
    let plainly: HashSet<Oid> = closure(app, &memberships, |it| it.sets).into_iter().collect();
    let administers = can_be.iter().copied().filter(|it| !plainly.contains(it)).collect();
    let superuser = |it: &Oid| all.get(it).is_some_and(|role| role.superuser);
    let mut acting: Vec<Oid> = can_be.iter().copied().filter(|it| !superuser(it)).collect();
    if acting.is_empty() {
        // PUBLIC: what is open besides the superuser's own rights.
        acting.push(0);
    }
    Ok(Some(Roles { all, inherited, app, can_be, acting, memberships, administers }))
}

fn closure(
    from: Oid,
    memberships: &[Membership],
    follows: impl Fn(&Membership) -> bool,
) -> Vec<Oid> {
    let mut found = vec![from];
    let mut at = 0;
    while let Some(member) = found.get(at).copied() {
        at += 1;
        for next in memberships.iter().filter(|it| it.member == member && follows(it)) {
            if !found.contains(&next.role) {
                found.push(next.role);
            }
        }
    }
    found
}

impl Roles {
    /// Everything that the application can become, itself first.
    pub(crate) fn can_be(&self) -> impl Iterator<Item = &Role> {
        self.can_be.iter().filter_map(|oid| self.all.get(oid))
    }

    /// The roles whose rights the application can use.
    pub(crate) fn acting(&self) -> &[Oid] {
        &self.acting
    }

    /// Every role whose rights the application has, by inheritance or by becoming it.
    pub(crate) fn reach(&self) -> HashSet<Oid> {
        let mut reach: HashSet<Oid> = self.can_be.iter().copied().collect();
        for role in &self.can_be {
            reach.extend(self.inherited.get(role).into_iter().flatten());
        }
        reach
    }

    pub(crate) fn app(&self) -> Oid {
        self.app
    }

    /// The role of that name.
    pub(crate) fn named(&self, name: &str) -> Option<&Role> {
        self.all.values().find(|it| it.name == name)
    }

    /// The name of a role; PUBLIC is nobody's.
    pub(crate) fn name(&self, oid: Oid) -> &str {
        self.all.get(&oid).map_or("PUBLIC", |it| &it.name)
    }

    pub(crate) fn get(&self, oid: Oid) -> Option<&Role> {
        self.all.get(&oid)
    }

    pub(crate) fn is_superuser(&self, oid: Oid) -> bool {
        self.all.get(&oid).is_some_and(|it| it.superuser)
    }

    /// Whether row security never applies to the role.
    pub(crate) fn is_exempt(&self, oid: Oid) -> bool {
        self.all.get(&oid).is_some_and(|it| it.superuser || it.bypass)
    }

    /// Whether `role` has the rights of `of` without doing anything.
    pub(crate) fn inherits(&self, role: Oid, of: Oid) -> bool {
        role == of
            || self.is_superuser(role)
            || self.inherited.get(&role).is_some_and(|it| it.contains(&of))
    }

    /// Whether the application has the rights of the role, or can become it.
    pub(crate) fn app_reaches(&self, role: Oid) -> bool {
        self.acting.iter().any(|it| self.inherits(*it, role))
    }

    /// The statements that end the memberships by which the application reaches the role. Of the roles that
    /// the server comes with, what they are members of stays: it is they that are left.
    pub(crate) fn leave(&self, role: Oid) -> Vec<String> {
        let reach = self.reach();
        let ways =
            self.memberships.iter().filter(|it| it.role == role && reach.contains(&it.member));
        let mut statements: Vec<String> = ways
            .flat_map(|it| match self.name(it.member) {
                member if member.starts_with("pg_") => self.leave(it.member),
                member => {
                    vec![format!("REVOKE {} FROM {}", quoted(self.name(role)), quoted(member))]
                }
            })
            .collect();
        statements.sort();
        statements.dedup();
        statements
    }

    /// Those to revoke from, quoted: the application's role, PUBLIC, and what it is a member of.
    pub(crate) fn revokees(&self) -> String {
        let mut names = vec![quoted(self.name(self.app)), "PUBLIC".to_owned()];
        let mut more: Vec<String> = self
            .reach()
            .into_iter()
            .filter(|it| *it != self.app && !self.is_superuser(*it))
            .map(|it| self.name(it))
            .filter(|name| !name.starts_with("pg_"))
            .map(quoted)
            .collect();
        more.sort();
        names.extend(more);
        names.join(", ")
    }
}

/// Quotes a name where it needs to be.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
        && !name.starts_with(|it: char| it.is_ascii_digit())
        && !name.is_empty();
    if plain && !RESERVED.split_ascii_whitespace().any(|it| it == name) {
        name.to_owned()
    } else {
        crate::schema::ident(name)
    }
}

/// The words that are no names: PostgreSQL documentation, appendix C, those reserved; and what GRANT takes for somebody
/// else than a role of that name.
const RESERVED: &str = "
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation column
    concurrently constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze from
    full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit localtime
    localtimestamp natural none not notnull null offset on only or order outer overlaps placing primary public references
    returning right select session_user similar some symmetric system_user table tablesample then to trailing true union
    unique user using variadic verbose when where window with
";
