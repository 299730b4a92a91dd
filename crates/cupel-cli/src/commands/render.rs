use std::process::ExitCode;

use cupel_isolation::{Config, OrgId, OrgSpec, Tier, render};

use super::Ended;
use crate::exit;

pub(crate) fn run(config: &Config, org: Option<OrgId>, tier: Tier, guards: bool) -> Ended {
    let yaml = match org {
        Some(org) if !guards => render::org(config, &OrgSpec::new(org, tier))?,
        _ => render::guards(config)?,
    };
    anstream::print!("{yaml}");
    Ok(ExitCode::from(exit::HELD))
}
