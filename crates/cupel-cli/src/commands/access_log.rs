use std::process::ExitCode;

use cupel_isolation::Config;
use cupel_isolation::access_log::verify;
use cupel_isolation::database::AccessLog;
use serde_json::json;

use super::{Ended, despite_findings, print};
use crate::args::Format;
use crate::exit;

pub(crate) async fn run(config: &Config, head: Option<&str>, format: Format) -> Ended {
    let log = verify(&despite_findings(config), head).await?;
    let json = || {
        json!({
            "rows": log.rows,
            "head": log.head,
            "broken": log.broken,
            "holds_head": log.holds_head,
            "whole": log.is_whole(),
        })
    };
    print(format, || text(&log), json);
    Ok(ExitCode::from(if log.is_whole() { exit::HELD } else { exit::LEAKED }))
}

fn text(log: &AccessLog) -> String {
    let rows = if log.rows == 1 { "1 row".to_owned() } else { format!("{} rows", log.rows) };
    let mut text = match log.broken {
        None => format!("{rows}, each following the one before\n"),
        Some(id) => format!("{rows}, broken at row {id}: it, or the row before it, was changed\n"),
    };
    match log.holds_head {
        Some(true) => text += "the head that was given is in it: nothing was taken off the end\n",
        Some(false) => {
            text +=
                "the head that was given is not in it: rows were taken off the end or changed\n";
        }
        None => {}
    }
    if let Some(head) = &log.head {
        text += &format!("head {head}\n");
    }
    text
}
