//! Tests over real HTTP.
