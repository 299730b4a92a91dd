//! What a tenant may ask of the list of runs. No I/O.

use std::fmt;

use cupel_tenant::OrgId;

use crate::names::is_plain;
use crate::{InvalidRunName, QueueName, RunName, RunStatus};

/// Which of an organization's runs to list or count. Every condition set must hold.
///
/// Temporal's visibility query is a text in which one quote too many reaches every organization of
/// the namespace. So there is no text here: conditions are typed, their values hold no quote, and the
/// query always starts with the organization's queue.
///
/// # Examples
///
/// ```
/// use cupel_queues::{RunFilter, RunStatus};
///
/// let failed_last_night = RunFilter::all().status(RunStatus::Failed).named_under("nightly")?;
/// # Ok::<(), cupel_queues::InvalidRunName>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    status: Option<RunStatus>,
    workflow: Option<String>,
    under: Option<RunName>,
}

impl RunFilter {
    /// Every run of the organization.
    pub fn all() -> Self {
        Self::default()
    }

    /// Runs in this status only.
    #[must_use]
    pub fn status(self, status: RunStatus) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Runs of this workflow type only.
    ///
    /// # Errors
    ///
    /// [`InvalidRunName`] if the text could not be the name of a run either: types are held to the
    /// same alphabet here.
    pub fn workflow(self, workflow: &str) -> Result<Self, InvalidRunName> {
        let workflow: RunName = workflow.parse()?;
        Ok(Self { workflow: Some(workflow.as_str().to_owned()), ..self })
    }

    /// Runs whose name starts with `folder` and a slash only.
    ///
    /// # Errors
    ///
    /// [`InvalidRunName`] if `folder` is not a run name.
    pub fn named_under(self, folder: &str) -> Result<Self, InvalidRunName> {
        Ok(Self { under: Some(folder.parse()?), ..self })
    }

    /// The query for `org`, as Temporal's list filter writes it.
    pub(crate) fn query<'a>(&'a self, org: &'a OrgId) -> Query<'a> {
        Query { filter: self, org }
    }

    /// The filter whose query for `org` is exactly `text`.
    ///
    /// Reading is lenient and then checked by writing again, so that what the firewall lets through is
    /// what this crate would have sent, byte for byte.
    pub(crate) fn parse(org: &OrgId, text: &str) -> Option<Self> {
        let mut filter = Self::all();
        for clause in text.split(" AND ").skip(1) {
            let (field, value) = clause.split_once('\'')?;
            let value = value.strip_suffix('\'')?;
            match field {
                STATUS => filter.status = Some(RunStatus::from_query(value)?),
                TYPE if value.bytes().all(is_plain) => filter.workflow = Some(value.to_owned()),
                UNDER => {
                    let name = value.strip_prefix(org.as_str())?.strip_prefix('/')?;
                    filter.under = Some(name.strip_suffix('/')?.parse().ok()?);
                }
                _ => return None,
            }
        }
        (filter.query(org).to_string() == text).then_some(filter)
    }
}

const STATUS: &str = "ExecutionStatus = ";
const TYPE: &str = "WorkflowType = ";
const UNDER: &str = "WorkflowId STARTS_WITH ";

/// A [`RunFilter`] of one organization, written as Temporal reads it.
pub(crate) struct Query<'a> {
    filter: &'a RunFilter,
    org: &'a OrgId,
}

impl fmt::Display for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunFilter { status, workflow, under } = self.filter;
        write!(f, "TaskQueue = '{}'", QueueName::of(self.org))?;
        if let Some(status) = status {
            write!(f, " AND {STATUS}'{}'", status.as_query())?;
        }
        if let Some(workflow) = workflow {
            write!(f, " AND {TYPE}'{workflow}'")?;
        }
        if let Some(under) = under {
            write!(f, " AND {UNDER}'{}/{under}/'", self.org)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> OrgId {
        "acme".parse().unwrap()
    }

    #[test]
    fn a_query_starts_with_the_queue_and_reads_back() {
        let filter = RunFilter::all()
            .status(RunStatus::Running)
            .workflow("Nightly")
            .and_then(|filter| filter.named_under("nightly/2026"))
            .unwrap();
        let text = filter.query(&acme()).to_string();
        assert_eq!(
            text,
            "TaskQueue = 'cupel-hosted-acme' AND ExecutionStatus = 'Running' \
             AND WorkflowType = 'Nightly' AND WorkflowId STARTS_WITH 'acme/nightly/2026/'"
        );
        assert_eq!(RunFilter::parse(&acme(), &text), Some(filter));
    }

    #[test]
    fn a_query_of_any_other_shape_is_refused() {
        for text in [
            "",
            "TaskQueue = 'cupel-hosted-acme-b'",
            "TaskQueue = 'cupel-hosted-globex'",
            "TaskQueue = 'cupel-hosted-acme' OR TaskQueue != 'cupel-hosted-acme'",
            "TaskQueue = 'cupel-hosted-acme' AND ExecutionStatus = 'Running' OR WorkflowId != ''",
            "TaskQueue = 'cupel-hosted-acme' AND WorkflowType = 'x' OR WorkflowId != 'x'",
            "TaskQueue = 'cupel-hosted-acme' AND WorkflowId STARTS_WITH 'globex/x/'",
            "TaskQueue = 'cupel-hosted-acme' ORDER BY StartTime",
            "ExecutionStatus = 'Running' AND TaskQueue = 'cupel-hosted-acme'",
        ] {
            assert_eq!(RunFilter::parse(&acme(), text), None, "parsing {text:?}");
        }
    }

    #[test]
    fn a_value_cannot_leave_its_quotes() {
        assert!(RunFilter::all().workflow("x' OR WorkflowId != '").is_err());
        assert!(RunFilter::all().named_under("x' OR WorkflowId != '").is_err());
    }
}
