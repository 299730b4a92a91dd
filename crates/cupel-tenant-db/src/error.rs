use cupel_tenant::{BoxError, Finding, LayerError, LayerErrorKind, LayerName, OrgState};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Why the database did not do what was asked of it.
///
/// A statement that runs on a [`TenantTx`](crate::TenantTx) fails with sqlx's own error; this one is
/// of everything around it. Where there is a cause it is in the chain, not in the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The access-log row of an admin transaction could not be written, so there is no access.
    ///
    /// The cause is the server's. Retrying may help.
    #[error("the access could not be logged, and without its row in the access log there is none")]
    AccessNotLogged {
        /// What the server reported.
        #[source]
        source: BoxError,
    },

    /// The connection broke while the transaction was being committed.
    ///
    /// The server has stored all of it or nothing. Look for what it should have written before doing
    /// it again.
    #[error(
        "the connection broke during the commit; look whether its work is there before repeating it"
    )]
    CommitUnknown {
        /// What broke.
        #[source]
        source: BoxError,
    },

    /// The database was migrated for another context mode than the one that is asked for.
    #[error(
        "the database is migrated for the context `{found}`, not `{wanted}`; configure the one it has, or migrate it"
    )]
    ContextMismatch {
        /// The mode that was asked for.
        wanted: &'static str,
        /// The mode of the database.
        found: &'static str,
    },

    /// The server has no database of the name in the URL.
    #[error("the server has no database of that name; create it, or correct the URL")]
    DatabaseMissing,

    /// The grant's time was over.
    #[error("the admin grant has expired; ask for a new one")]
    GrantExpired,

    /// A declared column cannot be one.
    #[error(
        "a declared table has no usable column name: each is of 1 to 63 bytes, and the organization's is not the workspace's"
    )]
    InvalidColumnName,

    /// A declaration cannot be read.
    #[error("line {line} of the declaration is wrong: {problem}")]
    InvalidDeclaration {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },

    /// A field of an admin grant breaks a rule.
    #[error("the admin grant is not valid: {rule}")]
    InvalidGrant {
        /// The rule, in words.
        rule: &'static str,
    },

    /// The name of a declared table cannot be one.
    #[error(
        "a declared table has no usable name: write `table` or `schema.table`, each of 1 to 63 bytes"
    )]
    InvalidTableName,

    /// A connection URL cannot be read.
    #[error(
        "the {which} URL is not one of PostgreSQL; write postgres://USER:PASSWORD@HOST:PORT/DATABASE"
    )]
    InvalidUrl {
        /// Whose URL: app, admin or owner.
        which: &'static str,
    },

    /// The server refused the role or its password.
    #[error("the server refused the role or its password; correct the {which} URL")]
    LoginRefused {
        /// Whose URL: app, admin or owner.
        which: &'static str,
        /// What the server reported.
        #[source]
        source: BoxError,
    },

    /// Another migration or adoption of the database was running for as long as one waits for it.
    ///
    /// Nothing was changed. One whose client was stopped runs on until the statement ends that it is at.
    #[error(
        "another migration or adoption of this database is running, and one at a time changes it; wait for it, or end its session with SELECT pg_terminate_backend({backend})"
    )]
    MigrationRunning {
        /// The process of the server that it runs in.
        backend: i32,
    },

    /// A declared table has rows, and its keys let them refer to rows of other organizations or tell of
    /// them. Changing keys under rows takes steps that do not block whoever works with them.
    #[error(
        "{constraint} of {table} does not carry {column}, and there are rows; `cupel adopt` changes it without long locks"
    )]
    NeedsAdoption {
        /// The table.
        table: String,
        /// The constraint or index, in words and with its name.
        constraint: String,
        /// The column of the organization.
        column: String,
    },

    /// There is no admin path, because no admin URL was configured.
    #[error("this needs the admin path; give the builder an admin URL")]
    NoAdmin,

    /// An admin transaction was given a statement of a kind that it does not run: one that could end the transaction
    /// or take its role back, that does not read or write rows, or that explains a write under a grant to read.
    #[error(
        "an admin transaction runs one statement at a time that reads or writes rows as far as its grant allows, and this one, which begins with {word:?}, is none; end the transaction with commit or rollback, and change the schema as the owner"
    )]
    NotAdmitted {
        /// What the statement begins with; empty if that is no word.
        word: String,
    },

    /// The organization asked for is not one that the grant names.
    #[error("the admin grant does not name this organization; ask for one that does")]
    NotGranted,

    /// The operating system gave no random numbers.
    #[error("the operating system gave no random numbers")]
    NoRandomness,

    /// There is no replica, because no URL of one was configured.
    #[error("this needs a read replica; give the builder a replica URL")]
    NoReplica,

    /// A context that is sealed needs a key, and none was given.
    #[error(
        "the context `{mode}` needs a seal key; generate one with `openssl rand -hex 32` and give it an id, as k1:…"
    )]
    NoSealKey {
        /// The mode.
        mode: &'static str,
    },

    /// The server has no role of the name that the audit asks about.
    #[error("the server has no role {role:?}; name the role that the application connects as")]
    NoSuchRole {
        /// The name that was asked for.
        role: String,
    },

    /// The database has not been migrated, or by an older version.
    #[error("the database is not migrated; run the migration with the owner's URL")]
    NotMigrated,

    /// Nothing was stored: a statement of the transaction had failed, or had ended the transaction.
    ///
    /// PostgreSQL answers `COMMIT` with success there; here it is an error.
    #[error("nothing was stored: a statement failed in the transaction or ended it; begin again")]
    NothingStored {
        /// What the server reported.
        #[source]
        source: BoxError,
    },

    /// The organization is in a state in which it is not let in.
    #[error("the organization is {state}, and only an active one is let in")]
    OrgRefused {
        /// The state.
        state: OrgState,
    },

    /// The owner's role lacks a right that the migration needs.
    #[error("the owner's role may not do what the migration needs: {needs}")]
    OwnerLacksRight {
        /// What is needed, and from whom to get it.
        needs: &'static str,
        /// What the server reported.
        #[source]
        source: BoxError,
    },

    /// A connection would cross a network in plain text, or to a server whose certificate is not checked.
    #[error(
        "the {which} URL crosses a network and does not check the server's certificate; add ?sslmode=verify-full (and sslrootcert), or allow it in development"
    )]
    PlainText {
        /// Whose URL: app, admin or owner.
        which: &'static str,
    },

    /// Every connection of the pool was in use for as long as a borrower waits.
    ///
    /// Retrying may help.
    #[error(
        "all {max} connections are in use; raise max_connections, or hold transactions for less time"
    )]
    PoolExhausted {
        /// How many connections the pool may have.
        max: u32,
    },

    /// The role can reach around row-level security.
    #[error("the role of the {which} URL {power}; connect as a role that the migration made")]
    PowerfulRole {
        /// Whose URL: app or admin.
        which: &'static str,
        /// What the role is or can become, in words.
        power: &'static str,
    },

    /// A role that exists is not as a role of the migration must be. It is not changed: somebody may rely
    /// on it.
    #[error("the role {role} exists and {problem}; correct it with {fix}, or name another role")]
    RoleUnfit {
        /// The role.
        role: String,
        /// What it is or can become, in words.
        problem: &'static str,
        /// The statement that corrects it.
        fix: String,
    },

    /// An organization or workspace named by a slug met a database whose columns are UUIDs.
    #[error("this database names {what} by UUID, and the id is a slug; use a UUID")]
    SlugOnUuid {
        /// What the id names: organizations or workspaces.
        what: &'static str,
    },

    /// A scope is narrowed to the nil UUID in a database whose columns are UUIDs: there it stands for rows
    /// that are of no workspace.
    #[error("the nil UUID is no workspace's id; narrow to the workspace's own, or do not narrow")]
    NilWorkspace,

    /// The server refused a statement of ours.
    ///
    /// Retrying may help.
    #[error("the server refused a statement of {action}")]
    Statement {
        /// What was being done, as a noun phrase.
        action: &'static str,
        /// What the server reported.
        #[source]
        source: BoxError,
    },

    /// A table was locked whenever its adoption needed a lock for a moment.
    ///
    /// Running it again goes on from there.
    #[error("a table is locked by long transactions all the time; end them, or run it again later")]
    TableInUse {
        /// What the server reported.
        #[source]
        source: BoxError,
    },

    /// Statements were counted that enforcement would block.
    #[error(
        "enforcement would block {} on {table}; the server's log shows some of it: correct the service, count anew, and enforce once nothing is counted",
        if *.violations == 1 { "1 statement".to_owned() } else { format!("{} statements", .violations) }
    )]
    StillViolated {
        /// The table.
        table: String,
        /// How many statements.
        violations: u64,
    },

    /// A declared table does not fit its declaration.
    #[error("the declared table {table} {problem}")]
    TableUnfit {
        /// The table.
        table: String,
        /// What is wrong, and what is needed.
        problem: String,
    },

    /// Transactions that began before the organization was refused are still open, or prepared, and could yet
    /// store what they wrote.
    ///
    /// Retrying helps once they are over.
    #[error(
        "{transactions} transactions are open or prepared since before the organization was refused; end them, or wait and run it again"
    )]
    StillInUse {
        /// How many there are, of any organization: the server does not say whose they are.
        transactions: i64,
    },

    /// The registry does not allow this move.
    #[error("an organization that is {from} cannot become {to}")]
    StateMove {
        /// The present state.
        from: OrgState,
        /// The state asked for.
        to: OrgState,
    },

    /// The organization is not in the registry.
    #[error("the organization is not registered; register it first")]
    UnknownOrg,

    /// The audit found what breaks the isolation now.
    #[error(
        "the database does not keep organizations apart: {}; put it right with `cupel migrate` or the fix of each finding, or allow it in development",
        .findings.iter().map(|it| format!("{} on {}", it.problem, it.object)).collect::<Vec<_>>().join(", ")
    )]
    Unsafe {
        /// The critical findings.
        findings: Vec<Finding>,
    },

    /// The server did not answer.
    ///
    /// Retrying may help.
    #[error("the database does not answer; start it, or correct the {which} URL")]
    Unreachable {
        /// Whose URL: app, admin or owner.
        which: &'static str,
        /// What happened instead.
        #[source]
        source: BoxError,
    },
}

