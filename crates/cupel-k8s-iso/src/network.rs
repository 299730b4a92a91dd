use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use crate::InvalidBlueprint;
use crate::names::NAME_LABEL;

/// Where DNS answers inside the cluster.
///
/// The default is what kubeadm, k3s, EKS, GKE and AKS install: pods labelled `k8s-app=kube-dns` in
/// `kube-system`, port 53 over UDP and TCP. A policy without this rule leaves pods without names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Dns {
    namespace: String,
    labels: BTreeMap<String, String>,
    port: u16,
}

impl Default for Dns {
    fn default() -> Self {
        Self::in_namespace("kube-system").pods("k8s-app", "kube-dns")
    }
}

impl Dns {
    /// Every pod of one namespace, until [`pods`](Self::pods) says which.
    pub fn in_namespace(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), labels: BTreeMap::new(), port: 53 }
    }

    /// Only pods that carry this label; several must all be carried.
    pub fn pods(mut self, label: &str, value: &str) -> Self {
        self.labels.insert(label.to_owned(), value.to_owned());
        self
    }

    /// The port that the pods listen on, where a service maps another (OpenShift: 5353).
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    pub(crate) fn check(&self) -> Result<(), InvalidBlueprint> {
        if self.port == 0 {
            return Err(InvalidBlueprint::Ports);
        }
        let labels = self.labels.iter().all(|(key, value)| is_label(key) && is_label(value));
        if !labels || !is_namespace(&self.namespace) {
            return Err(InvalidBlueprint::Name);
        }
        Ok(())
    }

    pub(crate) fn rule(&self) -> Value {
        let mut peer = namespace_peer(&self.namespace);
        if let (Some(peer), false) = (peer.as_object_mut(), self.labels.is_empty()) {
            peer.insert("podSelector".to_owned(), json!({ "matchLabels": self.labels }));
        }
        let ports =
            ["UDP", "TCP"].map(|protocol| json!({ "protocol": protocol, "port": self.port }));
        json!({ "to": [peer], "ports": ports })
    }
}

/// A namespace of the control plane that organizations' pods may call.
///
/// It is matched by its name, in the label that the API server sets itself; a label that somebody
/// else can put on a namespace would let them pose as the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ControlPlane {
    namespace: String,
    ports: Vec<u16>,
}

impl ControlPlane {
    /// A namespace, on port 443 over TCP until [`ports`](Self::ports) says otherwise.
    pub fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ports: vec![443] }
    }

    /// The ports that may be reached, over TCP.
    pub fn ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.ports = ports.into_iter().collect();
        self
    }

    pub(crate) fn check(&self) -> Result<(), InvalidBlueprint> {
        check_ports(&self.ports)?;
        if is_namespace(&self.namespace) { Ok(()) } else { Err(InvalidBlueprint::Name) }
    }

    pub(crate) fn rule(&self) -> Value {
        json!({ "to": [namespace_peer(&self.namespace)], "ports": tcp(&self.ports) })
    }
}

/// An endpoint outside the cluster that organizations' pods may call: a database, a queue.
///
/// NetworkPolicy knows addresses and no names. A block that contains a link-local range is rendered
/// without it, because the cloud's metadata service answers there with the node's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressEndpoint {
    cidr: String,
    except: Vec<&'static str>,
    ports: Vec<u16>,
}

impl EgressEndpoint {
    /// A block of addresses, as `10.20.0.5/32`, and ports over TCP.
    ///
    /// # Errors
    ///
    /// [`InvalidBlueprint`] if the block is not one or is link-local, or there is no port.
    pub fn new(cidr: &str, ports: impl IntoIterator<Item = u16>) -> Result<Self, InvalidBlueprint> {
        let ports: Vec<u16> = ports.into_iter().collect();
        check_ports(&ports)?;
        let (address, prefix) = cidr.split_once('/').ok_or(InvalidBlueprint::Cidr)?;
        let address: IpAddr = address.parse().map_err(|_| InvalidBlueprint::Cidr)?;
        let prefix: u32 = prefix.parse().map_err(|_| InvalidBlueprint::Cidr)?;
        let (bits, width) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        if prefix > width || bits.checked_shl(prefix).unwrap_or(0) != 0 {
            return Err(InvalidBlueprint::Cidr);
        }
        let mut except = Vec::new();
        for (block, start, length) in link_local(address) {
            let common = length.min(prefix);
            if common == 0 || (bits ^ start) >> (128 - common) == 0 {
                if prefix >= length {
                    return Err(InvalidBlueprint::LinkLocal);
                }
                except.push(block);
            }
        }
        Ok(Self { cidr: format!("{address}/{prefix}"), except, ports })
    }

