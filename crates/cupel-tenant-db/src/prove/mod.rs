//! The attack suite: what an organization could try on another, tried on the live database.
//!
//! Every act of the attacker and every control runs in a transaction that is rolled back, or reads
//! only. What is committed are the rows of the stage: a few in each table, under the same ids for both
//! organizations.

mod keys;
mod objects;
mod plans;
mod powers;
mod reads;
mod sessions;
mod stage;
mod tally;
mod value;
mod workspaces;
mod writes;

use cupel_tenant::{Attack, Attempt, Control, LayerName, Observed, OrgId, OrgPair, TenantScope};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::{Error, TenantDb, TenantTx};
use stage::Stage;

/// One attack in one direction: what was seen and its control; `None` where there is nothing that it
/// could be tried on.
type Seen = Result<Option<(Observed, Control)>, Error>;
type Act = for<'a> fn(&'a Turn<'a>) -> BoxFuture<'a, Seen>;

const ATTACKS: &[(&str, Act)] = &[
    ("read rows without a WHERE clause", |turn| reads::every_row(turn).boxed()),
    ("read a row by its primary key", |turn| reads::by_key(turn).boxed()),
    ("read rows without a context", |turn| reads::without_context(turn).boxed()),
    ("copy tables out", |turn| reads::copy_out(turn).boxed()),
    ("read with row security turned off", |turn| reads::row_security_off(turn).boxed()),
    ("switch organization inside one SELECT (injection)", |turn| reads::switch(turn).boxed()),
    ("switch organization by a statement of its own", |turn| reads::stack(turn).boxed()),
    ("update another organization's rows", |turn| writes::update(turn).boxed()),
    ("delete another organization's rows", |turn| writes::delete(turn).boxed()),
    ("insert a row for another organization", |turn| writes::insert(turn).boxed()),
    ("move an own row to another organization", |turn| writes::relocate(turn).boxed()),
    ("truncate a table", |turn| writes::truncate(turn).boxed()),
    ("refer to another organization's row by foreign key", |turn| keys::refer(turn).boxed()),
    ("learn of a row by a unique violation", |turn| keys::collide(turn).boxed()),
    ("refer to another organization's row from a table of its own", |turn| {
        objects::reference(turn).boxed()
    }),
    ("put a trigger on a table", |turn| objects::trigger(turn).boxed()),
    ("read by a plan made for another organization", |turn| {
        plans::of_an_organization(turn).boxed()
    }),
    ("read after COMMIT on the same connection", |turn| sessions::after_commit(turn).boxed()),
    ("read after a transaction was dropped", |turn| sessions::after_drop(turn).boxed()),
    ("fetch from a cursor left open", |turn| sessions::cursor(turn).boxed()),
    ("execute a prepared statement left behind", |turn| sessions::prepared(turn).boxed()),
    ("become a more powerful role", |turn| powers::become_another(turn).boxed()),
    ("disable row security on a table", |turn| powers::disable(turn).boxed()),
    ("read the registry and the access log", |turn| powers::registry(turn).boxed()),
    ("reach a table that nobody declared", |turn| powers::undeclared(turn).boxed()),
    ("read another workspace's rows", |turn| workspaces::read(turn).boxed()),
    ("read by a plan made for another workspace", |turn| plans::of_a_workspace(turn).boxed()),
    ("write another workspace's rows", |turn| workspaces::write(turn).boxed()),
    ("delete another workspace's rows", |turn| workspaces::delete(turn).boxed()),
    ("insert a row for another workspace", |turn| workspaces::insert(turn).boxed()),
    ("move an own row to another workspace", |turn| workspaces::relocate(turn).boxed()),
    ("change from a workspace what its organization shares", |turn| {
        workspaces::change_shared(turn).boxed()
    }),
];

/// Who attacks whom, and on what.
struct Turn<'a> {
    stage: &'a Stage,
    attacker: &'a OrgId,
    victim: &'a OrgId,
}

impl Turn<'_> {
    async fn as_attacker(&self) -> Result<TenantTx, Error> {
        self.stage.db.begin(&TenantScope::org(self.attacker.clone())).await
    }

    async fn as_victim(&self) -> Result<TenantTx, Error> {
        self.stage.db.begin(&TenantScope::org(self.victim.clone())).await
    }
}

/// Attacks each organization of the pair as the other.
///
/// # Errors
///
/// When the stage cannot be set: a server that is gone, an organization that is not let in.
pub(crate) async fn prove(db: &TenantDb, pair: &OrgPair) -> Result<Vec<Attempt>, Error> {
    let stage = Stage::set(db, pair).await?;
    let mut attempts = Vec::with_capacity(ATTACKS.len() * 2);
    for (attacker, victim) in pair.directions() {
        let turn = Turn { stage: &stage, attacker, victim };
        for (name, act) in ATTACKS {
            let (observed, control) = match act(&turn).await {
                Ok(None) => continue,
                Ok(Some((Observed::Refused(_), control))) if stage.gap().is_some() => {
                    (Observed::unclear(stage.gap().unwrap_or_default()), control)
                }
                Ok(Some(seen)) => seen,
                Err(error) => (
                    Observed::unclear(format!("could not be tried: {error}")),
                    Control::failed("not reached"),
                ),
            };
            let attack = Attack::new(LayerName::Database, name, attacker, victim);
            attempts.push(attack.conclude(observed, control));
        }
    }
    stage.leave();
    Ok(attempts)
}
