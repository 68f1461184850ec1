//! Columns are built and dropped in bulk by many threads: measured against the system's allocator in tests/bench.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay` of mimalloc's list of options.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Pages that are free for a moment stay ours: the next batch takes them again, and fresh pages, which the kernel has
/// to clear, cost more than a quarter of all CPU otherwise. What we hold is bounded by the memory budget.
#[allow(unsafe_code)]
pub fn keep_pages() {
    // SAFETY: writes a number into the allocator's table of options, before any other thread is started.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}
