use std::sync::Arc;

use cupel_tenant::{LayerName, OrgId};

/// One step of a long piece of work, told as it begins.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Step<'a> {
    /// The layer at work.
    pub layer: LayerName,
    /// The organization worked on.
    pub org: &'a OrgId,
    /// What is being done, as "provisioning".
    pub action: &'static str,
}

/// Is told each [`Step`] as it begins: for a progress bar, or a line on the terminal.
pub type Observer = Arc<dyn Fn(Step<'_>) + Send + Sync>;
