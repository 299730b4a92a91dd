//! Which names in a request are the organization's. No I/O.

use cupel_tenant::OrgId;
use prost::Message;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use uuid::Uuid;

use crate::{QueueName, RunFilter, RunId};

/// A name in the request is not the organization's, or the request cannot be judged.
///
/// It says nothing more: whether the thing named exists is not for the caller to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Foreign;

/// The verdict on one name or on a whole request.
pub(crate) type Verdict = Result<(), Foreign>;

/// The names that one organization may use.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    org: OrgId,
    queue: String,
    namespace: String,
}

impl Names {
    pub(crate) fn of(org: &OrgId, namespace: &str) -> Self {
        Self {
            org: org.clone(),
            queue: QueueName::of(org).to_string(),
            namespace: namespace.to_owned(),
        }
    }

    pub(crate) fn org_id(&self) -> &OrgId {
        &self.org
    }

    pub(crate) fn namespace(&self, namespace: &str) -> Verdict {
        verdict(namespace == self.namespace)
    }

    /// The namespace of a command, where empty means the workflow's own.
    pub(crate) fn namespace_or_none(&self, namespace: &str) -> Verdict {
        verdict(namespace.is_empty() || namespace == self.namespace)
    }

    /// The organization's queue, or a sticky queue of one of its workers: those are named after the
    /// identity that a worker signs with, which starts with the organization and a slash.
    pub(crate) fn queue(&self, queue: &Option<TaskQueue>) -> Verdict {
        let queue = queue.as_ref().ok_or(Foreign)?;
        let normal = queue.normal_name.is_empty() || queue.normal_name == self.queue;
        verdict(normal && self.knows_queue(&queue.name))
    }

    /// A queue, where none or an empty name means the workflow's own.
    pub(crate) fn queue_or_none(&self, queue: &Option<TaskQueue>) -> Verdict {
        match queue {
            Some(queue) if !queue.name.is_empty() => verdict(queue.name == self.queue),
            _ => Ok(()),
        }
    }

    /// The name of the organization's queue, and of no other.
    pub(crate) fn queue_text(&self, name: &str) -> Verdict {
        verdict(name == self.queue)
    }

    /// The name of a queue, where empty means none.
    pub(crate) fn queue_text_or_none(&self, name: &str) -> Verdict {
        verdict(name.is_empty() || self.knows_queue(name))
    }

    fn knows_queue(&self, name: &str) -> bool {
        name == self.queue || self.is_mine(name)
    }

    /// Whether `text` is `{org_id}/` and something. No other organization's text is, since an
    /// organization id holds no `/`.
    fn is_mine(&self, text: &str) -> bool {
        text.split_once('/').is_some_and(|(org, rest)| org == self.org.as_str() && !rest.is_empty())
    }

    pub(crate) fn run(&self, run: &Option<WorkflowExecution>) -> Verdict {
        self.run_id(&run.as_ref().ok_or(Foreign)?.workflow_id)
    }

    pub(crate) fn run_id(&self, id: &str) -> Verdict {
        verdict(id.parse::<RunId>().is_ok_and(|id| *id.org_id() == self.org))
    }

    /// The token of a workflow or activity task.
    ///
    /// It is opaque to clients, and not signed: whoever knows one can complete the task. Its second
    /// field is the workflow id (`Task` in the server's `token/v1/message.proto`).
    pub(crate) fn task(&self, token: &[u8]) -> Verdict {
        self.run_id(&TokenSubject::decode(token).map_err(|_| Foreign)?.text)
    }

    /// The token of a query, whose second field is the queue that it was handed out on (`QueryTask`
    /// in the same file).
    pub(crate) fn query_task(&self, token: &[u8]) -> Verdict {
        verdict(self.knows_queue(&TokenSubject::decode(token).map_err(|_| Foreign)?.text))
    }

    /// A visibility query that [`RunFilter`] would have written.
    pub(crate) fn query(&self, query: &str) -> Verdict {
        verdict(RunFilter::parse(&self.org, query).is_some())
    }

    /// How a worker of the organization signs.
    pub(crate) fn identity(&self, identity: &str) -> Verdict {
        verdict(self.is_mine(identity))
    }

