//! The program as its users meet it.

mod bench;
mod contract;
mod desk;
mod ends;
mod evidence;
mod flaws;
mod index_files;
mod local;
mod manual;
mod negative;
mod own;
mod own_fault;
mod sessions;
mod signers;
