//! Which search attributes an organization may set. No I/O.
//!
//! Names that begin with `Temporal`, and some older ones, are the server's own. It lets clients set
//! them all the same, and believes what they say (Temporal 1.32.0): a run with a
//! `TemporalNamespaceDivision` is missing from every list that does not ask for it, and so from those
//! by which runs are counted and erased; one with a `TemporalScheduledById` is listed as a schedule's.
//! The attributes that are columns of the list (`TaskQueue`, `WorkflowId`) no server lets a client set.

use temporalio_common::protos::VERSION_SEARCH_ATTR_KEY;
use temporalio_common::protos::temporal::api::common::v1::SearchAttributes;

use super::names::{Verdict, verdict};

/// How the names begin that the server keeps to itself.
const RESERVED: &str = "Temporal";

/// The names that it keeps to itself from before there was a common beginning.
const RESERVED_BEFORE: [&str; 4] =
    ["BatcherNamespace", "BatcherUser", "BinaryChecksums", "BuildIds"];

fn is_free(name: &str) -> bool {
    !name.starts_with(RESERVED) && !RESERVED_BEFORE.contains(&name)
}

fn names(attributes: &Option<SearchAttributes>) -> impl Iterator<Item = &String> {
    attributes.iter().flat_map(|attributes| attributes.indexed_fields.keys())
}

/// The attributes that a run is started with.
pub(super) fn at_start(attributes: &Option<SearchAttributes>) -> Verdict {
    verdict(names(attributes).all(|name| is_free(name)))
}

/// The attributes that a run's code sets. The SDK notes in one of Temporal's own which patches the
/// code has met.
pub(super) fn by_code(attributes: &Option<SearchAttributes>) -> Verdict {
    verdict(names(attributes).all(|name| is_free(name) || name == VERSION_SEARCH_ATTR_KEY))
}

/// Takes reserved attributes out of those that a run hands on to the run that continues it.
///
/// The SDK hands on what the run was started with. A run that the service started from a schedule is to
/// go on all the same, though not as the schedule's.
pub(super) fn keep_free(attributes: &mut Option<SearchAttributes>) {
    if let Some(attributes) = attributes {
        attributes.indexed_fields.retain(|name, _| is_free(name));
    }
}

#[cfg(test)]
mod tests {
    use temporalio_common::protos::temporal::api::common::v1::Payload;

    use super::super::names::Foreign;
    use super::*;

    const OWN: [&str; 4] = ["OrgId", "temporal", "MyTemporalThing", "BuildId"];
    const SERVERS: [&str; 8] = [
        "BatcherNamespace",
        "BatcherUser",
        "BinaryChecksums",
        "BuildIds",
        "TemporalKeyword01",
        "TemporalNamespaceDivision",
        "TemporalScheduledById",
        "TemporalWorkerDeploymentVersion",
    ];

    fn attributes(names: &[&str]) -> Option<SearchAttributes> {
        let fields = names.iter().map(|name| ((*name).to_owned(), Payload::default()));
        Some(SearchAttributes { indexed_fields: fields.collect() })
    }

    #[test]
    fn own_names_pass_and_the_servers_do_not() {
        for judge in [at_start, by_code] {
            assert_eq!(judge(&None), Ok(()));
            assert_eq!(judge(&attributes(&OWN)), Ok(()));
            for name in SERVERS {
                assert_eq!(judge(&attributes(&["OrgId", name])), Err(Foreign), "{name}");
            }
        }
    }

    #[test]
    fn only_code_notes_its_patches() {
        let patches = attributes(&["TemporalChangeVersion"]);
        assert_eq!(by_code(&patches), Ok(()));
        assert_eq!(at_start(&patches), Err(Foreign));
    }

    #[test]
    fn a_run_that_continues_hands_on_its_own() {
        let mut handed_on =
            attributes(&["OrgId", "TemporalScheduledById", "TemporalChangeVersion"]);
        keep_free(&mut handed_on);
        assert_eq!(handed_on, attributes(&["OrgId"]));
        keep_free(&mut None);
    }
}
