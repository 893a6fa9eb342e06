//! What we tell a server to show who we are: looked up anew for each connection, so that a file may change.

use async_nats::{Auth, AuthError};
use nkeys::KeyPair;

use crate::config::Login;

/// The answer to a server's challenge.
pub(crate) fn answer(login: &Login, challenge: &[u8]) -> Result<Auth, AuthError> {
    let mut auth = Auth::new();
    match login {
        Login::Nobody => {}
        Login::User { name, password } => {
            auth.username = Some(name.clone());
            auth.password = Some(password.clone());
        }
        Login::Token(token) => auth.token = Some(token.clone()),
        Login::Nkey(path) => {
            let text = read(path)?;
            let pair = KeyPair::from_seed(text.trim()).map_err(|e| no_seed(&e))?;
            auth.signature = Some(pair.sign(challenge).map_err(|e| no_seed(&e))?);
            auth.nkey = Some(pair.public_key());
        }
        Login::Credentials(path) => {
            let text = read(path)?;
            let (jwt, seed) = parts(&text)
                .ok_or_else(|| AuthError::new(format!("{path:?} is no credentials file")))?;
            let pair = KeyPair::from_seed(seed).map_err(|e| no_seed(&e))?;
            auth.signature = Some(pair.sign(challenge).map_err(|e| no_seed(&e))?);
            auth.jwt = Some(jwt.to_owned());
        }
    }
    Ok(auth)
}

/// Whether the files that it names can be used, which is better said at the start than by a server.
pub(crate) fn check(login: &Login) -> Result<(), String> {
    answer(login, b"a challenge")
        .map(drop)
        .map_err(|e| e.to_string())
}

fn read(path: &std::path::Path) -> Result<String, AuthError> {
    std::fs::read_to_string(path)
        .map_err(|e| AuthError::new(format!("{path:?} cannot be read: {e}")))
}

fn no_seed(error: &impl ToString) -> AuthError {
    AuthError::new(format!("the seed is none: {}", error.to_string()))
}

/// The JWT and the seed between the lines of hyphens.
fn parts(text: &str) -> Option<(&str, &str)> {
    let is_fence = |line: &str| line.starts_with("---");
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if is_fence(line) && line.contains("BEGIN") {
            found.push(lines.next_if(|line| !is_fence(line))?);
        }
    }
    match found[..] {
        [jwt, seed] => Some((jwt, seed)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credentials_file_has_two_parts() {
        let text = "-----BEGIN NATS USER JWT-----\neyJ0.eX.A\n------END NATS USER JWT------\n\n\
                    *** IMPORTANT ***\n-----BEGIN USER NKEY SEED-----\nSUAIO3\n\
                    ------END USER NKEY SEED------\n";
        assert_eq!(parts(text), Some(("eyJ0.eX.A", "SUAIO3")));
        assert_eq!(parts("SUAIO3"), None);
    }

    #[test]
    fn a_challenge_is_signed_with_the_seed_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user.nk");
        let pair = KeyPair::new_user();
        std::fs::write(&path, pair.seed().unwrap() + "\n").unwrap();
        let auth = answer(&Login::Nkey(path), b"prove it").unwrap();
        assert_eq!(auth.nkey, Some(pair.public_key()));
        pair.verify(b"prove it", &auth.signature.unwrap()).unwrap();
        let missing = check(&Login::Credentials(folder.path().join("none"))).unwrap_err();
        assert!(missing.contains("cannot be read"), "{missing}");
    }
}
