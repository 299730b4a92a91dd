//! Attacks on the bytes of a sealed value.

use cupel_tenant::Attempt;

use super::tally::Tally;
use super::{Stage, record};
use crate::envelope::{Header, TAG_LEN};
use crate::{Error, ScopedKeys, Sealed};

/// Secrets put together from both organizations' parts, opened by the attacker, who holds a data key.
pub(super) async fn splice_headers(stage: &Stage<'_>) -> Result<Attempt, Error> {
    let (own, own_body) = stage.own_header()?;
    let (foreign, foreign_body) = stage.foreign_header()?;
    let own_key =
        Header { data_key: own.data_key, wrapped: own.wrapped.clone(), ..foreign.clone() };
    let own_key_and_commitment = Header { commitment: own.commitment, ..own_key.clone() };
    let mut tally = Tally::default();
    for (name, header, body) in [
        ("own header", &own, &foreign_body),
        ("own data key", &own_key, &foreign_body),
        ("own data key and commitment", &own_key_and_commitment, &foreign_body),
        ("foreign header", &foreign, &own_body),
    ] {
        let spliced = Sealed::join(header.write()?, body);
        tally.note(name, stage.attacker.open(record(), &spliced).await);
    }
    let control = stage.owner_opens_it().await;
    let attack = stage.attack("put an own data key into the header of a foreign secret");
    Ok(attack.conclude(tally.observed(), control))
}

/// One bit of each part, opened by the victim, who would take a changed secret for its own.
pub(super) async fn flip_bits(stage: &Stage<'_>) -> Attempt {
    let len = stage.foreign.as_bytes().len();
    let wrapped_len = len.saturating_sub(90 + stage.secret.len() + TAG_LEN);
    let parts = [
        ("magic", 0),
        ("version", 4),
        ("suite", 5),
        ("flags", 6),
        ("class", 7),
        ("data key id", 8),
        ("salt", 24),
        ("commitment", 56),
        ("length", 89),
        ("wrapped key", 90),
        ("wrapped key's end", 90 + wrapped_len.saturating_sub(1)),
        ("ciphertext", 90 + wrapped_len),
        ("tag", len.saturating_sub(1)),
    ];
    let mut tally = Tally::default();
    for (name, offset) in parts {
        let mut bytes = stage.foreign.as_bytes().to_vec();
        if let Some(byte) = bytes.get_mut(offset) {
            *byte ^= 1;
        }
        tally.note(name, parse_and_open(&stage.victim, bytes).await);
    }
    let control = stage.owner_opens_it().await;
    stage.attack("flip a bit of a sealed secret").conclude(tally.observed(), control)
}

/// Cut to each boundary of the layout, and extended.
pub(super) async fn cut_and_extend(stage: &Stage<'_>) -> Attempt {
    let bytes = stage.foreign.as_bytes();
    let mut tally = Tally::default();
    for (name, len) in [
        ("empty", 0),
        ("magic only", 4),
        ("header cut", 88),
        ("wrapped key cut", 100),
        ("tag only", bytes.len().saturating_sub(stage.secret.len())),
        ("tag cut", bytes.len().saturating_sub(TAG_LEN)),
        ("last byte cut", bytes.len().saturating_sub(1)),
    ] {
        let cut = bytes.iter().copied().take(len).collect();
        tally.note(name, parse_and_open(&stage.victim, cut).await);
    }
    for (name, tail) in [("a zero added", vec![0]), ("added to itself", bytes.to_vec())] {
        tally.note(name, parse_and_open(&stage.victim, [bytes, &tail].concat()).await);
    }
    let control = stage.owner_opens_it().await;
    stage.attack("cut or extend a sealed secret").conclude(tally.observed(), control)
}

async fn parse_and_open(handle: &ScopedKeys, bytes: Vec<u8>) -> Result<(), Error> {
    handle.open(record(), &Sealed::parse(bytes)?).await.map(drop)
}
