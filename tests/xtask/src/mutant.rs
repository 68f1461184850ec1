use std::{fs, path::Path};

/// An accident: a change of the sources that the simulation must find.
///
/// ```text
/// # the floor ignores what lanes owe
/// file: runtime/engine/src/floor.rs
/// <<<<
/// old text
/// ====
/// new text
/// >>>>
/// ```
#[derive(PartialEq, Eq, Debug)]
pub struct Mutant {
    pub accident: String,
    pub file: String,
    pub blocks: Vec<Block>,
}

/// Whole lines.
#[derive(PartialEq, Eq, Debug)]
pub struct Block {
    pub old: String,
    pub new: String,
}

impl Mutant {
    pub fn parse(text: &str) -> Result<Mutant, String> {
        let mut lines = text.lines();
        let accident = lines.next().and_then(|line| line.strip_prefix("# "));
        let accident = accident.ok_or("line 1 must be `# ` and the accident in words")?.trim().to_owned();
        let file = lines.next().and_then(|line| line.strip_prefix("file: "));
        let file = file.ok_or("line 2 must be `file: ` and the path of a source")?.trim().to_owned();
        let mut blocks = Vec::new();
        while let Some(line) = lines.next() {
            match line {
                "" => {}
                "<<<<" => {
                    blocks.push(Block { old: part(&mut lines, "====")?, new: part(&mut lines, ">>>>")? });
                }
                other => return Err(format!("`<<<<` expected, not {other:?}")),
            }
        }
        if blocks.is_empty() {
            Err("no block `<<<<` … `>>>>`".to_owned())
        } else {
            Ok(Mutant { accident, file, blocks })
        }
    }

    /// Changes the source below `root`; the old text must be there once, so that nobody wonders which place was meant.
    pub fn apply(&self, root: &Path) -> Result<(), String> {
        let path = root.join(&self.file);
        let mut text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", self.file))?;
        for block in &self.blocks {
            text = replace_once(&text, block).map_err(|error| format!("{}: {error}", self.file))?;
        }
        fs::write(&path, text).map_err(|error| format!("{}: {error}", self.file))
    }
}

fn part<'a>(lines: &mut impl Iterator<Item = &'a str>, end: &str) -> Result<String, String> {
    let mut text = String::new();
    for line in lines {
        if line == end {
            return Ok(text);
        }
        text.push_str(line);
        text.push('\n');
    }
    Err(format!("`{end}` expected before the end of the file"))
}

fn replace_once(text: &str, block: &Block) -> Result<String, String> {
    match text.matches(&block.old).count() {
        _ if block.old.is_empty() => Err("the old text is empty".to_owned()),
        1 => Ok(text.replacen(&block.old, &block.new, 1)),
        count => Err(format!("the old text occurs {count} times; it must occur once:\n{}", block.old)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a lost answer\nfile: a.rs\n<<<<\none\ntwo\n====\nthree\n>>>>\n\n<<<<\nfour\n====\n>>>>\n";

    #[test]
    fn a_mutant_is_read_as_it_is_written() {
        let mutant = Mutant::parse(TEXT).expect("well-formed");
        assert_eq!((mutant.accident.as_str(), mutant.file.as_str()), ("a lost answer", "a.rs"));
        let block = |old: &str, new: &str| Block { old: old.to_owned(), new: new.to_owned() };
        assert_eq!(mutant.blocks, [block("one\ntwo\n", "three\n"), block("four\n", "")]);
    }

    #[test]
    fn a_malformed_mutant_is_refused_with_what_is_expected() {
        let error = |text: &str| Mutant::parse(text).expect_err("malformed");
        assert!(error("file: a.rs\n").contains("line 1"));
        assert!(error("# a\nfoo").contains("line 2"));
        assert!(error("# a\nfile: b\n").contains("no block"));
        assert!(error("# a\nfile: b\n<<<<\nc\n").contains("===="));
        assert!(error("# a\nfile: b\n<<<<\nc\n====\n").contains(">>>>"));
        assert!(error("# a\nfile: b\nc\n").contains("<<<<"));
    }

    #[test]
    fn a_place_that_is_gone_or_ambiguous_is_refused() {
        let block = Block { old: "a\n".to_owned(), new: "b\n".to_owned() };
        assert_eq!(replace_once("x\na\ny\n", &block), Ok("x\nb\ny\n".to_owned()));
        assert!(replace_once("a\na\n", &block).expect_err("twice").contains("2 times"));
        assert!(replace_once("x\n", &block).expect_err("not there").contains("0 times"));
    }
}
