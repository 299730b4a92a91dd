//! Attacks that open a secret where it was not sealed.

use cupel_tenant::Attempt;

use super::tally::Tally;
use super::{Stage, record};
use crate::{Class, RecordContext, Sealed};

pub(super) async fn open_as_another_organization(stage: &Stage<'_>) -> Attempt {
    let mut tally = Tally::default();
    tally.note("opened", stage.attacker.open(record(), &stage.foreign).await);
    let control = stage.owner_opens_it().await;
    stage
        .attack("open another organization's sealed credential")
        .conclude(tally.observed(), control)
}

/// The victim's own service opens the secret, which the attacker copied to another place of it.
pub(super) async fn move_to_another_place(stage: &Stage<'_>) -> Attempt {
    let mut tally = Tally::default();
    for (name, context) in other_places() {
        tally.note(name, stage.victim.open(context, &stage.foreign).await);
    }
    let relabelled = relabel(&stage.foreign, Class::StagingData);
    let moved = RecordContext { class: Class::StagingData, ..record() };
    tally.note("class, relabelled", open_bytes(stage, moved, relabelled).await);
    let workspace = "analytics".parse().ok();
    let scope = workspace.and_then(|id| stage.victim.scope().clone().narrow_to(id).ok());
    if let Some(scope) = scope {
        let narrowed = stage.keys.scoped(&scope);
        tally.note("workspace", narrowed.open(record(), &stage.foreign).await);
    }
    let control = stage.owner_opens_it().await;
    stage
        .attack("move a secret to another record, field or class")
        .conclude(tally.observed(), control)
}

async fn open_bytes(
    stage: &Stage<'_>,
    context: RecordContext,
    bytes: Vec<u8>,
) -> Result<(), crate::Error> {
    stage.victim.open(context, &Sealed::parse(bytes)?).await.map(drop)
}

/// The place of the secret with one part exchanged: each part once.
fn other_places() -> [(&'static str, RecordContext); 6] {
    [
        ("class", RecordContext { class: Class::SensitiveConfig, ..record() }),
        ("store", RecordContext { store: b"connectors2".to_vec(), ..record() }),
        ("object", RecordContext { object: b"token".to_vec(), ..record() }),
        ("field", RecordContext { field: b"username".to_vec(), ..record() }),
        ("record key", RecordContext { record: b"crm-8".to_vec(), ..record() }),
        ("schema version", record().schema_version(2)),
    ]
}

/// The same bytes under another class.
fn relabel(sealed: &Sealed, class: Class) -> Vec<u8> {
    let mut bytes = sealed.as_bytes().to_vec();
    if let Some(byte) = bytes.get_mut(7) {
        *byte = class.code();
    }
    bytes
}
