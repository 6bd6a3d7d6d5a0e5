//! Who connects where.

use std::net::SocketAddr;

/// A password. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    /// What it is; for whoever has to send it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A user of a database on a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// The server, as reached from here.
    pub addr: SocketAddr,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// The database.
    pub database: String,
}

/// A text as a literal of SQL, where no parameter can be.
pub(super) fn literal(text: &str) -> String {
    // `standard_conforming_strings` is on: a backslash is a backslash.
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as SQL quotes it.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled_and_passwords_hidden() {
        assert_eq!(literal(r"it's \ "), r"'it''s \ '");
        assert_eq!(ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }
}
