use std::process::ExitCode;

use cupel_isolation::{Config, migrate};
use serde_json::json;

use super::{Ended, print};
use crate::args::Format;
use crate::exit;

pub(crate) async fn run(config: &Config, print_only: bool, format: Format) -> Ended {
    if print_only {
        let sql = migrate::sql(config)?;
        print(format, || sql.clone(), || json!({ "sql": sql }));
        return Ok(ExitCode::from(exit::HELD));
    }
    let changes = migrate::run(config).await?;
    let text = || {
        if changes.is_empty() {
            return "nothing to do: the database is as declared\n".to_owned();
        }
        changes.iter().map(|change| format!("{change}\n")).collect()
    };
    print(format, text, || json!({ "changes": changes.iter().collect::<Vec<_>>() }));
    Ok(ExitCode::from(exit::HELD))
}
