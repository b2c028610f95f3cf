//! A move of a ref that Git is about to make, and what an admitted push asked for.

use crate::model::Oid;

/// A ref's move that Git is about to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Its full name.
    pub name: String,
    /// Where it is; none if it is not there.
    pub from: Option<Oid>,
    /// Where it goes.
    pub to: Destination,
    /// What is known of it from an admitted push.
    pub admitted: Admitted,
}

/// Where a ref goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To an object.
    Object(Oid),
    /// It is deleted.
    Nothing,
    /// It becomes a symbolic ref.
    AnotherRef,
}

impl Destination {
    /// The object, if it goes to one.
    pub fn object(self) -> Option<Oid> {
        match self {
            Self::Object(id) => Some(id),
            Self::Nothing | Self::AnotherRef => None,
        }
    }
}

/// Whether a push was admitted that asked for exactly a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// None was.
    No,
    /// One was, and the branch holds the ledger that it was judged by.
    Yes,
    /// One was, and the branch does not hold the ledger that it was judged by.
    WithoutItsLedger,
}
