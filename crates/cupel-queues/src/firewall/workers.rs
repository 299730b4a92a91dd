//! What workers report of themselves. No I/O.

use temporalio_common::protos::temporal::api::worker::v1::WorkerHeartbeat;

use super::names::{Names, Verdict, verdict};
use super::versions::unversioned;

/// Lets reports through that are on the organization's queue, signed as one of its workers, and of no
/// deployment; each on a worker of the organization's own, whose key is put under its name.
pub(super) fn restrain(names: &Names, heartbeats: &mut [WorkerHeartbeat]) -> Verdict {
    heartbeats.iter_mut().try_for_each(|heartbeat| {
        names.queue_text(&heartbeat.task_queue)?;
        names.identity(&heartbeat.worker_identity)?;
        unversioned(heartbeat)?;
        // The server would keep what has no key in one place for all.
        verdict(!heartbeat.worker_instance_key.is_empty())?;
        names.bind(&mut heartbeat.worker_instance_key)?;
        match &mut heartbeat.host_info {
            Some(host) => names.bind(&mut host.worker_grouping_key),
            None => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use temporalio_common::protos::temporal::api::deployment::v1::WorkerDeploymentVersion;
    use temporalio_common::protos::temporal::api::worker::v1::WorkerHostInfo;

    use super::super::names::Foreign;
    use super::*;

    const KEY: &str = "0f3a0f3a-0f3a-4f3a-8f3a-0f3a0f3a0f3a";

    fn own() -> WorkerHeartbeat {
        WorkerHeartbeat {
            worker_instance_key: KEY.to_owned(),
            worker_identity: "acme/17".to_owned(),
            task_queue: "cupel-hosted-acme".to_owned(),
            host_info: Some(WorkerHostInfo {
                host_name: "node-1".to_owned(),
                worker_grouping_key: KEY.to_owned(),
                ..WorkerHostInfo::default()
            }),
            deployment_version: Some(WorkerDeploymentVersion {
                build_id: "1a2b3c".to_owned(),
                ..WorkerDeploymentVersion::default()
            }),
            ..WorkerHeartbeat::default()
        }
    }

    fn judged(heartbeats: &mut [WorkerHeartbeat]) -> Verdict {
        restrain(&Names::of(&"acme".parse().unwrap(), "default"), heartbeats)
    }

    #[test]
    fn a_report_is_on_a_worker_of_the_organization() {
        let mut heartbeats = [own(), WorkerHeartbeat { host_info: None, ..own() }];
        assert_eq!(judged(&mut heartbeats), Ok(()));
        for heartbeat in &heartbeats {
            assert_eq!(heartbeat.worker_instance_key, format!("acme/{KEY}"));
        }
        let host = heartbeats[0].host_info.clone().unwrap();
        assert_eq!(
            (host.host_name.as_str(), host.worker_grouping_key),
            ("node-1", format!("acme/{KEY}"))
        );
    }

    #[test]
    fn a_report_that_names_anything_foreign_is_refused() {
        let foreign: [fn(&mut WorkerHeartbeat); 8] = [
            |report| report.task_queue = "cupel-hosted-globex".to_owned(),
            |report| report.task_queue.clear(),
            |report| report.worker_identity = "globex/17".to_owned(),
            |report| report.worker_identity.clear(),
            |report| report.worker_instance_key = format!("globex/{KEY}"),
            |report| report.worker_instance_key.clear(),
            |report| {
                report.host_info = Some(WorkerHostInfo {
                    worker_grouping_key: format!("globex/{KEY}"),
                    ..WorkerHostInfo::default()
                });
            },
            |report| {
                report.deployment_version = Some(WorkerDeploymentVersion {
                    deployment_name: "globex".to_owned(),
                    ..WorkerDeploymentVersion::default()
                });
            },
        ];
        for (n, change) in foreign.into_iter().enumerate() {
            let mut heartbeats = [own(), own()];
            change(&mut heartbeats[1]);
            assert_eq!(judged(&mut heartbeats), Err(Foreign), "change {n}");
        }
    }
}
