use crate::{Kind, Package, SourceFile, Violation, Workspace};

const API: &str = "outflow-api";
const FORMATS: &str = "outflow-formats";

/// What the manifests say.
pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let ours: Vec<&str> = workspace.packages.iter().map(|package| package.name.as_str()).collect();
    let connectors: Vec<&str> =
        workspace.packages.iter().filter(|p| p.is_connector()).map(|p| p.name.as_str()).collect();
    let mut violations = Vec::new();
    for package in &workspace.packages {
        for (dependency, kind) in &package.dependencies {
            let broken = broken_rule(package, dependency, *kind, &ours, &connectors);
            violations.extend(broken.map(|(rule, reason)| {
                let rule = format!("{} depends on {dependency}: {rule}", package.folder);
                Violation::new(&package.manifest_path(), package.line_of(dependency), rule, reason)
            }));
        }
    }
    violations
}

fn broken_rule(
    package: &Package,
    dependency: &str,
    kind: Kind,
    ours: &[&str],
    connectors: &[&str],
) -> Option<(&'static str, &'static str)> {
    let is_ours = ours.contains(&dependency);
    let product = kind != Kind::Dev && !package.is_test();
    if dependency.starts_with("rdkafka") && package.folder != "runtime/kafka" && !package.is_test() {
        return Some(("only runtime/kafka and tests name rdkafka", "what Kafka's client does is checked in one place"));
    }
    if connectors.contains(&dependency) && package.folder != "connectors/registry" && product {
        return Some((
            "only connectors/registry and tests name connectors",
            "a new sink touches its own folder and one line of the registry",
        ));
    }
    if product && is_ours && dependency_is_a_test(dependency) {
        return Some(("the product does not depend on its tests", "what only tests need is not shipped"));
    }
    match package.folder.as_str() {
        "runtime/api" if product && (is_ours || dependency == "tokio") => {
            Some(("api uses neither tokio nor rdkafka nor another crate of ours", "the seams are below everything"))
        }
        "runtime/engine" if product && ![API, "bytes"].contains(&dependency) => Some((
            "engine uses api alone, and `bytes`, of which the seams' values are made",
            "decisions are pure: the simulator must run all that decides",
        )),
        "runtime/journal" | "runtime/formats" | "config" if product && is_ours && dependency != API => {
            Some(("of ours it uses api alone", "encoding and checking are pure and know nothing of who calls them"))
        }
        _ if package.is_connector() && product && is_ours && ![API, FORMATS].contains(&dependency) => Some((
            "a connector uses api, at most formats, and its own client",
            "a sink is understood and replaced alone",
        )),
        _ => None,
    }
}

fn dependency_is_a_test(dependency: &str) -> bool {
    let tests = ["conformance", "simulation", "rig", "e2e", "tidy", "bench"];
    tests.iter().any(|name| dependency == format!("outflow-{name}"))
}

/// What the sources say: a re-export would get around the manifests.
pub fn check_source(package: &Package, source: &SourceFile) -> Vec<Violation> {
    let names_rdkafka = ["rdkafka::", "rdkafka_sys::"].into_iter().flat_map(|word| source.lines_with(word));
    let report = |line| {
        let reason = "what Kafka's client does is checked in one place";
        Violation::new(&source.path, line, "only runtime/kafka and tests name rdkafka", reason)
    };
    if package.folder == "runtime/kafka" || package.is_test() {
        return Vec::new();
    }
    names_rdkafka.map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(folder: &str, dependency: &str, kind: Kind) -> usize {
        let package = |name: &str, folder: &str, dependencies: Vec<(String, Kind)>| Package {
            name: name.to_owned(),
            folder: folder.to_owned(),
            manifest: format!("[dependencies]\n{dependency}.workspace = true\n"),
            dependencies,
        };
        let mut packages: Vec<Package> = [
            (API, "runtime/api"),
            (FORMATS, "runtime/formats"),
            ("outflow-engine", "runtime/engine"),
            ("outflow-object-store", "connectors/object_store"),
            ("outflow-rig", "tests/rig"),
        ]
        .map(|(name, folder)| package(name, folder, Vec::new()))
        .into();
        packages.push(package("outflow-x", folder, vec![(dependency.to_owned(), kind)]));
        let violations = check(&Workspace { root: "".into(), packages });
        assert!(violations.iter().all(|violation| violation.line == 2));
        violations.len()
    }

    #[test]
    fn each_rule_finds_its_breach() {
        assert_eq!(found("runtime/api", "tokio", Kind::Normal), 1);
        assert_eq!(found("runtime/api", "rdkafka", Kind::Normal), 1);
        assert_eq!(found("runtime/engine", "tokio", Kind::Normal), 1);
        assert_eq!(found("runtime/formats", "outflow-engine", Kind::Normal), 1);
        assert_eq!(found("connectors/other", "outflow-engine", Kind::Normal), 1);
        assert_eq!(found("connectors/other", "outflow-object-store", Kind::Normal), 1);
        assert_eq!(found("runtime/driver", "rdkafka-sys", Kind::Normal), 1);
        assert_eq!(found("runtime/daemon", "outflow-object-store", Kind::Normal), 1);
        assert_eq!(found("runtime/daemon", "outflow-rig", Kind::Normal), 1);
    }

    #[test]
    fn what_the_layout_allows_passes() {
        assert_eq!(found("runtime/engine", API, Kind::Normal), 0);
        assert_eq!(found("runtime/engine", "proptest", Kind::Dev), 0);
        assert_eq!(found("connectors/other", FORMATS, Kind::Normal), 0);
        assert_eq!(found("connectors/other", "some-client", Kind::Normal), 0);
        assert_eq!(found("connectors/other", "outflow-rig", Kind::Dev), 0);
        assert_eq!(found("connectors/registry", "outflow-object-store", Kind::Normal), 0);
        assert_eq!(found("runtime/kafka", "rdkafka", Kind::Normal), 0);
        assert_eq!(found("tests/bench", "rdkafka", Kind::Normal), 0);
    }
}
