use std::fmt;

use temporal_client::WorkflowExecutionStatus;
use temporalio_common::protos::temporal::api::enums::v1::WorkflowExecutionStatus as Wire;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunStatus {
    /// Ended on request, after its own clean-up.
    Cancelled,
    /// Ended with a result.
    Completed,
    /// Handed over to a new run under the same id.
    ContinuedAsNew,
    /// Ended with an error.
    Failed,
    /// Held by an operator.
    Paused,
    /// Not ended.
    Running,
    /// Ended from outside, at once.
    Terminated,
    /// Ended by its time limit.
    TimedOut,
    /// A status that this version does not know.
    Unknown,
}

impl RunStatus {
    const QUERYABLE: [Self; 8] = [
        Self::Cancelled,
        Self::Completed,
        Self::ContinuedAsNew,
        Self::Failed,
        Self::Paused,
        Self::Running,
        Self::Terminated,
        Self::TimedOut,
    ];

    /// Returns whether the run has not ended: it is running or paused.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Paused | Self::Running)
    }

    /// The value of `ExecutionStatus` in a list filter.
    pub(crate) fn as_query(self) -> &'static str {
        match self {
            Self::Cancelled => "Canceled",
            Self::Completed => "Completed",
            Self::ContinuedAsNew => "ContinuedAsNew",
            Self::Failed => "Failed",
            Self::Paused => "Paused",
            Self::Running => "Running",
            Self::Terminated => "Terminated",
            Self::TimedOut => "TimedOut",
            Self::Unknown => "Unspecified",
        }
    }

    pub(crate) fn from_query(text: &str) -> Option<Self> {
        Self::QUERYABLE.into_iter().find(|status| status.as_query() == text)
    }

    pub(crate) fn from_wire(status: i32) -> Self {
        Wire::try_from(status)
            .map_or(Self::Unknown, |status| WorkflowExecutionStatus::from(status).into())
    }
}

impl From<WorkflowExecutionStatus> for RunStatus {
    fn from(status: WorkflowExecutionStatus) -> Self {
        match status {
            WorkflowExecutionStatus::Canceled => Self::Cancelled,
            WorkflowExecutionStatus::Completed => Self::Completed,
            WorkflowExecutionStatus::ContinuedAsNew => Self::ContinuedAsNew,
            WorkflowExecutionStatus::Failed => Self::Failed,
            WorkflowExecutionStatus::Paused => Self::Paused,
            WorkflowExecutionStatus::Running => Self::Running,
            WorkflowExecutionStatus::Terminated => Self::Terminated,
            WorkflowExecutionStatus::TimedOut => Self::TimedOut,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cancelled => "cancelled",
            Self::Completed => "completed",
            Self::ContinuedAsNew => "continued as new",
            Self::Failed => "failed",
            Self::Paused => "paused",
            Self::Running => "running",
            Self::Terminated => "terminated",
            Self::TimedOut => "timed out",
            Self::Unknown => "unknown",
        })
    }
}
