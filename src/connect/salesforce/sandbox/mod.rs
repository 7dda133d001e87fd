//! Emulates salesforce on loopback.
