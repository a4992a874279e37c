//! Networks as Go's package `net` reads them.
//!
//! `regorus` 0.14.1 (`builtins/net.rs`) does not find `10.0.0.1` in `::ffff:10.0.0.0/104` nor `::ffff:10.0.0.1` in
//! `10.0.0.0/8`, and accepts a prefix with a sign. Go treats an IPv4-mapped address as an IPv4 address.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use regorus::Value;

/// Bits before the IPv4 address in an IPv4-mapped IPv6 address.
const MAPPED_BITS: u32 = 96;

/// The first address of a network, and the prefix length as written.
#[derive(Clone, Copy)]
struct Network {
    address: IpAddr,
    length: u32,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of all that answer themselves")]
pub(crate) fn cidr_is_valid(args: &[Value]) -> Result<Value, String> {
    let valid = matches!(args.first(), Some(Value::String(text)) if network(text).is_some());
    Ok(Value::from(valid))
}

pub(crate) fn cidr_contains(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "net.cidr_contains";
    let (Some(Value::String(whole)), Some(Value::String(part))) = (args.first(), args.get(1)) else {
        return Err(format!("builtin `{NAME}` takes strings"));
    };
    let none =
        |which: &str| format!("builtin `{NAME}` failed: the {which} argument is not an address or network");
    let whole_network = network(whole).ok_or_else(|| none("first"))?;
    if let Ok(address) = part.parse::<IpAddr>() {
        return Ok(Value::from(has(whole_network, address)));
    }
    let part = network(part).ok_or_else(|| none("second"))?;
    Ok(Value::from(has_all(whole_network, part)))
}

/// Parses `10.0.0.0/8`. Go allows no IPv6 zone, and only digits in the prefix.
fn network(text: &str) -> Option<Network> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let length: u32 = length.parse().ok()?;
    match address {
        IpAddr::V4(address) => {
            let first = Ipv4Addr::from_bits(address.to_bits() & mask4(length)?);
            Some(Network { address: IpAddr::V4(first), length })
        }
        IpAddr::V6(address) => {
            let first = Ipv6Addr::from_bits(address.to_bits() & mask6(length)?);
            Some(Network { address: IpAddr::V6(first), length })
        }
    }
}

fn mask4(length: u32) -> Option<u32> {
    (length <= u32::BITS).then(|| u32::MAX.checked_shl(u32::BITS - length).unwrap_or(0))
}

fn mask6(length: u32) -> Option<u128> {
    (length <= u128::BITS).then(|| u128::MAX.checked_shl(u128::BITS - length).unwrap_or(0))
}

/// As Go's `IPNet.Contains`: mapped addresses are IPv4, and the other family is outside.
fn has(network: Network, address: IpAddr) -> bool {
    let length = match network.address {
        IpAddr::V6(first) if first.to_ipv4_mapped().is_some() => network.length.saturating_sub(MAPPED_BITS),
        _ => network.length,
    };
    match (network.address.to_canonical(), address.to_canonical()) {
        (IpAddr::V4(first), IpAddr::V4(address)) => {
            mask4(length).is_some_and(|mask| (first.to_bits() ^ address.to_bits()) & mask == 0)
        }
        (IpAddr::V6(first), IpAddr::V6(address)) => {
            mask6(length).is_some_and(|mask| (first.to_bits() ^ address.to_bits()) & mask == 0)
        }
        _ => false,
    }
}

/// As OPA 1.22 (`v1/topdown/cidr.go`): plain IPv6 networks are compared by prefix, others by first and last address.
fn has_all(whole: Network, part: Network) -> bool {
    let plain = |network: Network| match network.address {
        IpAddr::V6(first) => first.to_ipv4_mapped().is_none(),
        IpAddr::V4(_) => false,
    };
    if plain(whole) && plain(part) {
        let (IpAddr::V6(first), IpAddr::V6(other)) = (whole.address, part.address) else { return false };
        let same = |mask| (first.to_bits() ^ other.to_bits()) & mask == 0;
        return whole.length <= part.length && mask6(whole.length).is_some_and(same);
    }
    let last = match part.address {
        IpAddr::V4(first) => mask4(part.length).map(|mask| IpAddr::V4((first.to_bits() | !mask).into())),
        IpAddr::V6(first) => mask6(part.length).map(|mask| IpAddr::V6((first.to_bits() | !mask).into())),
    };
    has(whole, part.address) && last.is_some_and(|last| has(whole, last))
}
