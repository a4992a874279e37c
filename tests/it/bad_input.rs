//! What is no review, and what is one and should not be. Each is answered so that the caller knows what to do; the
//! process lives, and the next review on another connection is answered as if nothing had happened.

mod bodies; // bytes that are no AdmissionReview
mod callers; // methods, paths, sizes, and callers who do not speak at all
mod objects; // reviews whose objects no API server would have let through
mod readings; // what may be read in more than one way
mod texts; // characters and amounts that would mislead whoever reads the message
