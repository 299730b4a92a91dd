//! What the catalogs say, read with a fixed number of queries however many tables there are.

mod bodies;
mod functions;
mod installed;
mod keys;
mod policies;
mod relations;
mod rewrites;
mod rights;
mod roles;
mod server;
mod uses;

use std::collections::{HashMap, HashSet};

pub(crate) use functions::{Function, Trigger};
pub(crate) use installed::{
    Compared, ComparedTrigger, Installed, Part, There, ThereTrigger, Ungranted,
};
pub(crate) use keys::{ForeignKey, UniqueKey};
pub(crate) use policies::Policy;
use relations::TenantColumns;
pub(crate) use relations::{Belongs, Kind, Relation};
pub(crate) use rewrites::Rewrite;
pub(crate) use rights::Right;
pub(crate) use roles::{Role, Roles, quoted};
pub(crate) use server::{Declaration, Makes, Server};
use sqlx::PgConnection;
pub(crate) use uses::Use;

use super::Question;
use super::expr::{ContextFunction, Reader, Surroundings};

/// An object identifier of the server.
pub(crate) type Oid = i64;

/// Everything that the rules ask about.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) server: Server,
    /// The identifiers of prepared transactions that the application can end, quoted.
    pub(crate) prepared: Vec<String>,
    pub(crate) declaration: Declaration,
    /// What a migration made in the schema `cupel`; `None` where none was run.
    pub(crate) installed: Option<Installed>,
    /// What the migration grants, and its roles do not have.
    pub(crate) ungranted: Vec<Ungranted>,
    pub(crate) roles: Roles,
    pub(crate) relations: HashMap<Oid, Relation>,
    /// In the order of their names.
    pub(crate) order: Vec<Oid>,
    pub(crate) policies: HashMap<Oid, Vec<Policy>>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    pub(crate) unique_keys: Vec<UniqueKey>,
    pub(crate) functions: HashMap<Oid, Function>,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) uses: Vec<Use>,
    /// From a child or partition to its parents.
    pub(crate) parents: HashMap<Oid, Vec<Oid>>,
    /// From a view to what its query reads.
    pub(crate) reads: HashMap<Oid, Vec<Oid>>,
    /// Which rights each role has on each relation that it can name.
    pub(crate) rights: HashMap<(Oid, Oid), u32>,
    pub(crate) rewrites: Vec<Rewrite>,
    /// The owner of each schema.
    pub(crate) schemas: HashMap<String, Oid>,
    pub(crate) makes: Makes,
    pub(crate) surroundings: Surroundings,
    /// The tenant column of whatever has none of its own.
    asked_column: String,
}

impl Facts {
    /// Reads them over one connection, in the transaction that it is in.
    pub(crate) async fn read(
        conn: &mut PgConnection,
        question: &Question,
    ) -> Result<Option<Self>, sqlx::Error> {
        let server = server::read(conn, &question.context).await?;
        let Some(roles) = roles::read(conn, &question.app_role, &server).await? else {
            return Ok(None);
        };
        let prepared = server::prepared(conn, &server, roles.acting()).await?;
        let schemas = server::schemas(conn).await?;
        let installed = installed::read(conn, question, &roles, &schemas).await?;
        let declaration = server::declaration(conn, question, installed.as_ref()).await?;
        let ungranted = installed::ungranted(conn, installed.as_ref(), &declaration).await?;
        let list = relations::read(conn, &question.tenant_column, &declaration).await?;
        let order = list.iter().map(|it| it.oid).collect();
        let mut relations: HashMap<Oid, Relation> =
            list.into_iter().map(|it| (it.oid, it)).collect();
        let parents = relations::parents(conn).await?;
        let foreign_keys = keys::foreign(conn, roles.acting(), &server).await?;
        let columns = TenantColumns::of(&relations);
        let unique_keys = keys::unique(conn, roles.acting(), &columns).await?;
        relations::classify(&mut relations, &declaration, &foreign_keys, &parents);
        let mut functions = functions::read(conn, roles.acting()).await?;
        let triggers = functions::triggers(conn).await?;
        let uses = uses::uses(conn).await?;
        let mut policies = policies::read(conn).await?;
        let surroundings = surroundings(question, &declaration, &functions);
        policies::judge(&mut policies, &surroundings, &relations);
        let reads = rewrites::reads(conn).await?;
        let principals = principals(&roles, &relations, &functions);
        let rights = rights::rights(conn, &principals, server.version, &columns).await?;
        let rewrites = rewrites::rewrites(conn).await?;
        let makes = server::makes(conn, roles.acting()).await?;
        bodies::resolve(&mut functions, &relations, &reads, &surroundings);
        Ok(Some(Self {
            server,
            prepared,
            declaration,
            installed,
            ungranted,
            roles,
            relations,
            order,
            policies,
            foreign_keys,
            unique_keys,
            functions,
            triggers,
            uses,
            parents,
            reads,
            rights,
            rewrites,
            schemas,
            makes,
            surroundings,
            asked_column: question.tenant_column.clone(),
        }))
    }

