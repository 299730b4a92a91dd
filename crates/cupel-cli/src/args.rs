//! What the command line says.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use cupel_isolation::{OrgId, Tier};

use crate::commands::{AdoptArgs, AuditArgs};

/// Keeps the organizations of a multi-tenant service apart in PostgreSQL, Redis, Temporal, Kubernetes
/// and KMS, and proves it by attacking.
///
/// Exit code 0: held, or done. 1: a leak, a finding, or a control that failed. 2: usage, an interruption, or a
/// server that does not answer.
#[derive(Debug, Parser)]
#[command(name = "cupel", version, max_term_width = 100)]
pub(crate) struct Args {
    /// The configuration file. Every key can be overridden by the environment, as
    /// CUPEL_DATABASE__URL. Without the file the environment alone counts.
    #[arg(
        long,
        global = true,
        env = "CUPEL_CONFIG",
        value_name = "FILE",
        default_value = "cupel.toml"
    )]
    pub(crate) config: PathBuf,

    /// Text for readers, or JSON on standard output and nothing else there. The others are for `audit`.
    #[arg(long, global = true, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How a command prints what it found: all formats of all commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For readers.
    Text,
    /// For programs.
    Json,
    /// For code scanning: SARIF 2.1.0. Only `audit`.
    Sarif,
    /// For test reports of a CI: JUnit XML. Only `audit`.
    Junit,
    /// For a browser: one page that needs nothing but itself. Only `audit`.
    Html,
}

/// The formats that every command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

impl ReportFormat {
    /// Returns the format, if every command has it.
    pub(crate) fn common(self) -> Result<Format, &'static str> {
        match self {
            Self::Text => Ok(Format::Text),
            Self::Json => Ok(Format::Json),
            Self::Sarif | Self::Junit | Self::Html => Err(
                "only `cupel audit` prints sarif, junit and html; this command has text and json",
            ),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Attack every configured layer with two canary organizations, beside controls.
    ///
    /// The canaries are made, attack each other in both directions, and are erased. No organization in
    /// use is touched. An attack counts as blocked only if the rightful owner could do the same in
    /// the same run. Ctrl-C stops it and erases the canaries.
    ///
    /// Try: `cupel prove`, or in CI `cupel prove --format json > proof.json`.
    Prove,

    /// Make the roles, policies and tables that isolation in PostgreSQL needs.
    ///
    /// Needs `database.owner_url`. Takes the names and passwords of the two roles from `database.url` and
    /// `database.admin_url`, and the tables from `database.tables` or the file `database.declaration`. Run it again whenever a table was
    /// added: a second run changes nothing.
    ///
    /// Try: `cupel migrate --print` to read the SQL first.
    Migrate {
        /// Print the SQL, with passwords left out, and change nothing.
        #[arg(long)]
        print: bool,
    },

    /// Bring isolation to tables that have rows, while a service works with them.
    ///
    /// Takes the tables from `database.tables` or `database.declaration`, as `cupel migrate` does. In the shadow
    /// phase, statements that enforcement would block are counted and logged, and nobody is blocked. Keys,
    /// references and indexes that carry the organization are then built beside those that there are, without
    /// long locks, and put in their place as the policies come into force. Stopped at any point, it goes on
    /// from there when it is run again.
    ///
    /// Try: `cupel adopt shadow`, some days later `cupel adopt`, and in the end `cupel adopt enforce`.
    Adopt(AdoptArgs),

    /// Read a PostgreSQL database for what lets one organization reach another, with a fix for each.
    ///
    /// Works on any database from PostgreSQL 15 on, whether cupel made its policies or somebody else. It reads
    /// the catalogs in one transaction that writes nothing, looks at no rows and runs no code of the
    /// database.
    ///
    /// Findings are critical (an organization reads or writes rows of another now), high (it can learn what
    /// exists elsewhere, or is one step from its rows), medium (a second mistake would break isolation), low
    /// (isolation holds, and would hold better) or info.
    ///
    /// Exit code 0: nothing of the severity of --deny or worse. 1: a finding. 2: usage, an unknown role, or
    /// a server that does not answer.
    #[command(after_long_help = EXAMPLES)]
    Audit(Box<AuditArgs>),

    /// Make an organization usable in every configured layer. Run it again after a crash.
    ///
    /// Try: `cupel onboard acme-corp --tier enterprise`.
    Onboard {
        /// 1 to 53 bytes of a-z, 0-9 and '-', or a UUID.
        org: OrgId,
        /// The tier, with limits from the section `tiers.NAME`.
        #[arg(long, default_value = "standard")]
        tier: Tier,
    },

    /// Refuse an organization in every configured layer, and keep its data.
    Suspend {
        /// The organization.
        org: OrgId,
    },

    /// Let a suspended organization in again.
    Resume {
        /// The organization.
        org: OrgId,
    },

    /// Suspend an organization, erase it everywhere, and scan for what is left. There is no way back.
    ///
    /// Ends with a certificate: what was erased in each layer. If something is left, run it again.
    Offboard {
        /// The organization.
        org: OrgId,
        /// Do it. Without this nothing is changed.
        #[arg(long)]
        yes: bool,
    },

    /// List the organizations of the registry.
    List,

    /// Check that nobody has changed the log of access across organizations.
    ///
    /// Each row carries a digest of itself and of the row before it. Keep the head that this prints somewhere
    /// else: given back with --head, it shows that no row was taken off the end.
    ///
    /// Exit code 1 if the chain is broken, or does not hold the head.
    AccessLog {
        /// The head of an earlier check, in hexadecimal.
        #[arg(long, value_name = "HEX")]
        head: Option<String>,
    },

    /// Print the Kubernetes objects of an organization as YAML. Needs no cluster.
    ///
    /// Try: `cupel render acme-corp | kubectl diff -f -`.
    Render {
        /// The organization. Left out with --guards.
        #[arg(required_unless_present = "guards")]
        org: Option<OrgId>,
        /// The tier, with limits from the section `tiers.NAME`.
        #[arg(long, default_value = "standard")]
        tier: Tier,
        /// Print the admission guards of the whole cluster instead.
        #[arg(long, conflicts_with = "org")]
        guards: bool,
    },

    /// Say what is configured, reachable, and in which version.
    Doctor,

    /// Print a completion script.
    ///
    /// Try: `source <(cupel completions bash)`.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

const EXAMPLES: &str = "\
Examples:
  What cupel.toml configures:
    cupel audit

  Somebody else's database, with other names:
    cupel audit --database-url postgres://me@db.example/shop?sslmode=verify-full \\
      --app-role shop_app --tenant-column tenant_id --context app.tenant \\
      --shared countries,currencies

  A migration that puts right what was found. Read it, then run it:
    cupel audit --fix > 0007_isolation.sql

  In CI, beginning with a database that is not clean yet:
    cupel audit --write-baseline audit.json
    cupel audit --baseline audit.json --deny warn --format sarif > audit.sarif

  A page to send to somebody:
    cupel audit --format html > audit.html";
