//! Every clause of a contract has a check, every check a clause, and the page about them is of today.

use std::collections::BTreeSet;

use super::finding::Finding;
use super::tree::Tree;
use crate::conformance::{
    CASES, Case, Citation, Clause, FOLDER, Guide, PAGE, Page, Record, row_of,
};

/// A clause that no check proves, and a check that proves none or one that does not exist.
pub(crate) fn unproved(tree: &Tree) -> Vec<Finding> {
    let (clauses, citations) = (Clause::all(tree), Citation::all(tree));
    let cited: BTreeSet<&String> = citations.iter().flat_map(|c| &c.clauses).collect();
    let written: BTreeSet<&String> = clauses.iter().map(|clause| &clause.id).collect();
    let mut findings = Vec::new();
    for clause in clauses.iter().filter(|clause| !cited.contains(&clause.id)) {
        let text = format!(
            "no check proves clause {}; write one in conformance-tests/src/checks/ that says \
             `/// Proves {}.`",
            clause.id, clause.id
        );
        findings.push(Finding::at(&clause.path, clause.line, text));
    }
    for citation in &citations {
        let mut breach = |text: String| {
            findings.push(Finding::at(&citation.path, citation.line, text));
        };
        if citation.clauses.is_empty() {
            breach(format!(
                "`{}` names no clause; its documentation must say `Proves ..`",
                citation.check
            ));
        }
        for clause in citation.clauses.iter().filter(|id| !written.contains(id)) {
            breach(format!(
                "`{}` proves clause {clause}, which no contract has",
                citation.check
            ));
        }
    }
    findings
}

/// A case that nobody makes and that is not explained, and a check that makes one that is not listed.
pub(crate) fn unmade_cases(tree: &Tree) -> Vec<Finding> {
    let cases = match Case::all(tree) {
        Ok(cases) => cases,
        Err(e) => return vec![Finding::in_file(CASES, format!("{e:#}"))],
    };
    let citations = Citation::all(tree);
    let made: BTreeSet<&String> = citations.iter().flat_map(|c| &c.cases).collect();
    let listed: BTreeSet<&String> = cases.iter().map(|case| &case.id).collect();
    let mut findings = Vec::new();
    for case in &cases {
        let text = match (made.contains(&case.id), &case.elsewhere) {
            (false, None) => "no check makes it; cite it in one, or say `elsewhere`",
            (true, Some(_)) => "a check makes it, and it says `elsewhere`; one is wrong",
            _ => continue,
        };
        let text = format!("case {}: {text}", case.id);
        findings.push(Finding::at(CASES, case.line, text));
    }
    for citation in &citations {
        for case in citation.cases.iter().filter(|id| !listed.contains(id)) {
            let text = format!(
                "`{}` makes case {case}, which {CASES} has not",
                citation.check
            );
            findings.push(Finding::at(&citation.path, citation.line, text));
        }
    }
    findings
}

/// A page that does not list the checks as they are.
pub(crate) fn stale_page(tree: &Tree) -> Vec<Finding> {
    let citations = Citation::all(tree);
    if citations.is_empty() {
        return Vec::new();
    }
    let page = tree.files.iter().find(|file| file.path == PAGE);
    let page = page.map_or("", |file| file.text.as_str());
    let shown: BTreeSet<String> = page.lines().filter_map(first_columns).collect();
    let rows: BTreeSet<String> = citations.iter().map(row_of).collect();
    let missing = rows.difference(&shown).map(|row| (row, "lacks the check"));
    let gone = shown
        .difference(&rows)
        .map(|row| (row, "shows what is no check now"));
    let stale = missing.chain(gone).next();
    stale
        .map(|(row, what)| {
            let text = format!("it {what} {row}; write it anew with `cargo xtask conformance`");
            Finding::in_file(PAGE, text)
        })
        .into_iter()
        .collect()
}

