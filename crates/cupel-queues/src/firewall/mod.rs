//! The gRPC firewall under every client and worker of an organization.
//!
//! Temporal authorizes per namespace, and all organizations share one. So no tenant code ever holds a
//! connection to the server: what it holds ends here, in a callback that reads each request before it
//! is sent. The interceptors of a Temporal client do not see raw calls; this does, those made through
//! a worker's own client included.
//!
//! The rule is an allow-list. A call that is not on it is refused, and so is a call that names anything
//! that is not the organization's: a queue, a run, a task, a page of results, a namespace, a worker.
//! What organizations have no share in is closed: worker deployments, and the search attributes that
//! are Temporal's own.

mod attributes;
mod call;
mod commands;
mod gate;
mod issued;
mod names;
mod table;
mod versions;
mod workers;

use std::sync::Arc;

use temporal_client::callback_based::CallbackBasedGrpcService;
use temporal_client::{Connection, ConnectionOptions, GrpcCompression};
use url::Url;

pub(crate) use gate::Gate;

use crate::Error;

/// Opens the connection of one organization: everything sent on it passes `gate`.
pub(crate) async fn connection(gate: Arc<Gate>, identity: String) -> Result<Connection, Error> {
    let service = CallbackBasedGrpcService {
        callback: Arc::new(move |call| {
            let gate = Arc::clone(&gate);
            Box::pin(async move { table::pass(&gate, call).await })
        }),
    };
    // Nothing is dialled: the address is only what the client writes into its requests.
    let nowhere = Url::parse("http://firewall.invalid")
        .map_err(|source| Error::Address { source: Some(source.into()) })?;
    let options = ConnectionOptions::new(nowhere)
        .identity(identity)
        .service_override(service)
        .dns_load_balancing(None)
        .grpc_compression(GrpcCompression::None)
        .build();
    Connection::connect(options).await.map_err(Error::unreachable)
}
