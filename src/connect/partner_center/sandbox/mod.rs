//! Emulates partner_center on loopback.
