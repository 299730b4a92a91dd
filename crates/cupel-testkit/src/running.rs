use crate::Error;
use crate::container::Container;
use crate::supervisor::Supervised;

/// What has to be ended when a server is not needed any more.
#[derive(Debug)]
pub(crate) enum Running {
    /// A container.
    Container(Box<Container>),
    /// Somebody else's server: nothing.
    Elsewhere,
    /// Programs of this machine, in the order in which they were started.
    Local(Vec<Supervised>),
}

impl Running {
    /// Adds a program of this machine that needs those that run already.
    pub(crate) fn and(self, process: Supervised) -> Self {
        match self {
            Self::Local(mut processes) => {
                processes.push(process);
                Self::Local(processes)
            }
            Self::Container(_) | Self::Elsewhere => Self::Local(vec![process]),
        }
    }

    /// Returns the last words of what ended by itself.
    pub(crate) async fn ended(&self) -> Option<String> {
        match self {
            Self::Container(container) => {
                container.has_ended().await.then(|| container.last_words())
            }
            Self::Elsewhere => None,
            Self::Local(processes) => {
                processes.iter().find(|process| process.has_ended()).map(Supervised::last_words)
            }
        }
    }

    /// Returns the last lines of all logs.
    pub(crate) fn last_words(&self) -> String {
        match self {
            Self::Container(container) => container.last_words(),
            Self::Elsewhere => "(not ours)".to_owned(),
            Self::Local(processes) => {
                processes.iter().map(Supervised::last_words).collect::<Vec<_>>().join(" | ")
            }
        }
    }

    /// Ends everything and waits for it; a program before those that it needs.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        match self {
            Self::Container(container) => container.stop().await,
            Self::Elsewhere => Ok(()),
            Self::Local(processes) => {
                for process in processes.into_iter().rev() {
                    process.stop().await?;
                }
                Ok(())
            }
        }
    }
}
