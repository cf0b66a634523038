//! An SSH public key as people paste it: the line OpenSSH keeps in `id_ed25519.pub`, checked down to
//! the numbers in it, so that nothing is kept that no connection could ever show.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Longest line that is looked at: RSA of 16,384 bits with a long comment.
const LONGEST_LINE: usize = 16 * 1024;
/// Weaker keys are refused, as by OpenSSH itself.
const LEAST_RSA_BITS: usize = 2048;
const MOST_RSA_BITS: usize = 16_384;
const ED25519_BYTES: usize = 32;

/// A key that may be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    /// The line, in one form: type, base64, comment.
    pub(super) text: String,
    pub(super) comment: String,
    blob: Vec<u8>,
}

/// Why a text is no key that may be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum KeyRefusal {
    #[error(
        "That is a private key. It should have never left your machine; add the file that ends in \
         .pub instead, and consider this one known to others."
    )]
    Private,
    #[error("public_key must be one line such as `ssh-ed25519 AAAAC3… you@example.com`.")]
    Unreadable,
    #[error("Keys of type {0} are not supported. Use ssh-ed25519, RSA or ECDSA.")]
    Unsupported(String),
    #[error("RSA keys must have at least {LEAST_RSA_BITS} bits, this one has {0}.")]
    Weak(usize),
}

impl PublicKey {
    /// Reads one line.
    pub(super) fn parse(text: &str) -> Result<Self, KeyRefusal> {
        let text = text.trim();
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyRefusal::Private);
        }
        let is_line = text.len() <= LONGEST_LINE && !text.chars().any(char::is_control);
        if !is_line {
            return Err(KeyRefusal::Unreadable);
        }
        let (kind, rest) = text.split_once(' ').ok_or(KeyRefusal::Unreadable)?;
        let rest = rest.trim_start();
        let (encoded, comment) = rest.split_once(' ').unwrap_or((rest, ""));
        let comment = comment.trim();
        let blob = STANDARD
            .decode(encoded)
            .map_err(|_| KeyRefusal::Unreadable)?;
        check(kind, &blob)?;
        let line = format!("{kind} {encoded} {comment}");
        Ok(Self {
            text: line.trim_end().to_owned(),
            comment: comment.to_owned(),
            blob,
        })
    }

    /// As Heroku shows it: `17:63:a4:…`.
    pub(super) fn md5(&self) -> String {
        let digest = md5::compute(&self.blob);
        let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        pairs.join(":")
    }

    /// As OpenSSH shows it: `SHA256:…`.
    pub(super) fn sha256(&self) -> String {
        let digest = STANDARD_NO_PAD.encode(Sha256::digest(&self.blob));
        format!("SHA256:{digest}")
    }
}

/// RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4; the `sk-` types as OpenSSH's PROTOCOL.u2f has them.
fn check(kind: &str, blob: &[u8]) -> Result<(), KeyRefusal> {
    let mut fields = Fields(blob);
    if fields.next() != Some(kind.as_bytes()) {
        return Err(KeyRefusal::Unreadable);
    }
    let fits = match kind {
        "ssh-ed25519" => fields.has_point(ED25519_BYTES),
        "sk-ssh-ed25519@openssh.com" => fields.has_point(ED25519_BYTES) && fields.next().is_some(),
        "ssh-rsa" => {
            let bits = rsa_bits(&mut fields).ok_or(KeyRefusal::Unreadable)?;
            if bits < LEAST_RSA_BITS {
                return Err(KeyRefusal::Weak(bits));
            }
            bits <= MOST_RSA_BITS
        }
        "ecdsa-sha2-nistp256" => fields.has_curve_point(b"nistp256", 65),
        "ecdsa-sha2-nistp384" => fields.has_curve_point(b"nistp384", 97),
        "ecdsa-sha2-nistp521" => fields.has_curve_point(b"nistp521", 133),
        "sk-ecdsa-sha2-nistp256@openssh.com" => {
            fields.has_curve_point(b"nistp256", 65) && fields.next().is_some()
        }
        other => return Err(KeyRefusal::Unsupported(other.to_owned())),
    };
    if fits && fields.0.is_empty() {
        Ok(())
    } else {
        Err(KeyRefusal::Unreadable)
    }
}

