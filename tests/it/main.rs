//! End-to-end tests: real binaries, real servers, one test binary.

mod arrows;
