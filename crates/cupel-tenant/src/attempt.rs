use std::fmt;

use crate::{LayerName, OrgId};

/// An attack about to be tried: by whom, against whom, on which layer.
#[derive(Clone, Debug)]
#[must_use = "an attack says nothing until it is concluded"]
pub struct Attack {
    layer: LayerName,
    name: &'static str,
    attacker: OrgId,
    victim: OrgId,
}

impl Attack {
    /// Names an attack. `name` reads as an act: "read rows without a WHERE clause".
    pub fn new(layer: LayerName, name: &'static str, attacker: &OrgId, victim: &OrgId) -> Self {
        Self { layer, name, attacker: attacker.clone(), victim: victim.clone() }
    }

    /// Concludes the attack from what was observed and from its control.
    ///
    /// The control is the same act by the rightful owner, in the same run. A refusal counts as
    /// [`Outcome::Blocked`] only beside a control that held: where the owner cannot do it either, the
    /// refusal shows nothing. What was reached is [`Outcome::Leaked`] whatever the control did.
    ///
    /// # Examples
    ///
    /// ```
    /// use cupel_tenant::{Attack, Control, LayerName, Observed, Outcome};
    ///
    /// let (a, b) = ("acme".parse()?, "globex".parse()?);
    /// let attack = || Attack::new(LayerName::Cache, "read a key", &a, &b);
    ///
    /// let held = attack().conclude(Observed::refused("no such key"), Control::held("owner reads it"));
    /// assert_eq!(held.outcome, Outcome::Blocked);
    ///
    /// let vain = attack().conclude(Observed::refused("no such key"), Control::failed("owner cannot"));
    /// assert_eq!(vain.outcome, Outcome::NotProven);
    /// # Ok::<(), cupel_tenant::InvalidOrgId>(())
    /// ```
    pub fn conclude(self, observed: Observed, control: Control) -> Attempt {
        let outcome = match (&observed, &control) {
            (Observed::Reached(_), _) => Outcome::Leaked,
            (Observed::Refused(_), Control::Held(_)) => Outcome::Blocked,
            (Observed::Refused(_), Control::Failed(_)) | (Observed::Unclear(_), _) => {
                Outcome::NotProven
            }
        };
        let (Observed::Reached(evidence)
        | Observed::Refused(evidence)
        | Observed::Unclear(evidence)) = observed;
        let Self { layer, name, attacker, victim } = self;
        Attempt { layer, attack: name, attacker, victim, outcome, control, evidence }
    }
}

/// What an attacker saw.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "an attack gets in, is kept out, or could not be tried"
)]
pub enum Observed {
    /// The victim's data, name or resource was reached, in the way told.
    Reached(String),
    /// The attacker was refused, or saw exactly what there is to see of nothing.
    Refused(String),
    /// The attack could not be carried out, so nothing is known.
    Unclear(String),
}

impl Observed {
    /// The victim was reached; `evidence` says how.
    pub fn reached(evidence: impl Into<String>) -> Self {
        Self::Reached(evidence.into())
    }

    /// The attacker was refused; `evidence` says by what.
    pub fn refused(evidence: impl Into<String>) -> Self {
        Self::Refused(evidence.into())
    }

    /// The attack could not be carried out; `evidence` says why.
    pub fn unclear(evidence: impl Into<String>) -> Self {
        Self::Unclear(evidence.into())
    }
}

/// What the rightful owner could do of what the attacker tried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a control holds or it does not")]
pub enum Control {
    /// The owner could do it.
    Held(String),
    /// The owner could not do it either, so the attack shows nothing.
    Failed(String),
}

impl Control {
    /// The owner could do it; `evidence` is a short text such as "owner reads 12".
    pub fn held(evidence: impl Into<String>) -> Self {
        Self::Held(evidence.into())
    }

    /// The owner could not do it; `evidence` says what happened instead.
    pub fn failed(evidence: impl Into<String>) -> Self {
        Self::Failed(evidence.into())
    }

    /// Holds with `evidence` if `held`, and fails with it otherwise.
    pub fn expect(held: bool, evidence: impl Into<String>) -> Self {
        if held { Self::Held(evidence.into()) } else { Self::Failed(evidence.into()) }
    }

    /// Returns whether the owner could do it.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }

    /// Returns what was seen of the owner's try.
    pub fn evidence(&self) -> &str {
        let (Self::Held(evidence) | Self::Failed(evidence)) = self;
        evidence
    }
}

/// How an attack ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "exit codes and reports depend on there being three")]
pub enum Outcome {
    /// The attacker was refused what the owner could do.
    Blocked,
    /// Nothing is known: the control failed, or the attack could not be carried out.
    NotProven,
    /// The attacker reached the victim.
    Leaked,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Blocked => "blocked",
            Self::NotProven => "not proven",
            Self::Leaked => "leaked",
        })
    }
}

/// One concluded attack. Made by [`Attack::conclude`] only, so that no attempt is
/// [`Outcome::Blocked`] without a control that held.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The layer that was attacked.
    pub layer: LayerName,
    /// What was tried.
    pub attack: &'static str,
    /// Who tried.
    pub attacker: OrgId,
    /// Whose data it was.
    pub victim: OrgId,
    /// How it ended.
    pub outcome: Outcome,
    /// What the rightful owner could do.
    pub control: Control,
    /// What the attacker saw.
    pub evidence: String,
}

impl Attempt {
    /// Returns whether the layer held: blocked, beside a control that held.
    pub fn is_blocked(&self) -> bool {
        self.outcome == Outcome::Blocked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(observed: Observed, control: Control) -> Outcome {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        Attack::new(LayerName::Keys, "open a secret", &a, &b).conclude(observed, control).outcome
    }

    #[test]
    fn only_a_refusal_beside_a_held_control_is_blocked() {
        assert_eq!(outcome(Observed::refused(""), Control::held("")), Outcome::Blocked);
        assert_eq!(outcome(Observed::refused(""), Control::failed("")), Outcome::NotProven);
        assert_eq!(outcome(Observed::unclear(""), Control::held("")), Outcome::NotProven);
        assert_eq!(outcome(Observed::reached(""), Control::held("")), Outcome::Leaked);
        assert_eq!(outcome(Observed::reached(""), Control::failed("")), Outcome::Leaked);
    }
}
