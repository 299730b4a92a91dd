//! Servers start, answer and are gone afterwards, however the process ends that holds them.

mod bed;
mod cluster;
mod killed;
mod kms;
mod postgres;
mod redis;
mod settings;
mod temporal;
