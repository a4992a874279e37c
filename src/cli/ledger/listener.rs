//! Who listens on a port of this machine. On loopback a command shows a token that it made itself; whoever took the port
//! while our server was down must not be handed it.

use std::os::unix::fs::MetadataExt as _;

/// State `LISTEN` in the kernel's tables, as `proc(5)` has them.
const LISTEN: &str = "0A";

/// That whoever listens on this port is this user or root, as far as the system tells: Linux does, others are taken at their
/// word.
///
/// # Errors
/// It is somebody else, by the number of the user.
pub fn is_ours(port: u16) -> Result<(), u32> {
    let Ok(own) = std::fs::metadata("/proc/self") else { return Ok(()) };
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| owners(table, port)).try_for_each(|owner| {
        // Root could read the keys.
        if owner == own.uid() || owner == 0 { Ok(()) } else { Err(owner) }
    })
}

/// Users whose sockets listen on a port, from one of the tables.
fn owners(table: &str, port: u16) -> impl Iterator<Item = u32> {
    table.lines().skip(1).filter_map(move |line| {
        let mut fields = line.split_whitespace();
        let (_, local, _, state) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let (_, found) = local.rsplit_once(':')?;
        let listens = state == LISTEN && u16::from_str_radix(found, 16) == Ok(port);
        // Queues, timer, retransmits; then the user.
        fields.nth(3)?.parse().ok().filter(|_| listens)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 41 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 42 1 0000000000000000 100 0 0 10 0
   2: 0100007F:1F90 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000  1001        0 43 1 0000000000000000 20 4 30 10 -1
";

    #[test]
    fn only_who_listens_counts() {
        assert_eq!(owners(TABLE, 8080).collect::<Vec<_>>(), [1000]);
        assert_eq!(owners(TABLE, 8081).collect::<Vec<_>>(), [0]);
        assert_eq!(owners(TABLE, 8082).count(), 0);
        assert_eq!(owners("", 8080).count(), 0);
    }

    #[test]
    fn a_socket_of_this_process_is_ours() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(is_ours(socket.local_addr().unwrap().port()), Ok(()));
    }
}