/// The first four columns of a check's row.
fn first_columns(line: &str) -> Option<String> {
    let columns: Vec<&str> = line.split('|').collect();
    let tier = columns.get(4)?.trim();
    let is_check = ["smoke", "core", "fault", "long"].contains(&tier);
    is_check.then(|| format!("{}|", columns.get(..5).unwrap_or_default().join("|")))
}

/// Pages that do not say what this record says.
pub(crate) fn stale_answers(tree: &Tree, record: &Record) -> Vec<Finding> {
    let page = tree.files.iter().find(|file| file.path == PAGE);
    let shown = page.map_or("", |file| file.text.as_str());
    let made = Page::of(tree, record).to_string();
    let mut findings: Vec<Finding> = stale(PAGE, shown, &made).into_iter().collect();
    for file in tree.files.iter().filter(|it| it.path.starts_with(FOLDER)) {
        let written = Guide::of(&file.text).map(|guide| guide.written(record));
        findings.extend(match written {
            Some(Ok(made)) => stale(&file.path, &file.text, &made),
            Some(Err(error)) => Some(Finding::in_file(&file.path, error.to_string())),
            None => None,
        });
    }
    findings
}

/// The first line that differs.
fn stale(page: &str, shown: &str, made: &str) -> Option<Finding> {
    let differs = (1..)
        .zip(made.lines())
        .find(|(number, line)| shown.lines().nth(number - 1) != Some(line));
    let cut = (shown.lines().count() > made.lines().count()).then_some((1, "its end"));
    differs.or(cut).map(|(number, line)| {
        let text = format!(
            "the run says otherwise: {line}\n    write the page anew with `cargo xtask conformance`"
        );
        Finding::at(page, number, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::texts;

    const CONTRACT: (&str, &str) = (
        "bananas-core/src/broker/mod.rs",
        "/// - **B1** Something. **B2** More.\n",
    );

    fn checks(text: &'static str) -> (&'static str, &'static str) {
        ("conformance-tests/src/checks/broker_basics.rs", text)
    }

    #[test]
    fn a_clause_without_a_check_and_a_check_without_a_clause_are_found() {
        let tree = Tree::planted(&[
            CONTRACT,
            checks(
                "checks!(BrokerCase:\n    one,\n    two,\n);\n\
                 /// Proves B1, B9.\nasync fn one() {}\nasync fn two() {}\n",
            ),
        ]);
        let found = texts(&unproved(&tree));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("mod.rs:1: no check proves clause B2"));
        assert!(found[1].contains("broker_basics.rs:2: `one` proves clause B9"));
        assert!(found[2].contains("broker_basics.rs:3: `two` names no clause"));
    }

    #[test]
    fn a_case_that_nobody_makes_is_found() {
        let tree = Tree::planted(&[
            (
                CASES,
                "A01 = { case = \"a\" }\nA02 = { case = \"b\" }\n\
                 A03 = { case = \"c\", elsewhere = \"there\" }\n",
            ),
            checks(
                "checks!(BrokerCase:\n    one,\n);\n/// Proves B1. Cases A01, A09.\nasync fn one() {}\n",
            ),
        ]);
        let found = texts(&unmade_cases(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("case A02: no check makes it"));
        assert!(found[1].contains("makes case A09"));
    }

    #[test]
    fn a_page_of_yesterday_is_found() {
        let one =
            checks("checks!(BrokerCase:\n    one_is,\n);\n/// Proves B1.\nasync fn one_is() {}\n");
        let row = "| one is | B1 |  | core | pass |\n";
        assert!(stale_page(&Tree::planted(&[one, (PAGE, row)])).is_empty());
        let row = "| one is | B2 |  | core | pass |\n";
        let found = texts(&stale_page(&Tree::planted(&[one, (PAGE, row)])));
        assert!(
            found[0].contains("lacks the check | one is | B1 |"),
            "{found:?}"
        );
        assert_eq!(stale_page(&Tree::planted(&[one])).len(), 1);
    }
}
