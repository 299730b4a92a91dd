//! All layers, on real servers.

mod dependency_trees;
