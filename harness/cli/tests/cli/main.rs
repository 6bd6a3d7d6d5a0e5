//! The program as its users meet it.

mod contract;
mod desk;
mod local;
mod sessions;