    /// Puts the key that a worker made up for itself, a UUID, under the organization:
    /// `{org_id}/{key}`. Empty means none.
    ///
    /// The server has one space of such keys for all (Temporal 1.32.0): a report replaces what is known
    /// of the worker with that key, and a shutdown ends the polls under it on any queue. Whoever knows
    /// the key of another organization's worker has no way to write it here.
    pub(crate) fn bind(&self, key: &mut String) -> Verdict {
        if !key.is_empty() {
            let made_up = Uuid::try_parse(key).map_err(|_| Foreign)?;
            *key = format!("{}/{made_up}", self.org);
        }
        Ok(())
    }
}

pub(crate) fn verdict(own: bool) -> Verdict {
    if own { Ok(()) } else { Err(Foreign) }
}

/// The one field of a task token that says whose task it is.
#[derive(Clone, PartialEq, prost::Message)]
struct TokenSubject {
    #[prost(string, tag = "2")]
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::of(&"acme".parse().unwrap(), "default")
    }

    fn queue(name: &str, normal_name: &str) -> Option<TaskQueue> {
        Some(TaskQueue {
            name: name.to_owned(),
            normal_name: normal_name.to_owned(),
            ..TaskQueue::default()
        })
    }

    #[test]
    fn a_queue_is_its_own_or_sticky_under_its_own_identity() {
        let names = names();
        assert_eq!(names.queue(&queue("cupel-hosted-acme", "")), Ok(()));
        let sticky = "acme/17-0f3a".to_owned();
        assert_eq!(names.queue(&queue(&sticky, "cupel-hosted-acme")), Ok(()));
        for (name, normal) in [
            ("cupel-hosted-acme-b", ""),
            ("cupel-hosted-globex", ""),
            ("globex/17-0f3a", "cupel-hosted-acme"),
            ("acme-b/17-0f3a", "cupel-hosted-acme"),
            (sticky.as_str(), "cupel-hosted-globex"),
            ("", "cupel-hosted-acme"),
            ("/_sys/cupel-hosted-acme/1", ""),
        ] {
            assert_eq!(names.queue(&queue(name, normal)), Err(Foreign), "{name:?} {normal:?}");
        }
        assert_eq!(names.queue(&None), Err(Foreign));
    }

    #[test]
    fn a_run_is_its_own_by_the_whole_first_part() {
        assert_eq!(names().run_id("acme/nightly"), Ok(()));
        for id in ["acme-b/nightly", "acm/nightly", "globex/nightly", "nightly", "acme/", ""] {
            assert_eq!(names().run_id(id), Err(Foreign), "{id:?}");
        }
        assert_eq!(names().run_id("acme/../globex/nightly"), Err(Foreign));
    }

    #[test]
    fn a_task_is_judged_by_the_run_in_its_token() {
        let token = |text: &str| TokenSubject { text: text.to_owned() }.encode_to_vec();
        assert_eq!(names().task(&token("acme/nightly")), Ok(()));
        assert_eq!(names().task(&token("globex/nightly")), Err(Foreign));
        assert_eq!(names().task(b"\xff\xff"), Err(Foreign));
        assert_eq!(names().task(b""), Err(Foreign));
        assert_eq!(names().query_task(&token("cupel-hosted-acme")), Ok(()));
        assert_eq!(names().query_task(&token("cupel-hosted-globex")), Err(Foreign));
    }

    #[test]
    fn a_workers_key_is_put_under_its_organization() {
        let bound = |key: &str| {
            let mut key = key.to_owned();
            names().bind(&mut key).map(|()| key)
        };
        let key = "0f3a0f3a-0f3a-4f3a-8f3a-0f3a0f3a0f3a";
        assert_eq!(bound(key).as_deref(), Ok("acme/0f3a0f3a-0f3a-4f3a-8f3a-0f3a0f3a0f3a"));
        assert_eq!(bound("").as_deref(), Ok(""));
        for other in ["globex/", "acme/", "acme-b/", "x", " "] {
            assert_eq!(bound(&format!("{other}{key}")), Err(Foreign), "{other:?}");
        }
    }
}