    pub(crate) fn rule(&self) -> Value {
        let mut block = json!({ "cidr": self.cidr });
        if let (Some(block), false) = (block.as_object_mut(), self.except.is_empty()) {
            block.insert("except".to_owned(), json!(self.except));
        }
        json!({ "to": [{ "ipBlock": block }], "ports": tcp(&self.ports) })
    }
}

/// Where clouds serve the node's credentials, in the family of `address`: the block, its first bits,
/// and how many of them count. RFC 3927 and RFC 4291; `fd00:ec2::254` is the metadata address of AWS.
fn link_local(address: IpAddr) -> Vec<(&'static str, u128, u32)> {
    let v4 = |address: Ipv4Addr| u128::from(address.to_bits()) << 96;
    match address {
        IpAddr::V4(_) => vec![("169.254.0.0/16", v4(Ipv4Addr::new(169, 254, 0, 0)), 16)],
        IpAddr::V6(_) => {
            let aws = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            let local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
            vec![("fd00:ec2::254/128", aws.to_bits(), 128), ("fe80::/10", local.to_bits(), 10)]
        }
    }
}

fn check_ports(ports: &[u16]) -> Result<(), InvalidBlueprint> {
    if ports.is_empty() || ports.contains(&0) { Err(InvalidBlueprint::Ports) } else { Ok(()) }
}

fn tcp(ports: &[u16]) -> Vec<Value> {
    ports.iter().map(|port| json!({ "protocol": "TCP", "port": port })).collect()
}

fn namespace_peer(name: &str) -> Value {
    json!({ "namespaceSelector": { "matchLabels": { NAME_LABEL: name } } })
}

/// Returns whether `name` is a label of RFC 1123, which a namespace is named by.
fn is_namespace(name: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(|byte| alphanumeric(Some(byte)) || *byte == b'-')
}

fn is_label(text: &str) -> bool {
    (1..=317).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(cidr: &str, rule: InvalidBlueprint) {
        assert_eq!(EgressEndpoint::new(cidr, [443]).err(), Some(rule), "block {cidr:?}");
    }

    #[test]
    fn a_block_is_an_address_without_host_bits() {
        for cidr in ["10.0.0.1", "10.0.0.1/33", "10.0.0.1/24", "x/8", "10.0.0.0/-1", "::1/129"] {
            refuses(cidr, InvalidBlueprint::Cidr);
        }
        for cidr in ["10.0.0.1/32", "10.0.0.0/8", "2001:db8::1/128", "2001:db8::/32"] {
            assert_eq!(EgressEndpoint::new(cidr, [443]).unwrap().except, Vec::<&str>::new());
        }
    }

    #[test]
    fn the_metadata_service_is_never_reachable() {
        for cidr in ["169.254.169.254/32", "169.254.0.0/16", "fe80::/64", "fd00:ec2::254/128"] {
            refuses(cidr, InvalidBlueprint::LinkLocal);
        }
        let everything = EgressEndpoint::new("0.0.0.0/0", [443]).unwrap();
        assert_eq!(everything.except, ["169.254.0.0/16"]);
        let everything = EgressEndpoint::new("::/0", [443]).unwrap();
        assert_eq!(everything.except, ["fd00:ec2::254/128", "fe80::/10"]);
    }

    #[test]
    fn a_rule_names_its_ports() {
        for ports in [vec![], vec![0], vec![443, 0]] {
            assert_eq!(
                EgressEndpoint::new("10.0.0.1/32", ports.clone()),
                Err(InvalidBlueprint::Ports)
            );
            let plane = ControlPlane::new("cupel-system").ports(ports);
            assert_eq!(plane.check(), Err(InvalidBlueprint::Ports));
        }
    }

    #[test]
    fn a_namespace_is_a_label_of_rfc_1123() {
        for name in ["", "-a", "a-", "A", "a.b", "a b", &"a".repeat(64)] {
            assert_eq!(ControlPlane::new(name).check(), Err(InvalidBlueprint::Name), "{name:?}");
        }
    }
}
