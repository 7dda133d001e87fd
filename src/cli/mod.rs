//! The command line: one file for each subcommand. Parses, calls, prints.

#[cfg(feature = "sandbox")]
pub mod demo;
#[cfg(feature = "sandbox")]
pub mod sandbox;
