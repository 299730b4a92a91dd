//! cupel-k8s-iso
