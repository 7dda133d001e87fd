//! What the three emulators share: serving on loopback, a clock that is moved by hand, and faults
//! on demand.

mod clock;
mod fault;
mod serve;

pub use clock::SandboxClock;
pub use fault::{Fault, FaultEffect, Faults};
pub use serve::{Serving, serve};
