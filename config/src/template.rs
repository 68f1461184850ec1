use crate::{
    limits,
    list::{self, ListFormat, Listed},
    merchant::{Checks, Entry, Made, Origin, merchant},
    nearest::nearest,
    problem::{Problem, Report},
    row::{Row, asked},
    section::Section,
    yaml::{Node, Tree},
};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Merchants of which only a list differs: what one file would say for each, with names of the list's columns in it.
pub struct Template<'a> {
    /// The file without its `template`: one merchant, with `${row:NAME}` in it.
    merchant: Node,
    report: &'a Report<'a>,
    pub list: PathBuf,
    format: ListFormat,
    list_at: (usize, usize),
}

const HINT: &str = "name the list, relative to this file: `template: { list: shops.csv }`";
const KEYS: [&str; 3] = ["template", "merchant", "deliver"];

impl<'a> Template<'a> {
    /// `path` is the file's own. Notes what is wrong with it whatever the list says.
    pub fn read(report: &'a Report<'a>, path: &Path, node: &Node) -> Option<Template<'a>> {
        let section = Section::new(report, "", node, &KEYS)?;
        let template = section.section("template", &["list"])?;
        let at = template.require("list", HINT)?;
        let name = template.text("list", |name| match ListFormat::of(name) {
            Some(_) => Ok(()),
            None => Err("a file that ends in .csv or .ndjson".to_owned()),
        })?;
        let Tree::Map(entries) = &node.tree else { return None };
        let kept = entries.iter().filter(|(key, _)| key.name != "template").cloned().collect();
        Some(Template {
            merchant: Node { at: node.at, tree: Tree::Map(kept) },
            report,
            list: path.parent().unwrap_or(Path::new("")).join(&name),
            format: ListFormat::of(&name)?,
            list_at: at.at,
        })
    }

    pub fn list_is_wrong(&self, problem: Problem) {
        self.report.note(self.list_at, problem);
    }

    /// One merchant for each row; what is wrong with a row refuses that row alone.
    pub fn fill(&self, bytes: &[u8], checks: &Checks<'_>, file: &Arc<str>) -> Made {
        let mut filling = Filling::new(self, file);
        list::read(self.format, bytes, &mut |listed| match listed {
            Listed::Names(names) => filling.names(&names),
            Listed::Row(row) => filling.row(&row, checks),
            Listed::Wrong(problem) => filling.refuse(problem),
        });
        filling.end()
    }
}

struct Filling<'a, 'b> {
    template: &'b Template<'a>,
    file: &'b Arc<str>,
    list: Arc<str>,
    made: Made,
    /// Mistakes of the template come again with every row.
    told: HashSet<String>,
    untold: usize,
    ended: bool,
}

impl<'a, 'b> Filling<'a, 'b> {
    fn new(template: &'b Template<'a>, file: &'b Arc<str>) -> Filling<'a, 'b> {
        let list = template.list.display().to_string().into();
        Filling { template, file, list, made: Made::default(), told: HashSet::new(), untold: 0, ended: false }
    }

    fn row(&mut self, row: &Row, checks: &Checks<'_>) {
        if self.ended {
            return;
        }
        if self.made.merchants.len() >= limits::MERCHANTS_MAX {
            let problem = Problem::new("the list has too many merchants").in_line(row.line);
            self.ended = true;
            return self.refuse(problem.allowed(format!("at most {}", limits::MERCHANTS_MAX)));
        }
        let report = self.template.report;
        let noted = report.count();
        let entry = match row.fill(&self.template.merchant) {
            Ok(filled) => {
                let line = u32::try_from(row.line).ok();
                let origin = Origin { file: Arc::clone(self.file), list: Some(Arc::clone(&self.list)), line };
                merchant(report, "", &filled, checks, &origin)
            }
            Err(wrong) => {
                report.note(self.template.merchant.at, Problem::new(wrong));
                Entry { id: None, config: None, resolved: true }
            }
        };
        let problems = report.take_behind(noted);
        self.made.unanswered |= !entry.resolved;
        match entry.config {
            Some(config) if problems.is_empty() => self.made.merchants.push(Arc::new(config)),
            _ => self.refuse_row(row.line, entry.id, problems),
        }
    }

    /// A list whose columns the template does not know is refused as a whole.
    fn names(&mut self, names: &[String]) {
        let names = || names.iter().map(String::as_str);
        let report = self.template.report;
        asked(&self.template.merchant, &mut |node, name| {
            if names().all(|known| known != name) {
                let problem = Problem::new(format!("the list has no column `{name}`"));
                let problem = problem.allowed(names().collect::<Vec<_>>().join(", "));
                report.note(
                    node.at,
                    match nearest(name, names()) {
                        Some(meant) => problem.hint(format!("did you mean `${{row:{meant}}}`?")),
                        None => problem,
                    },
                );
                self.ended = true;
            }
        });
    }

    /// The row has to be mended, or the template, of which the place is named.
    fn refuse_row(&mut self, line: usize, id: Option<Box<str>>, problems: Vec<Problem>) {
        let whose = id.as_ref().map_or_else(String::new, |id| format!(" (merchant `{id}`)"));
        for problem in problems {
            let place = format!("filled into {}:{}:{}", problem.file, problem.line, problem.column);
            let hint = problem.hint.map_or_else(|| place.clone(), |hint| format!("{hint}; {place}"));
            let key = format!("{place} {}", problem.message);
            let message = format!("{}{whose}", problem.message);
            let problem = Problem { message, hint: Some(hint.into()), excerpt: None, ..problem };
            self.tell(key, problem.in_line(line));
        }
        self.made.refused.extend(id);
    }

    fn refuse(&mut self, problem: Problem) {
        self.tell(format!("{} {}", problem.line, problem.message), problem);
    }

    fn tell(&mut self, key: String, problem: Problem) {
        if self.told.len() < limits::LIST_PROBLEMS_MAX && self.told.insert(key) {
            self.made.problems.push(problem.in_file(self.list.as_ref()));
        } else {
            self.untold += 1;
        }
    }

    fn end(mut self) -> Made {
        if self.untold > 0 {
            let problem = Problem::new(format!("{} more mistakes are in rows of this list", self.untold));
            let problem = problem.hint("they are like those that were told: mend these first");
            self.made.problems.push(problem.in_file(self.list.as_ref()));
        }
        self.made
    }
}
