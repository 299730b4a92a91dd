//! cupel-queues
