//! What we know of the cluster and what we write to it. Nothing here is on the path of a review.
//!
//! [`client`] finds the API server and says what is wrong when it cannot be asked, [`access`] asks which permissions are
//! missing, [`follow`] lists and watches, [`list`] reads what there is of every kind once, [`touch`] says whether it can,
//! [`turn`] says which replica does what one has to do. [`view`] is what is seen of the Namespaces, [`differ`] says where the
//! ledger sees others, [`certificates`] keeps a Secret with a certificate of the gate's own making, [`probe`] looks whether the
//! registration trusts what is served. [`configmaps`] are those that somebody has labelled for us, [`events`] what we say about
//! them. [`registration`] reads and writes the webhook configurations, [`keep`] keeps their `caBundle`.

pub mod access;
pub mod certificates;
pub mod client;
pub mod configmaps;
pub mod differ;
pub mod error;
pub mod events;
pub mod follow;
pub mod keep;
pub mod list;
pub mod probe;
pub mod registration;
pub mod touch;
pub mod turn;
pub mod view;

pub use client::{Cluster, ClusterArgs};
pub use error::{ClusterError, Need};
