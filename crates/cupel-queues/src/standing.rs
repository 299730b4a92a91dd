//! Whether an organization is suspended, kept where every process sees it: on the server.
//!
//! Temporal knows no organizations, but a task queue has a rate limit with a reason. Suspending sets
//! the limit of the organization's activity queue to zero, which stops it for every worker of every
//! process, and says so in the reason, which every process reads before it starts a run. (Limits on
//! workflow queues are refused by the server: "setting rate limit on workflow task queues is not
//! allowed", Temporal 1.32.0.)

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cupel_tenant::OrgId;
use temporal_client::Connection;
use temporal_client::tonic::Request;
use temporalio_common::protos::temporal::api::enums::v1::TaskQueueType;
use temporalio_common::protos::temporal::api::taskqueue::v1::{RateLimit, TaskQueue};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeTaskQueueRequest, UpdateTaskQueueConfigRequest,
    update_task_queue_config_request::RateLimitUpdate,
};
use tokio::sync::Mutex;

use crate::{Error, QueueName};

/// How this crate signs what it sets on a queue.
pub(crate) const SIGNATURE: &str = "cupel-queues";

/// For how long a process starts runs without asking the server again whether the organization is
/// suspended. A suspension made by another process takes effect within this time.
pub(crate) const FRESH: Duration = Duration::from_secs(1);

/// The standing of one organization.
#[derive(Debug)]
pub(crate) struct Standing {
    org: OrgId,
    namespace: Arc<str>,
    connection: Connection,
    seen: Mutex<Option<(Instant, bool)>>,
}

/// The rate limit of an organization's activity queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct QueueLimit {
    /// Activities per second, if limited by configuration of the server.
    pub(crate) rate: Option<f32>,
    /// Who set it.
    pub(crate) set_by: String,
    /// Why, in the words of who set it.
    pub(crate) reason: String,
}

impl QueueLimit {
    /// The suspension that the limit says, if it is one.
    pub(crate) fn suspension(&self) -> Option<Suspension> {
        self.reason.parse().ok()
    }
}

/// The reason of a limit that suspends, with the limit to return to.
///
/// Both halves must agree: a reason without a zero limit, or a zero limit for another reason, is no
/// suspension of ours but a queue edited by hand, which audit reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Suspension {
    pub(crate) before: Option<f32>,
}

const SUSPENDED: &str = "cupel: suspended; before: ";

impl fmt::Display for Suspension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.before {
            Some(rate) => write!(f, "{SUSPENDED}{rate} per second"),
            None => write!(f, "{SUSPENDED}unlimited"),
        }
    }
}

impl FromStr for Suspension {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix(SUSPENDED).ok_or(())? {
            "unlimited" => Ok(Self { before: None }),
            rate => {
                let rate = rate.strip_suffix(" per second").ok_or(())?;
                Ok(Self { before: Some(rate.parse().map_err(|_| ())?) })
            }
        }
    }
}

impl Standing {
    pub(crate) fn new(org: &OrgId, namespace: Arc<str>, connection: Connection) -> Self {
        Self { org: org.clone(), namespace, connection, seen: Mutex::new(None) }
    }

    /// Refuses a suspended organization. Asks the server at most once per [`FRESH`].
    pub(crate) async fn admit(&self) -> Result<(), Error> {
        let mut seen = self.seen.lock().await;
        let suspended = match *seen {
            Some((when, suspended)) if when.elapsed() < FRESH => suspended,
            _ => {
                let suspended = self.limit().await?.suspension().is_some();
                *seen = Some((Instant::now(), suspended));
                suspended
            }
        };
        if suspended { Err(Error::Suspended { org: self.org.clone() }) } else { Ok(()) }
    }

    /// Suspends the organization. Suspending it again changes nothing.
    pub(crate) async fn suspend(&self) -> Result<(), Error> {
        let mut seen = self.seen.lock().await;
        let limit = self.limit().await?;
        if limit.suspension().is_none() || limit.rate != Some(0.0) {
            let before = limit.suspension().map_or(limit.rate, |suspension| suspension.before);
            self.set(Some(0.0), &Suspension { before }.to_string()).await?;
        }
        *seen = Some((Instant::now(), true));
        Ok(())
    }

