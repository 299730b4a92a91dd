//! Reads the expressions of policies, as the server writes them out, and says whether they hold an
//! organization to its own rows.

mod judge;
mod lex;
mod parse;

pub(crate) use judge::{Class, ContextFunction, Reader, Surroundings};

/// An expression, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expr {
    And(Vec<Expr>),
    /// `left = ANY (right)`, and `IN` of a sub-select.
    Any(Box<Expr>, Box<Expr>),
    Array(Vec<Expr>),
    Bool(bool),
    Call(String, Vec<Expr>),
    /// To a type that keeps the whole value, or to one that may not.
    Cast {
        of: Box<Expr>,
        whole: bool,
    },
    Column(String),
    Distinct(Box<Expr>, Box<Expr>),
    IsNull(Box<Expr>),
    Not(Box<Expr>),
    Null,
    Op(String, Vec<Expr>),
    /// What is not understood.
    Opaque,
    Or(Vec<Expr>),
    Text(String),
}

impl Expr {
    /// Reads the text of an expression; what does not fit the grammar is [`Expr::Opaque`].
    pub(crate) fn read(text: &str) -> Self {
        lex::tokens(text).and_then(parse::whole).unwrap_or(Self::Opaque)
    }
}
