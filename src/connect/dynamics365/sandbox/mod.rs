//! Emulates dynamics365 on loopback.
