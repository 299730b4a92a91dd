//! Each organization attacks the other, with controls.

mod place;
mod service;
mod shape;
mod tally;
#[cfg(test)]
mod weakened;

use cupel_tenant::{Attack, Attempt, Control, LayerName, OrgId, OrgPair, TenantScope};

use crate::envelope::Header;
use crate::{Credential, Error, RecordContext, ScopedKeys, Sealed, TenantKeys};

/// Runs every attack in both directions.
///
/// A future dropped half-way may leave the victim suspended, or a stray alias: resuming undoes the
/// one, erasing both.
pub(crate) async fn run(keys: &TenantKeys, pair: &OrgPair) -> Result<Vec<Attempt>, Error> {
    let mut attempts = Vec::new();
    for (attacker, victim) in pair.directions() {
        let stage = Stage::set(keys, attacker, victim).await?;
        attempts.push(place::open_as_another_organization(&stage).await);
        attempts.push(place::move_to_another_place(&stage).await);
        attempts.push(shape::splice_headers(&stage).await?);
        attempts.push(shape::flip_bits(&stage).await);
        attempts.push(shape::cut_and_extend(&stage).await);
        attempts.push(service::take_from_the_cache(&stage).await?);
        attempts.push(service::unwrap_directly(&stage).await?);
        attempts.push(service::point_an_alias(&stage).await?);
        attempts.push(service::use_while_suspended(&stage).await?);
    }
    Ok(attempts)
}

/// Two organizations that sealed a secret for a record of the same name.
struct Stage<'a> {
    keys: &'a TenantKeys,
    attacker: ScopedKeys,
    victim: ScopedKeys,
    own: Sealed,
    foreign: Sealed,
    secret: Vec<u8>,
}

impl<'a> Stage<'a> {
    async fn set(keys: &'a TenantKeys, attacker: &OrgId, victim: &OrgId) -> Result<Self, Error> {
        let secret_of = |org: &OrgId| format!("the password of {org}").into_bytes();
        let secret = secret_of(victim);
        let attacker = keys.scoped(&TenantScope::org(attacker.clone()));
        let victim = keys.scoped(&TenantScope::org(victim.clone()));
        let own = attacker.seal(record(), &secret_of(attacker.scope().org_id())).await?;
        let foreign = victim.seal(record(), &secret).await?;
        Ok(Self { keys, attacker, victim, own, foreign, secret })
    }

    fn attack(&self, name: &'static str) -> Attack {
        let (attacker, victim) = (self.attacker.scope().org_id(), self.victim.scope().org_id());
        Attack::new(LayerName::Keys, name, attacker, victim)
    }

    /// The rightful owner opens the untouched secret at its own place.
    async fn owner_opens_it(&self) -> Control {
        match self.victim.open(record(), &self.foreign).await {
            Ok(plaintext) => Control::expect(plaintext.expose() == self.secret, "owner opens it"),
            Err(error) => Control::failed(format!("owner cannot: {error}")),
        }
    }

    fn own_header(&self) -> Result<(Header, Vec<u8>), Error> {
        split(&self.own)
    }

    fn foreign_header(&self) -> Result<(Header, Vec<u8>), Error> {
        split(&self.foreign)
    }
}

fn split(sealed: &Sealed) -> Result<(Header, Vec<u8>), Error> {
    let parsed = Header::read(sealed.as_bytes())?;
    Ok((parsed.header, parsed.body.to_vec()))
}

/// The record that both organizations have.
fn record() -> RecordContext {
    Credential::of("connectors", "crm-7", "password")
}
