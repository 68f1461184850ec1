use crate::cache_folder;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// Jars of the coordinates (`group:artifact:version`) and all that they need, fetched once per machine into
/// `cache/name`; processes that ask at the same time wait for the first one.
///
/// # Panics
/// If Maven is missing or cannot fetch them.
pub fn maven_jars(name: &str, coordinates: &[&str]) -> PathBuf {
    let (cache, wanted) = (cache_folder(), coordinates.join("\n"));
    let lock = File::create(cache.join(format!("{name}.lock"))).expect("the cache folder can be written");
    lock.lock().expect("a lock file can be locked");
    let folder = cache.join(name);
    if fs::read_to_string(folder.join("coordinates")).is_ok_and(|found| found == wanted) {
        return folder;
    }
    let fresh = cache.join(format!("{name}.partial"));
    for old in [&folder, &fresh] {
        let _ = fs::remove_dir_all(old);
    }
    fs::create_dir_all(&fresh).expect("the cache folder can be written");
    fs::write(fresh.join("pom.xml"), pom(name, coordinates)).expect("the cache folder can be written");
    fetch(&fresh);
    fs::write(fresh.join("coordinates"), wanted).expect("the cache folder can be written");
    fs::rename(&fresh, &folder).expect("the old folder is gone");
    folder
}

/// Runs a Java program of one file beside these jars, and answers what it prints.
///
/// # Panics
/// If it fails, with what it printed.
pub fn java(name: &str, coordinates: &[&str], file: &str, program: &str, args: &[&str]) -> String {
    let jars = format!("{}/*", maven_jars(name, coordinates).display());
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let source = folder.path().join(file);
    fs::write(&source, program).expect("a temporary folder can be written");
    let output =
        Command::new("java").args(["-cp", &jars]).arg(source).args(args).output().expect("a JDK 17 is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{file} failed: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn fetch(folder: &Path) {
    let output = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=."])
        .current_dir(folder)
        .output()
        .expect("mvn starts: it comes with the system package `maven`");
    assert!(output.status.success(), "mvn failed: {}", String::from_utf8_lossy(&output.stdout));
}

fn pom(name: &str, coordinates: &[&str]) -> String {
    let dependency = |coordinate: &&str| {
        let mut parts = coordinate.split(':');
        let mut tag = |tag: &str| format!("<{tag}>{}</{tag}>", parts.next().expect("group:artifact:version"));
        format!("<dependency>{}{}{}</dependency>", tag("groupId"), tag("artifactId"), tag("version"))
    };
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>rig</groupId><artifactId>{name}</artifactId>\
         <version>1</version><packaging>pom</packaging><dependencies>{}</dependencies></project>",
        coordinates.iter().map(dependency).collect::<String>()
    )
}
