use std::fs;

/// Linux counts a process's CPU time in hundredths of a second on every architecture that we build for.
const TICKS_PER_S: f64 = 100.0;

/// What a process has used so far, all its threads together.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub cpu_s: f64,
    pub peak_mb: f64,
}

/// # Panics
/// If the process is gone: what it used is gone with it.
pub fn usage(pid: u32) -> Usage {
    let read = |file: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}"));
        text.unwrap_or_else(|error| panic!("process {pid} died while it was measured: {error}"))
    };
    let (stat, status) = (read("stat"), read("status"));
    usage_of(&stat, &status).unwrap_or_else(|| panic!("process {pid} died while it was measured"))
}

/// What it holds in memory now.
///
/// # Panics
/// If the process is gone.
pub fn resident_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let resident = kilobytes(&status, "VmRSS:").unwrap_or_else(|| panic!("process {pid} died while it was measured"));
    resident / 1024.0
}

fn kilobytes(status: &str, field: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().trim_end_matches(" kB").parse().ok()
}

fn usage_of(stat: &str, status: &str) -> Option<Usage> {
    // The name in parentheses may hold spaces; user and system time are fields 14 and 15, the state is field 3.
    let after_name = stat.rsplit_once(") ")?.1;
    let mut times = after_name.split(' ').skip(11).map_while(|field| field.parse::<f64>().ok());
    let ticks = times.next()? + times.next()?;
    Some(Usage { cpu_s: ticks / TICKS_PER_S, peak_mb: kilobytes(status, "VmHWM:")? / 1024.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "12 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        let usage = usage_of(stat, "Name:\tx\nVmHWM:\t   2048 kB\n").expect("well-formed");
        assert_eq!((usage.cpu_s, usage.peak_mb), (3.0, 2.0));
        assert!(usage_of(stat, "Name:\tx\n").is_none(), "a zombie has no memory");
    }
}
