//! [`Page`]: `docs/reference/conformance.md`, made from the sources and the record of a run.

use std::fmt;

use crate::tidy::Tree;

use super::case::Case;
use super::citation::Citation;
use super::record::Record;

/// Where the page is.
pub(crate) const PAGE: &str = "docs/reference/conformance.md";

/// The sides, and what is asked of each.
const SIDES: [(&str, &str); 4] = [
    ("broker", "Brokers"),
    ("store", "State stores"),
    ("ledger", "Ledgers"),
    ("split", "A broker and a store that are not one"),
];

const HEAD: &str = "\
# Conformance

<!-- Written by `cargo xtask conformance`; do not edit. -->

What the conformance suite asks, and how each backend answered in one run.
A name such as `memory+sqlite` is a broker over the store of another engine.
`toy` is the broker of `examples/`, which speaks to a server of its own.

- **pass**: the check ran and the contract held.
- **skipped**: the backend's own capabilities rule the check out; it is asked instead to refuse such calls.
- **untested**: nothing here can prove it, for want of a server or of a way behind the broker's back.
- **known failure**: it fails, as declared with a reason.

Numbers in the second column are the clauses in the documentation of `bananas_core::{broker, store, ledger}`.
Those in the third are cases of `conformance-tests/cases.toml`.
";

/// The page about a run.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    cases: Vec<Case>,
    citations: Vec<Citation>,
    record: &'a Record,
}

/// The columns of a check's row that come from the sources.
pub(crate) fn row_of(citation: &Citation) -> String {
    let sentence = citation.check.replace('_', " ");
    let (clauses, cases) = (citation.clauses.join(" "), citation.cases.join(" "));
    format!("| {sentence} | {clauses} | {cases} | {} |", citation.tier)
}

impl<'a> Page<'a> {
    pub(crate) fn of(tree: &Tree, record: &'a Record) -> Self {
        Self {
            cases: Case::all(tree).unwrap_or_default(),
            citations: Citation::all(tree),
            record,
        }
    }

    fn capabilities(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.record.capabilities.iter();
        let columns: Vec<Column<'_>> = all.map(|(name, rows)| (name.as_str(), &rows[..])).collect();
        write!(f, "\n## What each can do\n\n{}", table(&columns))
    }

    fn side(&self, f: &mut fmt::Formatter<'_>, side: &str, title: &str) -> fmt::Result {
        let backends = self.record.backends(side);
        let mut reasons: Vec<&str> = Vec::new();
        writeln!(f, "\n## {title}\n")?;
        let columns = ["clauses", "cases", "tier"].into_iter();
        head(f, "check", columns.chain(backends.iter().copied()))?;
        for citation in self.citations.iter().filter(|c| c.side == side) {
            write!(f, "{}", row_of(citation))?;
            for backend in &backends {
                write!(f, " {} |", self.cell(backend, citation, &mut reasons))?;
            }
            writeln!(f)?;
        }
        if !reasons.is_empty() {
            writeln!(f)?;
        }
        for (number, reason) in (1..).zip(reasons) {
            writeln!(f, "{number}. {reason}")?;
        }
        Ok(())
    }

    /// How a backend answered a check, with the number of the reason if there is one.
    fn cell(&self, backend: &str, of: &Citation, reasons: &mut Vec<&'a str>) -> String {
        let key = (backend.to_owned(), of.side.clone(), of.check.clone());
        let Some((outcome, reason)) = self.record.outcomes.get(&key) else {
            // The checks of the longest tier run only when they are asked for.
            return "not run".to_owned();
        };
        let Some(reason) = reason else {
            return outcome.replace("passed", "pass");
        };
        let known = reasons.iter().position(|known| known == reason);
        let number = known.unwrap_or_else(|| {
            reasons.push(reason);
            reasons.len() - 1
        });
        format!("{outcome} ({})", number + 1)
    }

    fn elsewhere(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## Cases that are not asked of a broker\n")?;
        writeln!(f, "| case | | where it is proved, or why not |")?;
        writeln!(f, "|---|---|---|")?;
        for case in &self.cases {
            if let Some(elsewhere) = &case.elsewhere {
                writeln!(f, "| {} | {} | {elsewhere} |", case.id, case.title)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        self.capabilities(f)?;
        for (side, title) in SIDES {
            self.side(f, side, title)?;
        }
        self.elsewhere(f)
    }
}

/// The name of a backend, and what it can do.
pub(super) type Column<'a> = (&'a str, &'a [(String, String)]);

/// What some backends can do, one column each.
pub(super) fn table(columns: &[Column<'_>]) -> String {
    let names = columns.iter().map(|(name, _)| *name);
    // Nothing that is written to a text fails.
    let mut text = String::new();
    head(&mut text, "capability", names).unwrap_or_default();
    let first = columns.first().map_or(&[][..], |(_, rows)| *rows);
    for (what, _) in first {
        text += &format!("| {what} |");
        for (_, rows) in columns {
            let how = rows.iter().find(|(name, _)| name == what);
            text += &format!(" {} |", how.map_or("", |(_, how)| how));
        }
        text.push('\n');
    }
    text
}

fn head<'a>(
    f: &mut impl fmt::Write,
    first: &str,
    columns: impl Iterator<Item = &'a str>,
) -> fmt::Result {
    write!(f, "| {first} |")?;
    let mut rule = "|---|".to_owned();
    for column in columns {
        write!(f, " {column} |")?;
        rule.push_str("---|");
    }
    writeln!(f, "\n{rule}")
}
