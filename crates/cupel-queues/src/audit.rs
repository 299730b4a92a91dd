use cupel_tenant::{Finding, LayerName, OrgId, Severity};
use temporalio_common::protos::temporal::api::enums::v1::TaskQueueType;

use crate::standing::{QueueLimit, SIGNATURE};
use crate::{Error, QueueName, TenantQueues, snapshot};

/// Looks for what is wrong with the queue of `org`.
pub(crate) async fn queue(queues: &TenantQueues, org: &OrgId) -> Result<Vec<Finding>, Error> {
    let queue = QueueName::of(org);
    let lane = queues.lane(org);
    let (workflows, activities, limit) = futures::try_join!(
        snapshot::describe(queues, &queue, TaskQueueType::Workflow),
        snapshot::describe(queues, &queue, TaskQueueType::Activity),
        lane.standing.limit(),
    )?;
    let identities =
        workflows.pollers.iter().chain(&activities.pollers).map(|poller| poller.identity.as_str());
    let mut findings: Vec<Finding> = limit_finding(&queue, &limit).into_iter().collect();
    findings.extend(poller_finding(org, &queue, identities));
    Ok(findings)
}

fn limit_finding(queue: &QueueName, limit: &QueueLimit) -> Option<Finding> {
    let reset = format!(
        "temporal task-queue config set --task-queue {queue} --task-queue-type activity \
         --queue-rps-limit default, then suspend or provision the organization again"
    );
    let finding = |rule, severity, problem: &str, allows: &str| {
        Finding::new(
            LayerName::Queues,
            rule,
            severity,
            queue.to_string(),
            problem,
            allows,
            reset.clone(),
        )
    };
    if limit.suspension().is_some() && limit.rate != Some(0.0) {
        Some(finding(
            "Q1",
            Severity::Critical,
            "the organization is suspended, and its activity queue is not paused",
            "workers of the organization go on working",
        ))
    } else if limit.rate.is_some() && limit.set_by != SIGNATURE {
        Some(finding(
            "Q2",
            Severity::Medium,
            "the rate limit of the activity queue was set by somebody else",
            "whoever may write to the namespace stops or floods the organization's work",
        ))
    } else {
        None
    }
}

fn poller_finding<'a>(
    org: &OrgId,
    queue: &QueueName,
    mut identities: impl Iterator<Item = &'a str>,
) -> Option<Finding> {
    let own =
        |identity: &str| identity.split_once('/').is_some_and(|(signed, _)| signed == org.as_str());
    identities.any(|identity| !own(identity)).then(|| {
        Finding::new(
            LayerName::Queues,
            "Q3",
            Severity::Critical,
            queue.to_string(),
            "a worker polled the queue that is not signed as the organization's",
            "that worker is handed the organization's tasks, with their payloads",
            "find it with `temporal task-queue describe`, stop it, and start workers through \
             `TenantQueues::worker`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standing::Suspension;

    fn rule(rate: Option<f32>, set_by: &str, reason: &str) -> Option<&'static str> {
        let queue = QueueName::of(&"acme".parse().unwrap());
        let limit = QueueLimit { rate, set_by: set_by.to_owned(), reason: reason.to_owned() };
        limit_finding(&queue, &limit).map(|finding| finding.rule)
    }

    #[test]
    fn a_limit_is_ours_or_a_finding() {
        let suspended = Suspension { before: None }.to_string();
        assert_eq!(rule(None, "", ""), None);
        assert_eq!(rule(Some(5.0), SIGNATURE, "cupel: provisioned"), None);
        assert_eq!(rule(Some(0.0), SIGNATURE, &suspended), None);
        assert_eq!(rule(Some(5.0), SIGNATURE, &suspended), Some("Q1"));
        assert_eq!(rule(None, SIGNATURE, &suspended), Some("Q1"));
        assert_eq!(rule(Some(0.0), "somebody", "maintenance"), Some("Q2"));
    }

    #[test]
    fn a_poller_signs_as_the_organization() {
        let org: OrgId = "acme".parse().unwrap();
        let queue = QueueName::of(&org);
        assert!(poller_finding(&org, &queue, ["acme/17"].into_iter()).is_none());
        for other in ["acme-b/17", "17@host", "acme", ""] {
            let finding = poller_finding(&org, &queue, ["acme/17", other].into_iter());
            assert_eq!(finding.map(|finding| finding.rule), Some("Q3"), "{other:?}");
        }
    }
}
