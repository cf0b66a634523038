//! Which addresses a dyno's processes listen on, from the kernel's tables.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// `TCP_LISTEN` of `linux/tcp_states.h`, as the tables write it.
const LISTENING: &str = "0A";

/// TCP addresses that are listened on in the network namespace of a process.
pub(crate) fn listening(process: i32) -> Vec<String> {
    let mut found: Vec<SocketAddr> = ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{process}/net/{table}")).ok())
        .flat_map(|table| table.lines().filter_map(listener).collect::<Vec<_>>())
        .collect();
    found.sort_unstable();
    found.dedup();
    found.iter().map(SocketAddr::to_string).collect()
}

/// The address of one line of a table, if it is listened on.
fn listener(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?;
    (fields.nth(1)? == LISTENING).then_some(())?;
    let (address, port) = local.split_once(':')?;
    Some(SocketAddr::new(
        address_of(address)?,
        u16::from_str_radix(port, 16).ok()?,
    ))
}

/// Addresses are written as 32-bit words of the machine's own byte order.
fn address_of(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for at in (0..text.len()).step_by(8) {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    match bytes.len() {
        4 => Some(Ipv4Addr::from(*bytes.first_chunk()?).into()),
        16 => Some(Ipv6Addr::from(*bytes.first_chunk()?).into()),
        _ => None,
    }
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    fn check(local: &str, state: &str, expected: Option<&str>) {
        let line = format!("   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000");
        assert_eq!(
            listener(&line).map(|found| found.to_string()).as_deref(),
            expected
        );
    }

    #[test]
    fn lines_of_the_tables_are_understood() {
        check("0100007F:1F40", "0A", Some("127.0.0.1:8000"));
        check("00000000:1388", "0A", Some("0.0.0.0:5000"));
        check(
            "00000000000000000000000000000000:1388",
            "0A",
            Some("[::]:5000"),
        );
        check("0100007F:1F40", "01", None);
        assert_eq!(
            listener("  sl  local_address rem_address   st tx_queue"),
            None
        );
        assert_eq!(listener(""), None);
    }
}
