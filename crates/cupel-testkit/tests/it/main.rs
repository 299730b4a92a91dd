//! Servers start, answer and are gone afterwards.

mod postgres;
mod redis;
