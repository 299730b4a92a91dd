use std::collections::BTreeMap;

use cupel_tenant::Tier;

use crate::{ControlPlane, Dns, EgressEndpoint, Error, InvalidQuantity, Quantity};

/// What every organization's namespace is rendered from.
///
/// The default has the tiers `standard` and `enterprise`, DNS as most clusters have it, no control
/// plane and nothing outside the cluster: pods of one organization reach each other and DNS.
///
/// # Examples
///
/// ```
/// use cupel_k8s_iso::{Blueprint, ControlPlane, EgressEndpoint};
///
/// let blueprint = Blueprint::default()
///     .control_plane(ControlPlane::new("cupel-system").ports([7233]))
///     .egress(EgressEndpoint::new("10.20.0.5/32", [5432])?);
/// # Ok::<(), cupel_k8s_iso::InvalidBlueprint>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Blueprint {
    tiers: BTreeMap<String, TierLimits>,
    dns: Dns,
    control_plane: Vec<ControlPlane>,
    egress: Vec<EgressEndpoint>,
    pod_security: PodSecurity,
    managers: Vec<String>,
}

impl Default for Blueprint {
    fn default() -> Self {
        Self {
            tiers: BTreeMap::new(),
            dns: Dns::default(),
            control_plane: Vec::new(),
            egress: Vec::new(),
            pod_security: PodSecurity::Restricted,
            managers: Vec::new(),
        }
        .tier(Tier::STANDARD, TierLimits::standard())
        .tier(Tier::ENTERPRISE, TierLimits::enterprise())
    }
}

impl Blueprint {
    /// Says what a tier allows, in place of what was said before.
    pub fn tier(mut self, tier: Tier, limits: TierLimits) -> Self {
        self.tiers.insert(tier.into(), limits);
        self
    }

    /// Lets organizations reach one more namespace of the control plane.
    pub fn control_plane(mut self, control_plane: ControlPlane) -> Self {
        self.control_plane.push(control_plane);
        self
    }

    /// Says where DNS answers.
    pub fn dns(mut self, dns: Dns) -> Self {
        self.dns = dns;
        self
    }

    /// Lets organizations reach one more endpoint outside the cluster.
    pub fn egress(mut self, endpoint: EgressEndpoint) -> Self {
        self.egress.push(endpoint);
        self
    }

    /// Says how far pods are trusted.
    pub fn pod_security(mut self, level: PodSecurity) -> Self {
        self.pod_security = level;
        self
    }

    /// Names the accounts that manage organizations, as the API server knows them:
    /// `system:serviceaccount:cupel-system:cupel`. The guards refuse everybody else what is ours.
    ///
    /// Left out, the account that connects is the only manager. Name them where there are several:
    /// guards are installed for the whole cluster.
    pub fn managers<S: Into<String>>(mut self, usernames: impl IntoIterator<Item = S>) -> Self {
        self.managers = usernames.into_iter().map(Into::into).collect();
        self
    }

    pub(crate) fn limits_of(&self, tier: &Tier) -> Result<&TierLimits, Error> {
        self.tiers.get(tier.as_str()).ok_or_else(|| Error::UnknownTier { tier: tier.clone() })
    }

    pub(crate) fn check(&self) -> Result<(), InvalidBlueprint> {
        for limits in self.tiers.values() {
            limits.check()?;
        }
        self.dns.check()?;
        for control_plane in &self.control_plane {
            control_plane.check()?;
        }
        let printable = |name: &String| {
            !name.is_empty() && name.len() <= 253 && name.bytes().all(|b| b.is_ascii_graphic())
        };
        if !self.managers.iter().all(printable) {
            return Err(InvalidBlueprint::Manager);
        }
        Ok(())
    }

    pub(crate) fn dns_rule(&self) -> &Dns {
        &self.dns
    }

    pub(crate) fn control_planes(&self) -> &[ControlPlane] {
        &self.control_plane
    }

    pub(crate) fn endpoints(&self) -> &[EgressEndpoint] {
        &self.egress
    }

    pub(crate) fn pod_security_level(&self) -> PodSecurity {
        self.pod_security
    }

    pub(crate) fn manager_names(&self) -> &[String] {
        &self.managers
    }
}

/// What the pods of one organization may take, summed over its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "options; made from `TierLimits::standard()`")]
pub struct TierLimits {
    /// What pods may request.
    pub requests: Resources,
    /// What pods may be limited to. At least what they may request.
    pub limits: Resources,
    /// The most pods at a time. At least one.
    pub pods: u32,
    /// The most storage that volumes may claim, in bytes.
    pub storage: Quantity,
    /// The most objects of each kind that is counted: services, config maps, secrets, jobs and
    /// claims of volumes.
    pub objects: u32,
}

