use std::process::ExitCode;

use cupel_isolation::{Config, OrgId, OrgSpec, Tier, report};
use serde_json::json;

use super::{Ended, connect, print};
use crate::args::Format;
use crate::exit;

pub(crate) async fn onboard(config: &Config, org: OrgId, tier: Tier, format: Format) -> Ended {
    let (isolation, progress) = connect(config).await?;
    let onboarded = isolation.onboard(OrgSpec::new(org, tier)).await?;
    drop(progress);
    print(format, || report::onboarded_text(&onboarded), || report::onboarded_json(&onboarded));
    Ok(ExitCode::from(exit::HELD))
}

pub(crate) async fn suspend(config: &Config, org: &OrgId, format: Format) -> Ended {
    let (isolation, progress) = connect(config).await?;
    isolation.suspend(org).await?;
    drop(progress);
    print(
        format,
        || format!("{org} is suspended: refused in every layer, nothing is lost\n"),
        || json!({ "org": org, "state": "suspended" }),
    );
    Ok(ExitCode::from(exit::HELD))
}

pub(crate) async fn resume(config: &Config, org: &OrgId, format: Format) -> Ended {
    let (isolation, progress) = connect(config).await?;
    isolation.resume(org).await?;
    drop(progress);
    print(format, || format!("{org} is active\n"), || json!({ "org": org, "state": "active" }));
    Ok(ExitCode::from(exit::HELD))
}

pub(crate) async fn offboard(config: &Config, org: &OrgId, yes: bool, format: Format) -> Ended {
    if !yes {
        return Err(format!(
            "offboarding erases {org} from every configured layer, for good: repeat with --yes to do it"
        )
        .into());
    }
    let (isolation, progress) = connect(config).await?;
    let certificate = isolation.offboard(org).await?;
    drop(progress);
    print(
        format,
        || report::certificate_text(&certificate),
        || report::certificate_json(&certificate),
    );
    Ok(ExitCode::from(exit::HELD))
}
