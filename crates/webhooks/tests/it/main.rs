//! Every provider against the calls and signatures of the corpus, and against what nobody should send.

mod generic;
mod hostile;
mod payloads;
mod resplit;
mod support;
mod traps;
mod vectors;