impl TierLimits {
    /// 4 cores and 8 GiB requested, twice that as limit, 20 pods, 100 GiB of storage: what a node of
    /// modest size carries beside others. A choice, not a standard.
    pub fn standard() -> Self {
        Self {
            requests: Resources::of((4, 8)),
            limits: Resources::of((8, 16)),
            pods: 20,
            storage: Quantity::memory(100 * GIB_MILLIS),
            objects: 100,
        }
    }

    /// 32 cores and 128 GiB requested, twice that as limit, 100 pods, 1 TiB of storage. A choice,
    /// not a standard.
    pub fn enterprise() -> Self {
        Self {
            requests: Resources::of((32, 128)),
            limits: Resources::of((64, 256)),
            pods: 100,
            storage: Quantity::memory(1024 * GIB_MILLIS),
            objects: 500,
        }
    }

    /// What a container gets that asks for nothing: its share if every pod has one container, so
    /// that as many pods as the quota allows fit the quota.
    pub(crate) fn share(&self, total: &Resources) -> Resources {
        let pods = i128::from(self.pods.max(1));
        Resources {
            cpu: Quantity::cpu(total.cpu.millis() / pods),
            memory: Quantity::memory(total.memory.millis() / pods),
        }
    }

    fn check(&self) -> Result<(), InvalidBlueprint> {
        if self.pods == 0 {
            return Err(InvalidBlueprint::NoPods);
        }
        let exceeds = |request: &Quantity, limit: &Quantity| request.millis() > limit.millis();
        if exceeds(&self.requests.cpu, &self.limits.cpu)
            || exceeds(&self.requests.memory, &self.limits.memory)
        {
            return Err(InvalidBlueprint::RequestsAboveLimits);
        }
        let pods = i128::from(self.pods);
        if self.requests.cpu.millis() < pods || self.requests.memory.millis() < pods * (1000 << 20)
        {
            return Err(InvalidBlueprint::TooManyPods);
        }
        Ok(())
    }
}

const GIB_MILLIS: i128 = 1000 << 30;

/// An amount of CPU and of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the two resources that every pod has")]
pub struct Resources {
    /// Cores.
    pub cpu: Quantity,
    /// Bytes.
    pub memory: Quantity,
}

impl Resources {
    /// Reads both from text, as `("32", "128Gi")`.
    ///
    /// # Errors
    ///
    /// [`InvalidQuantity`] names the rule that one of them breaks.
    pub fn parse(cpu: &str, memory: &str) -> Result<Self, InvalidQuantity> {
        Ok(Self { cpu: cpu.parse()?, memory: memory.parse()? })
    }

    fn of((cores, gib): (i128, i128)) -> Self {
        Self { cpu: Quantity::cpu(cores * 1000), memory: Quantity::memory(gib * GIB_MILLIS) }
    }
}

/// How far pods are trusted: a level of the Pod Security Standards, enforced by the API server
/// (kubernetes.io/docs/concepts/security/pod-security-standards).
///
/// The level `privileged` is not offered: it lets a pod onto the node's network, past every network
/// policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PodSecurity {
    /// No known privilege escalation: no host network, host paths or privileged containers.
    Baseline,
    /// Baseline, and no root user, no added capabilities, the default seccomp profile.
    #[default]
    Restricted,
}

impl PodSecurity {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// The rule that a [`Blueprint`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBlueprint {
    /// An address block is not one.
    #[error("invalid blueprint: an egress block is not ADDRESS/PREFIX, as 10.20.0.5/32")]
    Cidr,

    /// An address block is the link-local one, where clouds serve credentials to the node.
    #[error(
        "invalid blueprint: an egress block lies in a link-local range, where the cloud's \
         metadata service answers; name the endpoint's own address"
    )]
    LinkLocal,

    /// A manager's name is not one.
    #[error("invalid blueprint: a manager is 1 to 253 printable ASCII bytes without spaces")]
    Manager,

    /// A name of a namespace or a label is not one.
    #[error("invalid blueprint: a namespace or label is not written as Kubernetes writes it")]
    Name,

    /// A tier allows no pods.
    #[error("invalid blueprint: a tier allows no pods; allow one at least")]
    NoPods,

    /// A rule names no port, or port 0.
    #[error("invalid blueprint: a rule of the network names no port from 1 to 65535")]
    Ports,

    /// A quantity is not one.
    #[error("invalid blueprint: a quantity is not valid")]
    Quantity(#[from] InvalidQuantity),

    /// A tier's pods may request more than they may be limited to.
    #[error("invalid blueprint: a tier's requests exceed its limits; raise the limits")]
    RequestsAboveLimits,

    /// A tier's quota, divided by its pods, leaves a pod less than 1m of CPU or 1 MiB of memory.
    #[error("invalid blueprint: a tier's requests are too small for its number of pods")]
    TooManyPods,
}
