//! The program as its users meet it.

mod contract;
mod desk;
mod flaws;
mod local;
mod negative;
mod sessions;
