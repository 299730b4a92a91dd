use std::io;

use crate::Service;

/// A cause that keeps its own type to itself.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a server is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The Docker engine answers, but the container could not be started, or not be asked.
    ///
    /// The cause is what the engine reported: most often an image that is neither here nor can
    /// be pulled.
    #[error(
        "{service} did not start from the container image {image}: pull or build the image, or name another in {variable}"
    )]
    Container {
        /// The server that was wanted.
        service: Service,
        /// The image that was tried.
        image: String,
        /// The variable that names another image.
        variable: &'static str,
        /// What the engine reported.
        #[source]
        source: BoxError,
    },

    /// The server ended while it started, or was not ready in time.
    ///
    /// A local server's last words are part of the message: its log is removed with its folder.
    #[error("{service} {what}; the end of its log: {log}")]
    Failed {
        /// The server that was wanted.
        service: Service,
        /// What was seen of it.
        what: &'static str,
        /// The last lines of its log.
        log: String,
    },

    /// A variable of the environment holds a value outside its rule.
    #[error("{variable} is not usable: {rule}")]
    InvalidSetting {
        /// The variable.
        variable: &'static str,
        /// What its value must be.
        rule: &'static str,
    },

    /// The machine refused something small: a folder, a file, a process.
    #[error("could not {action}")]
    Machine {
        /// What was tried.
        action: &'static str,
        /// What the operating system answered.
        #[source]
        source: io::Error,
    },

    /// `TESTBED_PROVIDER=container`, and no Docker engine answers.
    #[error("no Docker engine answers for {service}: start one, or leave TESTBED_PROVIDER unset")]
    NoEngine {
        /// The server that was wanted.
        service: Service,
    },

    /// Neither an endpoint, nor a container, nor a program on this machine.
    #[error("no {service} found: {remedy}")]
    NotFound {
        /// The server that was wanted.
        service: Service,
        /// What to install or to set.
        remedy: &'static str,
    },

    /// The server is there, but does not do what was asked of it.
    ///
    /// The cause is its client's own error.
    #[error("{service} answers, but could not {action}")]
    Refused {
        /// The server that was asked.
        service: Service,
        /// What was asked.
        action: &'static str,
        /// What its client reported.
        #[source]
        source: BoxError,
    },

    /// A name that is not a layer's.
    #[error("no such layer: the layers are database, cache, queues, cluster and keys")]
    UnknownLayer,

    /// The server named in the environment does not answer.
    #[error(
        "nothing answers for {service} at the place named in {variable}: start it, or unset the variable"
    )]
    Unreachable {
        /// The server that was wanted.
        service: Service,
        /// The variable that names it.
        variable: &'static str,
        /// What its client reported.
        #[source]
        source: BoxError,
    },
}

impl Error {
    /// For `map_err`: says what was tried on this machine.
    pub(crate) fn machine(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Machine { action, source }
    }
}
