//! Servers start, answer and are gone afterwards.

mod bed;
mod cluster;
mod kms;
mod postgres;
mod redis;
mod temporal;
