//! The ledger's side of the snapshot. What is here today is the gate's end of it: following a document.

pub mod feed;
