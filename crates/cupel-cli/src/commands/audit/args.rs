use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use clap::{ValueEnum, value_parser};
use cupel_isolation::Severity;
use cupel_isolation::audit::Request;
use secrecy::SecretString;

/// What `cupel audit` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    /// The database. Without it the first of `database.owner_url`, `database.admin_url` and `database.url`
    /// in the configuration.
    ///
    /// Any role may ask, also one that can do nothing else; a superuser is not needed.
    #[arg(
        long,
        value_name = "URL",
        env = "DATABASE_URL",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new().map(SecretString::from)
    )]
    database_url: Option<SecretString>,

    /// The role that your application connects as: the audit says what this role can reach. Without it the
    /// user of `database.url`, or else of --database-url.
    #[arg(long, value_name = "ROLE", value_parser = NonEmptyStringValueParser::new())]
    app_role: Option<String>,

    /// The role that may reach every organization, if there is one. Without it the user of
    /// `database.admin_url`.
    #[arg(long, value_name = "ROLE", value_parser = NonEmptyStringValueParser::new())]
    admin_role: Option<String>,

    /// The column that says which organization a row is of [default: org_id]
    #[arg(long, value_name = "COLUMN", value_parser = NonEmptyStringValueParser::new())]
    tenant_column: Option<String>,

    /// The setting that your policies compare it with [default: app.current_org_id]
    #[arg(long, value_name = "SETTING", value_parser = NonEmptyStringValueParser::new())]
    context: Option<String>,

    /// Tables that are the same for every organization, as `countries,public.currencies`. Can be repeated.
    #[arg(
        long,
        value_name = "TABLE",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new()
    )]
    shared: Vec<String>,

    /// A file that declares the tables, with their columns, as `database.declaration` does. A table that carries
    /// such a column and is not declared is a finding then.
    #[arg(long, value_name = "FILE")]
    declaration: Option<PathBuf>,

    /// Connect over a network even if it is not encrypted, or the server's certificate is not checked. With
    /// `environment = "development"` this is not needed.
    #[arg(long)]
    allow_plaintext: bool,

    /// Give up after so many seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 120,
        value_parser = value_parser!(u64).range(1..)
    )]
    timeout: u64,

    /// Print one migration that puts right what SQL can put right, and the findings on standard error.
    ///
    /// What needs a decision stands in it as a comment. Read it before you run it: a right that it takes
    /// away may be in use.
    #[arg(long, conflicts_with = "baseline")]
    pub(super) fix: bool,

    /// Leave out the findings that this file knows, and say which of it are gone.
    ///
    /// A finding that has become worse than the file says is not left out.
    #[arg(long, value_name = "FILE")]
    pub(super) baseline: Option<PathBuf>,

    /// Write the present findings to a file for --baseline, and exit with 0: from now on only new ones
    /// count.
    #[arg(long, value_name = "FILE")]
    pub(super) write_baseline: Option<PathBuf>,

    /// Exit with 1 if there is a finding of this severity or worse.
    #[arg(long, value_name = "SEVERITY", value_enum, default_value_t = Deny::High)]
    deny: Deny,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Deny {
    /// An organization reads or writes rows of another now.
    Critical,
    /// An organization can learn what exists elsewhere, or is one step from its rows.
    High,
    /// A second mistake would break isolation.
    Medium,
    /// Isolation holds, and would hold better. Also `warn`.
    #[value(alias = "warn")]
    Low,
    /// Whatever was found.
    Info,
}

impl AuditArgs {
    pub(super) fn request(&self) -> Request {
        let mut request = Request::default();
        request.database_url.clone_from(&self.database_url);
        request.app_role.clone_from(&self.app_role);
        request.admin_role.clone_from(&self.admin_role);
        request.tenant_column.clone_from(&self.tenant_column);
        request.context.clone_from(&self.context);
        request.shared.clone_from(&self.shared);
        request.declaration.clone_from(&self.declaration);
        request.allow_plaintext = self.allow_plaintext;
        request
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    pub(super) fn deny(&self) -> Severity {
        match self.deny {
            Deny::Critical => Severity::Critical,
            Deny::High => Severity::High,
            Deny::Medium => Severity::Medium,
            Deny::Low => Severity::Low,
            Deny::Info => Severity::Info,
        }
    }
}
