//! How far row security holds a role that asks for a table.

use super::expr::Class;
use super::facts::{Facts, Oid, Policy, Relation, Right};

/// What a statement does with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Which rows a SELECT sees.
    Read,
    /// Which rows an INSERT may store.
    Insert,
    /// Which rows an UPDATE finds.
    UpdateOld,
    /// What an UPDATE may turn them into.
    UpdateNew,
    /// Which rows a DELETE finds.
    Delete,
}

impl Act {
    pub(crate) const ALL: [Self; 5] =
        [Self::Read, Self::Insert, Self::UpdateOld, Self::UpdateNew, Self::Delete];

    pub(crate) fn right(self) -> Right {
        match self {
            Self::Read => Right::Select,
            Self::Insert => Right::Insert,
            Self::UpdateOld | Self::UpdateNew => Right::Update,
            Self::Delete => Right::Delete,
        }
    }

    fn command(self) -> char {
        match self {
            Self::Read => 'r',
            Self::Insert => 'a',
            Self::UpdateOld | Self::UpdateNew => 'w',
            Self::Delete => 'd',
        }
    }

    fn class(self, policy: &Policy) -> Class {
        match self {
            Self::Read | Self::UpdateOld | Self::Delete => policy.using_class,
            Self::Insert | Self::UpdateNew => policy.check_class,
        }
    }
}

/// What row security comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold<'a> {
    pub(crate) class: Class,
    /// The permissive policy that lets the most through.
    pub(crate) by: Option<&'a Policy>,
}

impl Facts {
    /// Whether row security does not bind `role` on the table.
    pub(crate) fn is_exempt(&self, role: Oid, table: &Relation) -> bool {
        self.roles.is_exempt(role) || (!table.forced && self.roles.inherits(role, table.owner))
    }

    /// How far `role` is held when it does `act` to the table.
    pub(crate) fn hold(&self, role: Oid, table: &Relation, act: Act) -> Hold<'_> {
        self.hold_without(role, table, act, &[])
    }

    /// The same, if the policies named `broken` let everything through.
    pub(crate) fn hold_without(
        &self,
        role: Oid,
        table: &Relation,
        act: Act,
        broken: &[&str],
    ) -> Hold<'_> {
        if !table.row_security || self.is_exempt(role, table) {
            return Hold { class: Class::Open, by: None };
        }
        let policies = self.policies.get(&table.oid).map_or(&[][..], Vec::as_slice);
        let binding = policies.iter().filter(|it| {
            (it.command == '*' || it.command == act.command())
                && it.roles.iter().any(|of| *of == 0 || self.roles.inherits(role, *of))
        });
        let class = |it: &Policy| {
            if broken.contains(&it.name.as_str()) { Class::Open } else { act.class(it) }
        };
        let mut floor = Class::Open;
        let mut widest: Option<&Policy> = None;
        for policy in binding {
            if !policy.permissive {
                floor = floor.min(class(policy));
            } else if widest.is_none_or(|it| class(it) < class(policy)) {
                widest = Some(policy);
            }
        }
        let access = widest.map_or(Class::Never, class);
        Hold { class: access.min(floor), by: widest }
    }

    /// Whether a restrictive policy holds `role` to its organization whatever it does.
    pub(crate) fn has_floor(&self, role: Oid, table: &Relation) -> bool {
        let policies = self.policies.get(&table.oid).map_or(&[][..], Vec::as_slice);
        let floors = |act: Act| {
            policies.iter().any(|it| {
                !it.permissive
                    && (it.command == '*' || it.command == act.command())
                    && it.roles.iter().any(|of| *of == 0 || self.roles.inherits(role, *of))
                    && act.class(it) <= Class::Isolates
            })
        };
        Act::ALL.into_iter().all(floors)
    }

    /// Which acts `role` can do to the table, with how far it is held. An UPDATE needs both of its halves
    /// to let something through, and to hand a row on it must write the tenant column.
    pub(crate) fn acts(
        &self,
        role: Oid,
        table: &Relation,
        broken: &[&str],
    ) -> Vec<(Act, Hold<'_>)> {
        let both = [Act::UpdateOld, Act::UpdateNew]
            .map(|act| self.hold_without(role, table, act, broken).class);
        let can_update = both.iter().all(|class| *class > Class::Never);
        let hold = |act: Act| {
            let mut hold = self.hold_without(role, table, act, broken);
            // What is open without a context only is no use where the other half asks for one.
            if act.right() == Right::Update && hold.class == Class::FailOpen {
                hold.class = both.into_iter().min().unwrap_or(hold.class);
            }
            hold
        };
        let gives = |act| match act {
            Act::Insert if table.has_tenant_column() => {
                self.may(role, table.oid, &[Right::InsertTenant])
            }
            Act::UpdateNew if table.has_tenant_column() => {
                self.may(role, table.oid, &[Right::UpdateTenant])
            }
            _ => true,
        };
        Act::ALL
            .into_iter()
            .filter(|act| self.may(role, table.oid, &[act.right()]) && gives(*act))
            .filter(|act| act.right() != Right::Update || can_update)
            .map(|act| (act, hold(act)))
            .collect()
    }

    /// The worst of what `role` can do to the table with the rights that it has.
    pub(crate) fn worst(&self, role: Oid, table: &Relation) -> Class {
        self.acts(role, table, &[]).into_iter().map(|it| it.1.class).max().unwrap_or(Class::Never)
    }

    /// Whether the application could reach rows of others if the policies that call the function let
    /// everything through.
    pub(crate) fn rests_on(&self, table: &Relation, function: Oid) -> bool {
        let policies = self.policies.get(&table.oid).into_iter().flatten();
        let calling = policies.filter(|it| it.functions.contains(&function));
        let broken: Vec<&str> = calling.map(|it| it.name.as_str()).collect();
        self.roles.acting().iter().filter(|role| self.may(**role, table.oid, &[Right::Usage])).any(
            |role| {
                self.acts(*role, table, &broken)
                    .iter()
                    .any(|(_, hold)| hold.class > Class::Isolates)
            },
        )
    }
}
