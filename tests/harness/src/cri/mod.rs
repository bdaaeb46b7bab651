//! Pods as a kubelet makes them: over containerd's CRI, below a cgroup of the pod's, with either of the kubelet's cgroup drivers.

mod client;
mod container;
mod node;
mod pod;
mod pod_cgroup;

pub use client::Client;
pub use container::{Container, Executed};
pub use k8s_cri::v1;
pub use node::{Handler, Node};
pub use pod::Pod;
pub use pod_cgroup::{CgroupDriver, PodCgroup};