impl Error {
    /// A refused statement of `action`, or a server that went away.
    pub(crate) fn statement(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| {
            if is_disconnect(&source) {
                Self::Unreachable { which: "database", source: source.into() }
            } else {
                Self::Statement { action, source: source.into() }
            }
        }
    }

    /// What a failed connect means, from the SQLSTATE that the server gave.
    pub(crate) fn connect(which: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| match sqlstate(&source).as_deref() {
            Some("28P01" | "28000") => Self::LoginRefused { which, source: source.into() },
            Some("3D000") => Self::DatabaseMissing,
            _ => Self::Unreachable { which, source: source.into() },
        }
    }

    /// Returns what a caller can do about it.
    pub fn kind(&self) -> LayerErrorKind {
        match self {
            Self::LoginRefused { .. } | Self::Unreachable { .. } => LayerErrorKind::Unreachable,
            Self::AccessNotLogged { .. }
            | Self::CommitUnknown { .. }
            | Self::MigrationRunning { .. }
            | Self::NothingStored { .. }
            | Self::PoolExhausted { .. }
            | Self::StillInUse { .. }
            | Self::Statement { .. }
            | Self::TableInUse { .. } => LayerErrorKind::Failed,
            _ => LayerErrorKind::Refused,
        }
    }

    /// As the error of the layer, which was doing `action`.
    pub(crate) fn during(action: &'static str) -> impl FnOnce(Self) -> LayerError {
        move |error| LayerError::new(LayerName::Database, action, error.kind(), error)
    }
}

/// Returns the five characters by which the server names the error, if it is one of the server's.
pub(crate) fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
}

/// serialization_failure and deadlock_detected: PostgreSQL documentation, section 13.5.
pub(crate) fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("40001" | "40P01"))
}

/// Returns whether the error says that the connection is gone rather than that a statement is wrong.
///
/// Class 57P is the server ending sessions, class 08 what is wrong with a connection (PostgreSQL documentation,
/// appendix A): so a pooler says that it lost the server, perhaps after that has done what it was asked for. Whatever
/// is FATAL or PANIC ends the session too.
pub(crate) fn is_disconnect(error: &sqlx::Error) -> bool {
    if matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) {
        return true;
    }
    let from_server = error.as_database_error();
    let from_server = from_server.and_then(|it| it.try_downcast_ref::<PgDatabaseError>());
    from_server.is_some_and(|error| {
        matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)
            || ["57P", "08"].iter().any(|class| error.code().starts_with(class))
    })
}