/// The modulus' length; the exponent comes before it.
fn rsa_bits(fields: &mut Fields<'_>) -> Option<usize> {
    let exponent = fields.next()?;
    let modulus = fields.next()?;
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let first = modulus.first().filter(|byte| **byte > 0)?;
    let unused = usize::try_from(first.leading_zeros()).ok()?;
    (!exponent.is_empty()).then_some(modulus.len() * 8 - unused)
}

/// Strings with their length before them (RFC 4251 §5).
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn has_point(&mut self, length: usize) -> bool {
        self.next().is_some_and(|point| point.len() == length)
    }

    fn has_curve_point(&mut self, curve: &[u8], length: usize) -> bool {
        let is_curve = self.next() == Some(curve);
        let is_uncompressed = |point: &[u8]| point.len() == length && point.first() == Some(&4);
        is_curve && self.next().is_some_and(is_uncompressed)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOIpYl+vWjD3P7RQRl7bNDewkMrAGPFcIdocmC2iJ2fy";
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCfP0lG1TRGREHFCS40w34N+gy4dYzL2emzrD13oBp3l+JFXV6sOgntYh/CQbevvamHlJ1JNuUHBEjavBKUHKx61vin2KYvFD5NfbXBOGnHXFoid80UqFhRL41LTPXHblqlB7hVp+tp+soniPxl+chVfrWStX9LPokwNmAUQ2PYeg7KOVonokY1twsRTXp1zVxPDcq/xeA9qFScIp/ShRzUHCWA5o6fLOHYS0Uzas+gregXvbrun8eC4T3r9Y/mnXGN3H3RrTKODqtzgN6g965VPgiuBy66K3GnmyH80Btr/5iPcpnZXLOwYpG5H0UaXRkCeC6lkUjnJp1Kz29DfRet";
    const WEAK: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCmkHe0bcKa3Phqgt5Wxo8YJyRZtG6LukMxj6IprGqf2/Smlo3qiCY5WHc479Qd6oOitkCz6iWDAxLSTW+2JCyu+1ffc7jOUoePpYUhWkT0HB/0Q0IpEffZzHz/WcW783dhKbO3rWK0FBSZmKVw4HmHrBNW62vKAnHbHnCkj7VXPw==";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBB3+LK29t4zEbi21Xtb5ZT2NVB91yvv/sjr8AwMVsDEIR+tmp4YkkjtJtSFsaSnF+lw/CzQdcUKxOFaBn+amLOE=";

    fn check(text: &str, expected: &Result<&str, KeyRefusal>) {
        let parsed = PublicKey::parse(text);
        let parsed = parsed.as_ref().map(|key| key.comment.as_str());
        assert_eq!(
            &parsed.map_err(ToString::to_string),
            &expected
                .as_ref()
                .map(|text| *text)
                .map_err(ToString::to_string),
            "{text}"
        );
    }

    #[test]
    fn keys_as_openssh_writes_them() {
        check(&format!("{ED25519} a@b"), &Ok("a@b"));
        check(&format!("  {ED25519}   my laptop \r\n"), &Ok("my laptop"));
        check(ED25519, &Ok(""));
        check(&format!("{RSA} rsa"), &Ok("rsa"));
        check(ECDSA, &Ok(""));
        check(WEAK, &Err(KeyRefusal::Weak(1024)));
    }

    #[test]
    fn what_is_no_key() {
        let (kind, encoded) = ED25519.split_once(' ').unwrap();
        let longer = STANDARD.encode([&STANDARD.decode(encoded).unwrap()[..], &[0]].concat());
        for text in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 !",
            &format!("ssh-rsa {encoded}"),
            &format!("{kind} {longer}"),
            &format!("{kind} AAAA"),
            &format!("{ED25519}\n{ED25519}"),
        ] {
            check(text, &Err(KeyRefusal::Unreadable));
        }
        let dsa = STANDARD.encode(b"\0\0\0\x07ssh-dss");
        let refusal = KeyRefusal::Unsupported("ssh-dss".to_owned());
        check(&format!("ssh-dss {dsa}"), &Err(refusal));
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl";
        check(private, &Err(KeyRefusal::Private));
    }

    #[test]
    fn fingerprints_are_those_that_ssh_keygen_prints() {
        let key = PublicKey::parse(ED25519).unwrap();
        assert_eq!(key.md5(), "23:dc:d3:3f:cc:c1:a5:12:ba:5a:ce:c4:34:71:e1:c7");
        assert_eq!(
            key.sha256(),
            "SHA256:4mjlGsWv5h0KMvrEB51YRnr7y3vaWBMKJSpb7Xe03Ps"
        );
    }
}
