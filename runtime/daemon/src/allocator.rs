//! Columns are built by some threads and dropped by others, in bulk. Measured in tests/bench beside mimalloc, which
//! costs the same CPU and holds half as much memory again: what one thread gave back, another one did not find.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;
