//! The door, through real sockets and real TLS: what it takes, what it refuses, and that neither disturbs the rest.

// `cfg(test)` always holds here; it tells clippy that the helpers, too, may unwrap.
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod patience; // who sends or reads slowly
#[cfg(test)]
mod requests;
