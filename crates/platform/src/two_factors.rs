//! Second factors: codes by time (TOTP, RFC 6238: SHA-1, six digits, thirty seconds) and recovery codes.
//!
//! A code is taken once, at the earliest half a minute before and at the latest half a minute after its
//! own; so is each recovery code. Only signing in with the password asks for one: a token was made by
//! somebody who had shown theirs.

use api::{clock::Time, ids::AccountId};
use rand::RngCore;
use ring::hmac;
use store::{StoreError, hash_token};

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
};

const SECRET_BYTES: usize = 20;
const STEP_SECONDS: i64 = 30;
/// Clocks of people differ by so many steps.
const TOLERANCE: u64 = 1;
const RECOVERY_CODES: usize = 10;
/// 80 bits: hashed like a token, nobody finds one by trying.
const RECOVERY_CODE_BYTES: usize = 10;

/// What somebody tells their authenticator.
#[derive(Clone)]
pub struct NewTwoFactor {
    /// The secret in base 32.
    pub secret: String,
    /// The same as the address that a QR code holds.
    pub otpauth_url: String,
}

/// How an account's second factor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwoFactorState {
    /// Whether it is asked for.
    pub is_enabled: bool,
    /// How many recovery codes are left.
    pub recovery_codes_left: u64,
}

impl Platform {
    /// How the caller's second factor stands.
    pub async fn two_factor_state(&self, caller: &Caller) -> Result<TwoFactorState> {
        let account = self.store.account(caller.account).await?;
        Ok(TwoFactorState {
            is_enabled: account.has_two_factor,
            recovery_codes_left: self.store.recovery_codes_left(account.id).await?,
        })
    }

