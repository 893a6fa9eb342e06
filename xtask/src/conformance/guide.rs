//! [`Guide`]: a page of the guide that shows what some backends can do, from the record of a run.
//!
//! The line above such a table says whose columns it has, and so does nothing else: a page asks for a table by that
//! line.

use anyhow::{Context, Result, bail};

use super::page;
use super::record::Record;

/// Where such pages are.
pub(crate) const FOLDER: &str = "docs/guide/";

/// Around the names of the columns.
const MARK: (&str, &str) = (
    "<!-- Columns: ",
    ". Written by `cargo xtask conformance`; do not edit. -->",
);

/// A page with a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guide<'a> {
    text: &'a str,
    /// The line that asks for the table.
    mark: &'a str,
}

impl<'a> Guide<'a> {
    /// The page with this text, if it asks for a table.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        let mark = text.lines().find(|line| names(line).is_some())?;
        Some(Self { text, mark })
    }

    /// Its text with the table as the record has it.
    pub(crate) fn written(self, record: &Record) -> Result<String> {
        let names: Vec<&str> = names(self.mark).context("no columns")?.collect();
        if let Some(unknown) = names
            .iter()
            .find(|name| !record.capabilities.contains_key(**name))
        {
            bail!("no backend of the run is called `{unknown}`");
        }
        let columns = names.iter().map(|name| (*name, &record.capabilities));
        let columns = columns.filter_map(|(name, all)| Some((name, all.get(name)?.as_slice())));
        let table = page::table(&columns.collect::<Vec<_>>());
        let (before, after) = self.text.split_once(self.mark).context("no mark")?;
        let after = after.trim_start_matches('\n');
        let rest: String = after
            .split_inclusive('\n')
            .skip_while(|line| line.starts_with('|'))
            .collect();
        let rest = rest.trim_start_matches('\n');
        let gap = if rest.is_empty() { "" } else { "\n" };
        Ok(format!("{before}{}\n\n{table}{gap}{rest}", self.mark))
    }
}

fn names(line: &str) -> Option<impl Iterator<Item = &str>> {
    let names = line.strip_prefix(MARK.0)?.strip_suffix(MARK.1)?;
    Some(names.split(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let mut record = Record::default();
        for (name, how) in [("one", "yes"), ("two", "no")] {
            let rows = vec![("delays".to_owned(), how.to_owned())];
            record.capabilities.insert(name.to_owned(), rows);
        }
        record
    }

    #[test]
    fn a_table_is_written_anew_and_what_stands_around_it_stays() {
        let mark = format!("{}two, one{}", MARK.0, MARK.1);
        let table = "| capability | two | one |\n|---|---|---|\n| delays | no | yes |\n";
        let whole = format!("# A\n\n{mark}\n\n{table}\n## B\n");
        let stale = format!("# A\n\n{mark}\n\n| capability |\n|---|\n\n## B\n");
        for text in [&whole, &stale, &format!("# A\n\n{mark}\n## B\n")] {
            let written = Guide::of(text).unwrap().written(&record()).unwrap();
            assert_eq!(&written, &whole);
        }
        let last = format!("# A\n\n{mark}\n");
        let written = Guide::of(&last).unwrap().written(&record()).unwrap();
        assert_eq!(written, format!("# A\n\n{mark}\n\n{table}"));
    }

    #[test]
    fn a_page_that_asks_for_nothing_is_left_alone_and_one_that_asks_for_too_much_is_refused() {
        assert!(Guide::of("# A\n\n| a | b |\n").is_none());
        let text = format!("{}three{}\n", MARK.0, MARK.1);
        let error = Guide::of(&text).unwrap().written(&record()).unwrap_err();
        assert!(error.to_string().contains("three"), "{error}");
    }
}
