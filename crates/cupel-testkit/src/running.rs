use crate::Error;
use crate::supervisor::Supervised;

/// What has to be ended when a server is not needed any more.
#[derive(Debug)]
pub(crate) enum Running {
    /// Somebody else's server: nothing.
    Elsewhere,
    /// Programs of this machine, in the order in which they end.
    Local(Vec<Supervised>),
}

impl Running {
    pub(crate) async fn stop(self) -> Result<(), Error> {
        match self {
            Self::Elsewhere => Ok(()),
            Self::Local(processes) => {
                for process in processes {
                    process.stop().await?;
                }
                Ok(())
            }
        }
    }
}