    /// Makes a secret; nothing is asked for before a code of it was shown.
    ///
    /// # Errors
    /// `Invalid` when there is a second factor already.
    pub async fn begin_two_factor(&self, caller: &Caller) -> Result<NewTwoFactor> {
        let mut bytes = [0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let secret = base32(&bytes);
        let begun = self
            .store
            .begin_two_factor(&caller.change(), caller.account, &secret)
            .await;
        match begun {
            Err(StoreError::Stale { .. }) => Err(Error::Invalid {
                message: "There is a second factor already; disable it first.".to_owned(),
            }),
            begun => {
                begun?;
                let label = caller.email.replace('@', "%40");
                Ok(NewTwoFactor {
                    otpauth_url: format!(
                        "otpauth://totp/Landfall:{label}?secret={secret}&issuer=Landfall"
                    ),
                    secret,
                })
            }
        }
    }

    /// Shows that the authenticator knows the secret: from now on a code is asked for. The recovery
    /// codes are told once.
    pub async fn confirm_two_factor(&self, caller: &Caller, code: &str) -> Result<Vec<String>> {
        let known = self.store.two_factor(caller.account).await?;
        if known.is_none_or(|factor| factor.confirmed_at.is_some()) {
            return Err(Error::Invalid {
                message: "There is no second factor to confirm.".to_owned(),
            });
        }
        self.check_code(caller, code).await?;
        let (codes, hashes) = new_recovery_codes();
        self.store
            .confirm_two_factor(&caller.change(), caller.account, &hashes)
            .await?;
        Ok(codes)
    }

    /// New recovery codes, told once; those before are void.
    pub async fn renew_recovery_codes(&self, caller: &Caller, code: &str) -> Result<Vec<String>> {
        self.check_two_factor(caller, code).await?;
        let (codes, hashes) = new_recovery_codes();
        self.store
            .replace_recovery_codes(&caller.change(), caller.account, &hashes)
            .await?;
        Ok(codes)
    }

    /// Asks for no second factor any more; a code of it is needed.
    pub async fn disable_two_factor(&self, caller: &Caller, code: &str) -> Result<()> {
        self.check_two_factor(caller, code).await?;
        self.drop_two_factor(caller, caller.account).await
    }

    /// Asks an account for no second factor any more: the operator's way for who has lost theirs.
    pub async fn drop_two_factor(&self, caller: &Caller, account: AccountId) -> Result<()> {
        Ok(self
            .store
            .delete_two_factor(&caller.change(), account)
            .await?)
    }

    /// Takes a code or a recovery code of the caller's.
    ///
    /// # Errors
    /// `Invalid` for one that is wrong or was taken before.
    pub async fn check_two_factor(&self, caller: &Caller, code: &str) -> Result<()> {
        if self.check_code(caller, code).await.is_ok() {
            return Ok(());
        }
        let hash = hash_token(&tidied(code));
        let is_taken = self
            .store
            .take_recovery_code(&caller.change(), caller.account, &hash)
            .await?;
        if is_taken { Ok(()) } else { Err(wrong()) }
    }

    async fn check_code(&self, caller: &Caller, code: &str) -> Result<()> {
        let factor = self.store.two_factor(caller.account).await?;
        let factor = factor.ok_or_else(wrong)?;
        let step = fitting_step(&factor.secret, &tidied(code), self.clock.now());
        let step = step.ok_or_else(wrong)?;
        let is_new = self
            .store
            .take_step(&caller.change(), caller.account, step)
            .await?;
        if is_new { Ok(()) } else { Err(wrong()) }
    }
}

fn wrong() -> Error {
    Error::Invalid {
        message: "That code is wrong, or was used already.".to_owned(),
    }
}

/// As it was made: people type spaces and dashes, and capitals as they like.
fn tidied(code: &str) -> String {
    let kept = code.chars().filter(char::is_ascii_alphanumeric);
    kept.map(|c| c.to_ascii_uppercase()).collect()
}

fn new_recovery_codes() -> (Vec<String>, Vec<String>) {
    let code = |_| {
        let mut bytes = [0; RECOVERY_CODE_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        base32(&bytes)
    };
    let codes: Vec<String> = (0..RECOVERY_CODES).map(code).collect();
    let hashes = codes.iter().map(|code| hash_token(code)).collect();
    (codes, hashes)
}

/// The step whose code this is, of those near now.
fn fitting_step(secret: &str, code: &str, now: Time) -> Option<u64> {
    let key = unbase32(secret)?;
    let step = u64::try_from(now.as_micros() / 1_000_000 / STEP_SECONDS).ok()?;
    let near = step.saturating_sub(TOLERANCE)..=step + TOLERANCE;
    near.into_iter()
        .find(|step| constant_time_equal(&code_of(&key, *step), code))
}

/// RFC 4226 §5.3.
fn code_of(key: &[u8], step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or_default() & 0x0f);
    let word = bytes
        .iter()
        .skip(offset)
        .take(4)
        .fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

fn constant_time_equal(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && one
            .bytes()
            .zip(other.bytes())
            .fold(0, |differ, (one, other)| differ | (one ^ other))
            == 0
}

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// RFC 4648 without padding, of whole groups of five bytes.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(5) {
        let word = group
            .iter()
            .fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
        for place in (0..8).rev() {
            let index = usize::try_from((word >> (place * 5)) & 31).unwrap_or_default();
            text.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'A')));
        }
    }
    text
}

fn unbase32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(8) {
        let mut word = 0_u64;
        for letter in group {
            let index = ALPHABET.iter().position(|known| known == letter)?;
            word = (word << 5) | u64::try_from(index).ok()?;
        }
        let group = word.to_be_bytes();
        bytes.extend_from_slice(group.get(3..)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B, the last six of its eight digits.
        let secret = base32(b"12345678901234567890");
        assert_eq!(secret, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let at = |seconds: i64| Time::from_micros(seconds * 1_000_000);
            let step = u64::try_from(seconds / STEP_SECONDS).unwrap();
            assert_eq!(
                fitting_step(&secret, code, at(seconds)),
                Some(step),
                "{seconds}"
            );
            assert_eq!(fitting_step(&secret, code, at(seconds + 30)), Some(step));
            assert_eq!(fitting_step(&secret, code, at(seconds + 90)), None);
        }
    }

    #[test]
    fn base_32_goes_both_ways() {
        let bytes: Vec<u8> = (0..40).collect();
        assert_eq!(unbase32(&base32(&bytes)).unwrap(), bytes);
        assert!(unbase32("A1").is_none());
    }

    #[test]
    fn recovery_codes_differ_and_are_typed_as_people_do() {
        let (codes, hashes) = new_recovery_codes();
        let distinct: std::collections::BTreeSet<_> = codes.iter().collect();
        assert_eq!(distinct.len(), RECOVERY_CODES);
        let first = &codes[0];
        let typed = format!("{}-{}", first[..8].to_lowercase(), &first[8..]);
        assert_eq!(hash_token(&tidied(&typed)), hashes[0]);
    }
}
