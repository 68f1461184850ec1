//! What the configuration promises to whoever writes it.

mod common;
mod examples;
mod mistakes;
mod pinning;
