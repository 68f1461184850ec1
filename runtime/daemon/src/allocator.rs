//! Columns are built by some threads and dropped by others, in bulk. Measured in tests/bench beside mimalloc, which
//! costs the same CPU and holds half as much memory again: what one thread gave back, another one did not find.
//!
//! `.cargo/config.toml` has pages that nobody uses given back after two seconds instead of ten, by a thread that also
//! looks after those who allocate nothing any more: what ten thousand definitions took while they were read would be
//! there still when the first records come.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;
