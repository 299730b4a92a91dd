mod args;
mod baseline;

use std::error::Error;
use std::io::{ErrorKind, Write, stdout};
use std::iter;
use std::process::ExitCode;

pub(crate) use args::AuditArgs;
use baseline::Baseline;
use cupel_isolation::audit::Audited;
use cupel_isolation::database::Error as DatabaseError;
use cupel_isolation::{Config, audit, report};
use tokio::time::timeout;

use super::Ended;
use crate::args::ReportFormat;
use crate::{exit, formats};

pub(crate) async fn run(config: &Config, args: &AuditArgs, format: ReportFormat) -> Ended {
    if args.fix && format != ReportFormat::Text {
        return Err("--fix prints SQL: leave --format out, or leave --fix out".into());
    }
    let request = args.request();
    if request.database_url.is_none() && config.database.is_none() {
        return Err("no database is named: give --database-url postgres://USER@HOST/DATABASE, or write a cupel.toml with [database]".into());
    }
    // Before anything is asked: a mistyped path is not told after the wait.
    let baseline = args.baseline.as_deref().map(Baseline::read).transpose()?;

    let asked = timeout(args.timeout(), audit::run(config, &request)).await;
    let mut audited = match asked {
        Ok(Ok(audited)) => audited,
        Ok(Err(error)) => {
            let code = exit::explain(&error);
            if let Some(remedy) = remedy(&error) {
                anstream::eprintln!("  try: {remedy}");
            }
            return Ok(code);
        }
        Err(_) => {
            return Err(format!(
                "the database does not answer within {} s; start it, correct its URL, or give more time with --timeout",
                args.timeout().as_secs()
            )
            .into());
        }
    };
    let present = Baseline::of(&audited.report.findings);
    if let Some(baseline) = &baseline {
        leave_out(&mut audited, baseline);
    }
    let deny = args.deny();
    if args.fix {
        anstream::eprint!("{}", report::audit_text(&audited));
        put(&audited.report.fix_sql())?;
    } else {
        put(&match format {
            ReportFormat::Text => report::audit_text(&audited),
            ReportFormat::Json => format!("{:#}\n", report::audit_json(&audited)),
            ReportFormat::Sarif => formats::sarif(&audited)?,
            ReportFormat::Junit => formats::junit(&audited, deny)?,
            ReportFormat::Html => formats::html(&audited)?,
        })?;
    }
    if let Some(path) = &args.write_baseline {
        present.write(path)?;
        anstream::eprintln!("{} written to {}", findings(present.len()), path.display());
        return Ok(ExitCode::from(exit::HELD));
    }
    let denied = audited.report.worst().is_some_and(|worst| worst >= deny);
    Ok(ExitCode::from(if denied { exit::LEAKED } else { exit::HELD }))
}

/// Takes out what the baseline knows, and says what it knows in vain.
fn leave_out(audited: &mut Audited, baseline: &Baseline) {
    let stale = baseline.stale(&audited.report.findings);
    if !stale.is_empty() {
        let are = if stale.len() == 1 { "is" } else { "are" };
        anstream::eprintln!(
            "{} of the baseline {are} gone; write it again to forget:",
            findings(stale.len())
        );
        for fingerprint in stale {
            anstream::eprintln!("  {}", report::visible(fingerprint));
        }
    }
    let all = audited.report.findings.len();
    audited.report.findings.retain(|it| !baseline.knows(it));
    audited.known = all - audited.report.findings.len();
}

fn findings(count: usize) -> String {
    if count == 1 { "1 finding".to_owned() } else { format!("{count} findings") }
}

/// What helps on the command line, where the error itself does not say it.
fn remedy(error: &(dyn Error + 'static)) -> Option<&'static str> {
    use cupel_isolation::Error as Facade;
    match error.downcast_ref()? {
        Facade::NoSuchRole { .. } => return Some("--app-role ROLE"),
        Facade::NoTenantTables { .. } => return Some("--tenant-column COLUMN"),
        _ => {}
    }
    let mut causes = iter::successors(Some(error), |it| (**it).source());
    match causes.find_map(|it| it.downcast_ref())? {
        DatabaseError::PlainText { .. } => Some("--allow-plaintext, if you trust the network"),
        DatabaseError::Statement { .. } => Some("a server of PostgreSQL 15 or later"),
        _ => None,
    }
}

/// Writes to standard output as it is, byte by byte. A reader that has read enough is no error.
fn put(text: &str) -> Result<(), Box<dyn Error>> {
    let mut stdout = stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
