//! The vocabulary and pure logic of gameday, and the drill loop.
