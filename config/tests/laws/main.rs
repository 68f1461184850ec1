//! What the configuration promises to whoever writes it.

mod common;
mod examples;
mod flat;
mod lists;
mod many;
mod merchants;
mod mistakes;
mod pinning;
mod reload;
mod routing;
