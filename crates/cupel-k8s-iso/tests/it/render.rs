use cupel_k8s_iso::{Blueprint, EgressEndpoint, guards, render};
use cupel_tenant::{OrgSpec, Tier};

use crate::bed::{Outcomes, blueprint};

#[test]
fn a_namespace_and_what_lies_in_it() -> Outcomes {
    let acme = OrgSpec::new("acme-corp".parse()?, Tier::ENTERPRISE);
    let blueprint = blueprint().egress(EgressEndpoint::new("10.20.0.5/32", [5432, 6379])?);
    insta::assert_snapshot!(render(&acme, &blueprint)?.to_yaml());
    Ok(())
}

#[test]
fn the_guards() -> Outcomes {
    let blueprint = Blueprint::default().managers(["system:serviceaccount:cupel-system:cupel"]);
    insta::assert_snapshot!(guards(&blueprint)?.to_yaml());
    Ok(())
}
