//! The attack suite: one organization of a pair reaches for what is the other's, in both directions.
//!
//! Attacks are raw calls through the attacker's own client, since that is what code of a tenant can
//! get hold of at worst (an activity is handed it by the SDK). Whether one got through is not told by
//! its answer alone: where it could have changed something, the server is asked afterwards, in our own
//! name. Each control is the same call by the owner, on the same thing, in the same run; by the service,
//! where no organization is an owner.

mod act;
mod by_attribute;
mod by_id;
mod by_query;
mod by_queue;
mod by_worker;
mod from_code;
mod side;

use cupel_tenant::{Attack, Attempt, Control, LayerName, Observed, OrgPair};
use futures::future::BoxFuture;
use uuid::Uuid;

use crate::{Error, TenantQueues};
use side::{Side, Stage};

/// What came of an attack, and of its control.
type Concluded = Result<(Observed, Control), Error>;

/// An attack by the attacker of a stage on its victim.
type Act = for<'a> fn(&'a Stage<'a>) -> BoxFuture<'a, Concluded>;

/// Every attack, as it reads in a report.
const ATTACKS: [(&str, Act); 18] = [
    ("start a run on the other's queue", |stage| Box::pin(by_queue::start(stage))),
    ("poll the other's queue as a worker", |stage| Box::pin(by_queue::poll(stage))),
    ("take over a run's id, terminating it", |stage| Box::pin(by_id::take_over(stage))),
    ("terminate a run by its id", |stage| Box::pin(by_id::terminate(stage))),
    ("cancel a run by its id", |stage| Box::pin(by_id::cancel(stage))),
    ("signal a run by its id", |stage| Box::pin(by_id::signal(stage))),
    ("describe a run by its id", |stage| Box::pin(by_id::describe(stage))),
    ("read a run's input from its history", |stage| Box::pin(by_id::history(stage))),
    ("reach a run by climbing with ../", |stage| Box::pin(by_id::climb(stage))),
    ("list runs by injection into the query", |stage| Box::pin(by_query::list(stage))),
    ("count the runs of every organization", |stage| Box::pin(by_query::count(stage))),
    ("start a child run on the other's queue from workflow code", |stage| {
        Box::pin(from_code::child(stage))
    }),
    ("signal a run from workflow code", |stage| Box::pin(from_code::signal(stage))),
    ("terminate a run from an activity", |stage| Box::pin(from_code::terminate(stage))),
    ("hide a run from the service by a reserved attribute", |stage| {
        Box::pin(by_attribute::hide(stage))
    }),
    ("list the other's workers and their hosts", |stage| Box::pin(by_worker::list(stage))),
    ("report on the other's worker under its instance key", |stage| {
        Box::pin(by_worker::report(stage))
    }),
    // The last, since its control pauses the queue for a moment.
    ("set the rate limit of the other's queue to zero", |stage| Box::pin(by_queue::pause(stage))),
];

/// Attacks each organization of `pair` as the other.
pub(crate) async fn attack(queues: &TenantQueues, pair: &OrgPair) -> Result<Vec<Attempt>, Error> {
    // Both organizations use the same names, and a second run of the suite uses others.
    let folder = format!("prove-{}", Uuid::new_v4().simple());
    let first = Side::enter(queues, pair.first(), &folder).await?;
    let second = Side::enter(queues, pair.second(), &folder).await?;
    let mut attempts = Vec::new();
    for (attacker, victim) in [(&first, &second), (&second, &first)] {
        let stage = Stage { queues, attacker, victim };
        for (name, act) in ATTACKS {
            let (observed, control) = act(&stage).await.unwrap_or_else(|error| {
                let evidence = format!("could not be tried: {error}");
                (Observed::unclear(evidence.clone()), Control::failed(evidence))
            });
            let attack = Attack::new(LayerName::Queues, name, attacker.org(), victim.org());
            attempts.push(attack.conclude(observed, control));
        }
    }
    first.leave().await?;
    second.leave().await?;
    Ok(attempts)
}
