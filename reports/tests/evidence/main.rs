//! Evidence as an attacker meets it, and what is made of it.

mod levels;
mod stand;

mod attested;
mod figures;
mod growth;
mod tampering;
mod views;
