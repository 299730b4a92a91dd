//! The work that an organization's worker does: one activity per run.

use std::time::Duration;

use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::{ActivityOptions, WorkflowContext, WorkflowResult};

/// What the activities of a pipeline are made of; here, nothing.
pub(crate) struct Steps;

#[activities]
impl Steps {
    /// Loads the rows of one table, and says how many.
    #[activity]
    pub(crate) async fn load(
        _context: ActivityContext,
        table: String,
    ) -> Result<u64, ActivityError> {
        Ok(table.len() as u64 * 100)
    }
}

/// One run of a pipeline.
#[workflow]
#[derive(Default)]
pub(crate) struct PipelineRun;

#[workflow_methods]
impl PipelineRun {
    /// Loads one table.
    #[run]
    pub(crate) async fn run(
        context: &mut WorkflowContext<Self>,
        table: String,
    ) -> WorkflowResult<u64> {
        let within = ActivityOptions::start_to_close_timeout(Duration::from_secs(10));
        Ok(context.execute_activity(Steps::load, table, within).await?)
    }
}
