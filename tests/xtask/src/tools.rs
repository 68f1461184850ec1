use std::process::{Command, Stdio};

struct Tool {
    name: &'static str,
    /// Shows that it is there and usable.
    proof: &'static [&'static str],
    why: &'static str,
    /// Debian's package.
    package: &'static str,
}

const fn tool(name: &'static str, proof: &'static [&'static str], why: &'static str, package: &'static str) -> Tool {
    Tool { name, proof, why, package }
}

const BUILD: [Tool; 3] = [
    tool("cc", &["--version"], "compiles librdkafka and OpenSSL", "gcc"),
    tool("make", &["--version"], "compiles librdkafka and OpenSSL", "make"),
    tool("perl", &["--version"], "configures OpenSSL", "perl"),
];

const SERVERS: [Tool; 6] = [
    tool("java", &["-version"], "runs Kafka; version 17 or newer", "default-jdk-headless"),
    tool("keytool", &["-help"], "makes the broker's certificate", "default-jdk-headless"),
    tool("mvn", &["--version"], "fetches Kafka", "maven"),
    tool("go", &["version"], "builds the S3 server of the tests; version 1.24 or newer", "golang-go"),
    tool("npm", &["--version"], "fetches the Azure server of the tests", "npm"),
    tool("python3", &["-c", "import venv, ensurepip"], "runs DuckDB, the independent reader", "python3-venv"),
];

/// Says what is missing, all at once, and how to get it.
pub fn missing(not_needed: &[&str]) -> Option<String> {
    let needed = BUILD.iter().chain(&SERVERS).filter(|tool| !not_needed.contains(&tool.name));
    let missing: Vec<&Tool> = needed.filter(|tool| !is_usable(tool)).collect();
    if missing.is_empty() {
        return None;
    }
    let lines: Vec<String> = missing.iter().map(|tool| format!("  {:8} {}", tool.name, tool.why)).collect();
    let mut packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    packages.dedup();
    Some(format!(
        "missing on this machine:\n{}\nOn Debian or Ubuntu: sudo apt-get install {}",
        lines.join("\n"),
        packages.join(" ")
    ))
}

fn is_usable(tool: &Tool) -> bool {
    let command = &mut Command::new(tool.name);
    let quiet = command.args(tool.proof).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_not_there_is_not_usable() {
        assert!(!is_usable(&tool("no-such-program-anywhere", &["--version"], "", "")));
        assert!(is_usable(&tool("cargo", &["--version"], "", "")));
    }
}
