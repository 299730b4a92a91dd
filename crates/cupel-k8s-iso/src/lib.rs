//! Kubernetes namespaces that belong to one organization, and the guards around them.
//!
//! Every organization gets a namespace with quotas, defaults and network policies that deny
//! everything but its own pods, DNS and what the platform offers. Rights inside a namespace do not
//! keep it apart: whoever may relabel it, or add a network policy, opens it. So the API server is
//! given admission guards that refuse exactly that, to everybody but the platform's own accounts.
//!
//! ```
//! use cupel_k8s_iso::{Blueprint, ControlPlane, render};
//! use cupel_tenant::{OrgSpec, Tier};
//!
//! let blueprint = Blueprint::default().control_plane(ControlPlane::new("cupel-system"));
//! let acme = OrgSpec::new("acme-corp".parse()?, Tier::STANDARD);
//!
//! // Rendering needs no cluster: this goes to a file, or to `kubectl apply -f -`.
//! let objects = render(&acme, &blueprint)?;
//! assert!(objects.to_yaml().contains("cupel-00-default-deny"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! On a live cluster, a namespace is made once, kept as it should be, attacked and erased:
//!
//! ```no_run
//! use cupel_k8s_iso::{Blueprint, ClusterConfig, TenantCluster};
//! use cupel_tenant::{IsolationLayer, OrgPair, OrgSpec, Tier};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = TenantCluster::connect(ClusterConfig::inferred(), Blueprint::default()).await?;
//! let pair = OrgPair::new("acme-corp".parse()?, "globex".parse()?)?;
//! for org in [pair.first(), pair.second()] {
//!     cluster.provision(&OrgSpec::new(org.clone(), Tier::STANDARD)).await?;
//! }
//! for attempt in cluster.prove(&pair).await? {
//!     assert!(attempt.is_blocked(), "{}: {}", attempt.attack, attempt.evidence);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What this crate does not do
//!
//! Its attacks go to the API server. Whether the network acts by the policies that it stores depends
//! on the cluster's network plug-in, and is not probed: no packet is sent. It renders
//! `NetworkPolicy` v1 only, and does not know the policies of particular plug-ins. Admission guards
//! cannot guard themselves: who may write ValidatingAdmissionPolicies can take them out, and
//! [`audit`](cupel_tenant::IsolationLayer::audit) says when somebody did.
//!
//! # Kubernetes versions
//!
//! Kubernetes 1.30 or later. `k8s-openapi` is built for one version, which the final program chooses
//! by a feature of that crate, as `v1_35`.

mod apply;
mod attacks;
mod audit;
mod blueprint;
mod cluster;
mod error;
mod guards;
mod install;
mod lifecycle;
mod manifest;
mod names;
mod network;
mod objects;
mod quantity;
mod wait;

pub use blueprint::{Blueprint, InvalidBlueprint, PodSecurity, Resources, TierLimits};
pub use cluster::{ClusterConfig, ScopedCluster, TenantCluster};
pub use error::Error;
pub use guards::{Guards, guards};
pub use manifest::Manifest;
pub use names::{InvalidNamespaceName, NamespaceName};
pub use network::{ControlPlane, Dns, EgressEndpoint};
pub use objects::{Objects, render};
pub use quantity::{InvalidQuantity, Quantity};