    /// Ends a suspension. An organization that is not suspended is left as it is.
    pub(crate) async fn resume(&self) -> Result<(), Error> {
        let mut seen = self.seen.lock().await;
        if let Some(suspension) = self.limit().await?.suspension() {
            self.set(suspension.before, "cupel: active").await?;
        }
        *seen = Some((Instant::now(), false));
        Ok(())
    }

    /// Limits the activity queue to `rate` per second, or takes off a limit of ours. Returns whether
    /// anything changed. Someone else's limit is left where none is wanted, for audit to report; a
    /// suspension stays, and returns to the new limit.
    pub(crate) async fn limit_to(&self, rate: Option<f64>) -> Result<bool, Error> {
        #[expect(clippy::cast_possible_truncation, reason = "the protocol's rates are f32")]
        let rate = rate.map(|rate| rate as f32);
        let limit = self.limit().await?;
        let (present, reason) = match limit.suspension() {
            Some(suspension) => (suspension.before, Suspension { before: rate }.to_string()),
            None if rate.is_none() && limit.set_by != SIGNATURE => return Ok(false),
            None => (limit.rate, "cupel: provisioned".to_owned()),
        };
        if present == rate {
            return Ok(false);
        }
        let kept = if limit.suspension().is_some() { Some(0.0) } else { rate };
        self.set(kept, &reason).await?;
        Ok(true)
    }

    /// Puts back a limit as it was read.
    pub(crate) async fn restore(&self, limit: &QueueLimit) -> Result<(), Error> {
        self.set(limit.rate, &limit.reason).await
    }

    /// Takes away what this crate set on the queue, for an organization that is erased.
    pub(crate) async fn forget(&self) -> Result<(), Error> {
        let mut seen = self.seen.lock().await;
        if self.limit().await? != QueueLimit::default() {
            self.set(None, "").await?;
        }
        *seen = None;
        Ok(())
    }

    /// Reads the limit from the server.
    pub(crate) async fn limit(&self) -> Result<QueueLimit, Error> {
        let request = DescribeTaskQueueRequest {
            namespace: self.namespace.to_string(),
            task_queue: Some(TaskQueue {
                name: QueueName::of(&self.org).to_string(),
                ..TaskQueue::default()
            }),
            task_queue_type: TaskQueueType::Activity.into(),
            report_config: true,
            ..DescribeTaskQueueRequest::default()
        };
        let mut service = self.connection.workflow_service();
        let answer = service.describe_task_queue(Request::new(request)).await?.into_inner();
        let Some(limit) = answer.config.and_then(|config| config.queue_rate_limit) else {
            return Ok(QueueLimit::default());
        };
        let metadata = limit.metadata.unwrap_or_default();
        Ok(QueueLimit {
            rate: limit.rate_limit.map(|limit| limit.requests_per_second),
            set_by: metadata.update_identity,
            reason: metadata.reason,
        })
    }

    async fn set(&self, rate: Option<f32>, reason: &str) -> Result<(), Error> {
        let request = UpdateTaskQueueConfigRequest {
            namespace: self.namespace.to_string(),
            identity: SIGNATURE.to_owned(),
            task_queue: QueueName::of(&self.org).to_string(),
            task_queue_type: TaskQueueType::Activity.into(),
            update_queue_rate_limit: Some(RateLimitUpdate {
                rate_limit: rate.map(|rate| RateLimit { requests_per_second: rate }),
                reason: reason.to_owned(),
            }),
            ..UpdateTaskQueueConfigRequest::default()
        };
        self.connection.workflow_service().update_task_queue_config(Request::new(request)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_says_what_to_return_to() {
        for before in [None, Some(12.5), Some(0.0)] {
            let suspension = Suspension { before };
            assert_eq!(suspension.to_string().parse(), Ok(suspension));
        }
        for other in ["", "maintenance", "cupel: active", "cupel: suspended; before: soon"] {
            assert_eq!(other.parse::<Suspension>(), Err(()), "parsing {other:?}");
        }
    }
}
