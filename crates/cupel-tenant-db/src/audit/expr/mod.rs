//! Reads the expressions of policies, as the server writes them out, and says whether they hold an
//! organization to its own rows.

mod judge;
mod lex;
mod parse;
mod value;

pub(crate) use judge::{Class, ContextFunction, Reader, Surroundings};

/// An expression, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expr {
    And(Vec<Self>),
    /// `left = ANY (right)`, and `IN` of a sub-select.
    Any(Box<Self>, Box<Self>),
    Array(Vec<Self>),
    Bool(bool),
    Call(String, Vec<Self>),
    /// To a type that keeps the whole value, or to one that may not.
    Cast {
        of: Box<Self>,
        whole: bool,
    },
    Column(String),
    Distinct(Box<Self>, Box<Self>),
    IsNull(Box<Self>),
    Not(Box<Self>),
    Null,
    Op(String, Vec<Self>),
    /// What is not understood.
    Opaque,
    Or(Vec<Self>),
    Text(String),
}

impl Expr {
    /// Reads the text of an expression; what does not fit the grammar is [`Expr::Opaque`].
    pub(crate) fn read(text: &str) -> Self {
        lex::tokens(text).and_then(parse::whole).unwrap_or(Self::Opaque)
    }
}
