//! Files of every format: sound ones are read, all others are refused with file, place and remedy.

mod formats;
mod garbage;
mod made;
mod refused;
