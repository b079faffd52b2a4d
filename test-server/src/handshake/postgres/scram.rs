//! SCRAM-SHA-256 (RFC 7677): a client proves that it knows its password, without sending it.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

/// The method's name in a list of methods.
pub(super) const NAME: &[u8] = b"SCRAM-SHA-256";

/// The client's side of one login.
pub(super) struct Scram {
    password: String,
    /// The first message without its header. PostgreSQL has the user's name already.
    first: String,
}

impl Scram {
    pub(super) fn new(password: &str) -> Self {
        // It need not be secret, only another one each time.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let nonce = now.unwrap_or_default().as_nanos();
        Self {
            password: password.to_owned(),
            first: format!("n=,r={nonce}"),
        }
    }

    /// The client's first message, without channel binding.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first)
    }

    /// The client's last message, which answers the server's first one; `None` if that is invalid.
    pub(super) fn last(&self, server_first: &str) -> Option<String> {
        let field = |name: &str| {
            let mut fields = server_first.split(',');
            fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let salt = BASE64.decode(field("s")?.as_bytes()).ok()?;
        let salted = pbkdf2(self.password.as_bytes(), &salt, field("i")?.parse().ok()?);

        // `biws` is the header `n,,`.
        let unproved = format!("c=biws,r={}", field("r")?);
        let exchanged = format!("{},{server_first},{unproved}", self.first);
        let key = hmac(&salted, b"Client Key");
        let signature = hmac(&Sha256::digest(key), exchanged.as_bytes());
        Some(format!(
            "{unproved},p={}",
            BASE64.encode(&xor(key, signature))
        ))
    }
}

/// PBKDF2 (RFC 8018) with HMAC-SHA-256, of one block.
fn pbkdf2(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let mut round = hmac(password, &[salt, &[0, 0, 0, 1]].concat());
    let mut sum = round;
    for _ in 1..rounds {
        round = hmac(password, &round);
        sum = xor(sum, round);
    }
    sum
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    match block.get_mut(..key.len()) {
        Some(start) => start.copy_from_slice(key),
        None => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let hash = |pad: u8, text: &[u8]| {
        let key = block.map(|byte| byte ^ pad);
        Sha256::new()
            .chain_update(key)
            .chain_update(text)
            .finalize()
    };
    hash(0x5c, &hash(0x36, text)).into()
}

fn xor(mut a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn proof_is_that_of_the_standard() {
        let scram = Scram {
            password: "pencil".to_owned(),
            first: "n=user,r=rOprNGfwEbeRWgbNEkqO".to_owned(),
        };
        let server_first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = scram.last(server_first).expect("the client's last message");
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(scram.last("e=other-error"), None);
    }
}
