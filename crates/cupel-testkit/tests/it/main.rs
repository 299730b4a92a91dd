//! Servers start, answer and are gone afterwards.

mod kms;
mod postgres;
mod redis;
mod temporal;
