use crate::{
    connector::{self, ConnectorConfig},
    limits,
    merchant::{Checks, Made, Origin, merchant},
    problem::{Problem, Problems, Report},
    reference,
    section::Section,
    stamp::{Stamp, content_hash},
    template::Template,
    yaml::{Node, Tree},
};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

/// One file that the worker's `config` names, as it was read.
pub struct Source {
    pub stamp: Stamp,
    pub hash: u128,
    /// The list of a template.
    pub list: Option<Box<List>>,
    pub content: Content,
}

pub struct List {
    pub path: PathBuf,
    pub stamp: Stamp,
    pub hash: u128,
}

pub enum Content {
    Connector(Result<Box<ConnectorConfig>, Problems>),
    Merchants(Made),
    /// It can't be told whether it is a connector's or a merchant's.
    Unclear(Vec<Problem>),
}

impl Content {
    /// The same file would come to the same again.
    fn stays(&self) -> bool {
        match self {
            Content::Connector(connector) => connector.is_ok(),
            Content::Merchants(made) => !made.unanswered,
            Content::Unclear(_) => false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Connector,
    Merchant,
    Merchants,
    Template,
    Unclear,
}

/// Reads one file; none if there is no such file any more.
pub fn read(path: &Path, checks: &Checks<'_>) -> Option<Source> {
    let name = path.display().to_string();
    let (stamp, bytes) = match read_bytes(path, limits::FILE_BYTES_MAX) {
        Err(Unread::Gone) => return None,
        Err(Unread::Wrong(problem)) => {
            let content = Content::Unclear(vec![problem.in_file(name)]);
            return Some(Source { stamp: Stamp::default(), hash: 0, list: None, content });
        }
        Ok(read) => read,
    };
    let hash = content_hash(&bytes);
    let (list, content) = match str::from_utf8(&bytes) {
        Ok(text) => check(path, &name, text, checks),
        Err(error) => {
            let message = format!("the file is not UTF-8 at its byte {}", error.valid_up_to() + 1);
            let wrong = Problem::new(message).in_file(name.as_str());
            (None, refused(kind_of_text(&String::from_utf8_lossy(&bytes)), vec![wrong]))
        }
    };
    Some(Source { stamp, hash, list, content })
}

pub enum Unread {
    Gone,
    Wrong(Problem),
}

pub fn read_bytes(path: &Path, max: u64) -> Result<(Stamp, Vec<u8>), Unread> {
    let wrong = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Unread::Gone,
        _ => Unread::Wrong(Problem::new(format!("the file can't be read: {error}"))),
    };
    let file = File::open(path).map_err(wrong)?;
    let stamp = Stamp::of(&file.metadata().map_err(wrong)?);
    let mut bytes = Vec::with_capacity(stamp.length.min(max) as usize);
    file.take(max + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > max {
        let problem = Problem::new(format!("the file has more than {max} bytes"));
        return Err(Unread::Wrong(problem.allowed(format!("at most {max} bytes"))));
    }
    Ok((stamp, bytes))
}

fn check(path: &Path, name: &str, text: &str, checks: &Checks<'_>) -> (Option<Box<List>>, Content) {
    let report = Report::new(name, text);
    let Some(node) = Node::parse(text, &report) else {
        return (None, refused(kind_of_text(text), report.into_problems()));
    };
    let origin = Origin { file: name.into(), list: None, line: None };
    match kind_of(&node) {
        Kind::Connector => {
            reference::all_resolve(&report, &node, checks.environment);
            let connector = connector::check(&report, &node, checks.sinks).map(Box::new);
            (None, Content::Connector(report.finish(connector)))
        }
        Kind::Template => from_template(report, path, &node, checks, &origin.file),
        Kind::Merchants => (None, Content::Merchants(several(report, &node, checks, &origin))),
        Kind::Merchant => (None, Content::Merchants(one(report, &node, checks, &origin))),
        Kind::Unclear => {
            let problem = Problem::new("this is neither a connector's nor a merchant's file");
            let allowed = "a key `connector`, `merchant`, `merchants` or `template` at the top";
            report.note(node.at, problem.allowed(allowed));
            (None, Content::Unclear(report.into_problems()))
        }
    }
}

fn kind_of(node: &Node) -> Kind {
    let has = |key: &str| node.field(key).is_some();
    match () {
        _ if has("connector") => Kind::Connector,
        _ if has("template") => Kind::Template,
        _ if has("merchants") => Kind::Merchants,
        _ if has("deliver") || (has("merchant") && !has("topics") && !has("model")) => Kind::Merchant,
        _ if connector::KEYS.iter().any(|key| has(key)) => Kind::Connector,
        _ => Kind::Unclear,
    }
}

/// Of what is no YAML: by the first key that stands at the beginning of a line.
fn kind_of_text(text: &str) -> Kind {
    let begins = |line: &str| match line.split(':').next() {
        Some("connector" | "topics") => Some(Kind::Connector),
        Some("merchant" | "merchants" | "template" | "deliver") => Some(Kind::Merchant),
        _ => None,
    };
    text.lines().find_map(begins).unwrap_or(Kind::Unclear)
}

fn refused(kind: Kind, problems: Vec<Problem>) -> Content {
    match kind {
        Kind::Connector => Content::Connector(Err(Problems(problems))),
        Kind::Unclear => Content::Unclear(problems),
        _ => Content::Merchants(Made { problems, ..Made::default() }),
    }
}

fn one(report: Report<'_>, node: &Node, checks: &Checks<'_>, origin: &Origin) -> Made {
    let entry = merchant(&report, "", node, checks, origin);
    let mut made = Made { problems: report.into_problems(), unanswered: !entry.resolved, ..Made::default() };
    match entry.config {
        Some(config) if made.problems.is_empty() => made.merchants.push(Arc::new(config)),
        _ => made.refused.extend(entry.id),
    }
    made
}

/// What is wrong with an entry refuses it alone; what is wrong around the entries refuses them all.
fn several(report: Report<'_>, node: &Node, checks: &Checks<'_>, origin: &Origin) -> Made {
    let mut made = Made::default();
    let section = Section::new(&report, "", node, &["merchants"]);
    let list = section.and_then(|section| {
        let node = section.require("merchants", "write `merchants: [ { merchant: …, deliver: [ … ] } ]`")?;
        if !matches!(node.tree, Tree::List(_)) {
            section.wrong(node, "merchants", "a list", "write `merchants: [ { merchant: …, deliver: [ … ] } ]`");
        }
        Some(node)
    });
    let all_refused = report.count() > 0;
    let Some(Tree::List(items)) = list.map(|node| &node.tree) else {
        return Made { problems: report.into_problems(), ..made };
    };
    for (index, item) in items.iter().enumerate() {
        let noted = report.count();
        let entry = merchant(&report, &format!("merchants[{index}]"), item, checks, origin);
        made.unanswered |= !entry.resolved;
        match entry.config {
            Some(config) if !all_refused && report.count() == noted => made.merchants.push(Arc::new(config)),
            _ => made.refused.extend(entry.id),
        }
    }
    Made { problems: report.into_problems(), ..made }
}

fn from_template(
    report: Report<'_>,
    path: &Path,
    node: &Node,
    checks: &Checks<'_>,
    file: &Arc<str>,
) -> (Option<Box<List>>, Content) {
    let mut made = Made::default();
    let mut list = None;
    if let Some(template) = Template::read(&report, path, node) {
        match read_bytes(&template.list, limits::LIST_BYTES_MAX) {
            Ok((stamp, bytes)) => {
                if report.count() == 0 {
                    made = template.fill(&bytes, checks, file);
                }
                list = Some(Box::new(List { path: template.list.clone(), stamp, hash: content_hash(&bytes) }));
            }
            Err(unread) => {
                made.unanswered = true;
                template.list_is_wrong(match unread {
                    Unread::Gone => Problem::new("there is no such list").hint("its path is relative to this file"),
                    Unread::Wrong(problem) => problem,
                });
            }
        }
    }
    made.problems.splice(0..0, report.into_problems());
    (list, Content::Merchants(made))
}

/// Is the file as it was, and the list that it names?
pub fn is_unchanged(source: &Source, path: &Path) -> bool {
    let same = |stamp: &Stamp, path: &Path| fs::metadata(path).is_ok_and(|found| stamp.is_of(&found));
    source.content.stays()
        && same(&source.stamp, path)
        && source.list.as_ref().is_none_or(|list| same(&list.stamp, &list.path))
}
