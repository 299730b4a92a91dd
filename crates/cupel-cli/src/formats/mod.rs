//! What an audit found, for the programs and people that read neither its text nor its JSON.

mod html;
mod junit;
mod sarif;

pub(crate) use html::html;
pub(crate) use junit::junit;
pub(crate) use sarif::sarif;
