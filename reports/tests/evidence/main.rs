//! Evidence as an attacker meets it, and what is made of it.

mod stand;

mod figures;
mod growth;
mod tampering;
mod views;
