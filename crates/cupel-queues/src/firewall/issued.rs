use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

/// The page tokens that the server gave to one organization.
///
/// A page token holds the server's own address of a history, and is not signed. The server refuses one
/// whose run is not a run of the workflow that the request names (Temporal 1.32.0), and looks no
/// further. So a token passes here only if this organization was given it. The last
/// [`Issued::CAPACITY`] are remembered; a reader so slow that its token is forgotten starts again.
#[derive(Debug, Default)]
pub(crate) struct Issued(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    known: HashSet<Vec<u8>>,
    order: VecDeque<Vec<u8>>,
}

impl Issued {
    pub(crate) const CAPACITY: usize = 4096;

    pub(crate) fn note(&self, token: &[u8]) {
        if token.is_empty() {
            return;
        }
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !memory.known.insert(token.to_vec()) {
            return;
        }
        memory.order.push_back(token.to_vec());
        if memory.order.len() > Self::CAPACITY
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.known.remove(&oldest);
        }
    }

    pub(crate) fn knows(&self, token: &[u8]) -> bool {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        token.is_empty() || memory.known.contains(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_is_taken_back() {
        let issued = Issued::default();
        assert!(issued.knows(b""));
        assert!(!issued.knows(b"a"));
        issued.note(b"a");
        assert!(issued.knows(b"a"));
        for n in 0..Issued::CAPACITY {
            issued.note(&n.to_be_bytes());
        }
        assert!(!issued.knows(b"a"));
        assert!(issued.knows(&1_usize.to_be_bytes()));
    }
}