    /// The column that names the organization of a row of the table.
    pub(crate) fn tenant_column<'a>(&'a self, table: &'a Relation) -> &'a str {
        table.tenant_column(&self.asked_column)
    }

    /// Whether it is a function or procedure of the migration.
    pub(crate) fn made(&self, routine: Oid) -> bool {
        self.installed.as_ref().is_some_and(|it| it.find(routine).is_some())
    }

    /// Whether it is one, and as the migration makes it: what it does is known.
    pub(crate) fn as_made(&self, routine: Oid) -> bool {
        let found = self.installed.as_ref().and_then(|it| it.find(routine));
        found.is_some_and(Compared::is_as_made)
    }

    /// The relations, in the order of their names.
    pub(crate) fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.order.iter().filter_map(|oid| self.relations.get(oid))
    }

    /// The tables whose rows are an organization's.
    pub(crate) fn tenant_tables(&self) -> impl Iterator<Item = &Relation> {
        self.relations().filter(|it| it.is_of_orgs())
    }

    /// Whether `role` has one of the rights on the relation and can name it.
    pub(crate) fn may(&self, role: Oid, relation: Oid, rights: &[Right]) -> bool {
        self.roles.is_superuser(role)
            || self
                .rights
                .get(&(role, relation))
                .is_some_and(|bits| rights.iter().any(|it| bits & it.bit() != 0))
    }

    /// Whether the application can use one of the rights on the relation, by itself.
    pub(crate) fn app_may(&self, relation: Oid, rights: &[Right]) -> bool {
        self.roles.acting().iter().any(|role| {
            self.may(*role, relation, rights) && self.may(*role, relation, &[Right::Usage])
        })
    }
}

/// Everybody whose rights statements of the application can run with.
fn principals(
    roles: &Roles,
    relations: &HashMap<Oid, Relation>,
    functions: &HashMap<Oid, Function>,
) -> Vec<Oid> {
    let mut all: HashSet<Oid> = roles.acting().iter().copied().collect();
    all.extend(
        relations.values().filter(|it| it.kind != Kind::Table || it.has_rules).map(|it| it.owner),
    );
    all.extend(functions.values().filter(|it| it.definer).map(|it| it.owner));
    let mut all: Vec<Oid> = all.into_iter().filter(|it| !roles.is_superuser(*it)).collect();
    all.sort_unstable();
    all
}

/// Finds which functions give the organization of the context. Those that call others come after them.
fn surroundings(
    question: &Question,
    declaration: &Declaration,
    functions: &HashMap<Oid, Function>,
) -> Surroundings {
    let mut known = Surroundings {
        tenant_column: question.tenant_column.clone(),
        contexts: vec![question.context.clone()],
        functions: HashMap::new(),
    };
    if declaration.is_sealed() {
        for name in ["cupel.current_org_id", "cupel.current_workspace_id"] {
            let what = if name.ends_with("org_id") {
                ContextFunction::Context
            } else {
                ContextFunction::OtherSetting
            };
            known.functions.insert(name.to_owned(), what);
        }
    }
    for _ in 0..3 {
        let mut found = Vec::new();
        for function in functions.values().filter(|it| !known.functions.contains_key(&it.name)) {
            if let Some(what) = function.comes_to(Reader(&known)) {
                found.push((function.name.clone(), what));
            }
        }
        if found.is_empty() {
            break;
        }
        known.functions.extend(found);
    }
    known
}
