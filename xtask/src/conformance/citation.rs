//! [`Citation`]: what a check says that it proves.

use crate::tidy::{TextFile, Tree};

use super::case::is_case;
use super::clause::is_clause;

/// Where the checks are.
const PLACE: &str = "conformance-tests/src/checks/";

/// What the documentation of a check says that it proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Citation {
    pub(crate) path: String,
    pub(crate) line: usize,
    /// `broker`, `store`, `ledger` or `split`.
    pub(crate) side: String,
    /// The name of the check.
    pub(crate) check: String,
    /// `smoke`, `core`, `fault` or `long`.
    pub(crate) tier: String,
    pub(crate) clauses: Vec<String>,
    pub(crate) cases: Vec<String>,
}

impl Citation {
    /// All checks that the files list, in order.
    pub(crate) fn all(tree: &Tree) -> Vec<Self> {
        let mut citations = Vec::new();
        for file in tree.all("rs").filter(|file| file.path.starts_with(PLACE)) {
            let Some((side, _)) = file.name().split_once('_') else {
                continue;
            };
            for (line, check, tier) in listed(file) {
                let says = documentation_of(file, &check);
                citations.push(Self {
                    path: file.path.clone(),
                    line,
                    side: side.to_owned(),
                    clauses: words(&says, "Proves", is_clause),
                    cases: words(&says, "Case", is_case),
                    check,
                    tier,
                });
            }
        }
        citations
    }
}

/// The checks in a file's `checks!(..)`, with their lines and tiers.
fn listed(file: &TextFile) -> Vec<(usize, String, String)> {
    let inside = file
        .lines()
        .skip_while(|(_, line)| !line.starts_with("checks!("))
        .skip(1)
        .take_while(|(_, line)| !line.starts_with(");"));
    let mut checks: Vec<(usize, String)> = Vec::new();
    for (number, line) in inside {
        let line = line.trim();
        // A check may be wrapped over several lines; all but the first begin with one of its small words.
        let goes_on = ["if ", "with ", "in "]
            .iter()
            .any(|word| line.starts_with(word));
        match checks.last_mut() {
            Some((_, text)) if goes_on => *text = format!("{text} {line}"),
            _ if line.is_empty() || line.starts_with("//") => {}
            _ => checks.push((number, line.to_owned())),
        }
    }
    let read = |(number, text): (usize, String)| {
        let text = text.trim_end_matches(',');
        let name = text.split_whitespace().next().unwrap_or_default();
        let tier = text.split_once(" in ").map_or("Core", |(_, tier)| tier);
        (number, name.to_owned(), tier.trim().to_lowercase())
    };
    checks.into_iter().map(read).collect()
}

/// The documentation of a function, as one line.
fn documentation_of(file: &TextFile, function: &str) -> String {
    let start = format!("async fn {function}(");
    let lines: Vec<&str> = file.text.lines().collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(&start)) else {
        return String::new();
    };
    let above = lines.get(..at).unwrap_or_default().iter().rev();
    let mut says: Vec<&str> = above
        .take_while(|line| line.starts_with("///") || line.starts_with("#["))
        .filter_map(|line| line.strip_prefix("///"))
        .map(str::trim)
        .collect();
    says.reverse();
    says.join(" ")
}

/// The words of the sentences that begin with `start`.
fn words(says: &str, start: &str, wanted: fn(&str) -> bool) -> Vec<String> {
    let sentences = says.split('.').map(str::trim);
    let sentences = sentences.filter(|sentence| sentence.starts_with(start));
    sentences
        .flat_map(|sentence| sentence.split([' ', ',']))
        .filter(|word| wanted(word))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_cases_and_tiers_of_checks_are_read() {
        let tree = Tree::planted(&[(
            "conformance-tests/src/checks/broker_settle.rs",
            "checks!(BrokerCase:\n    one in Smoke,\n    two if Order\n        with Child in Fault,\n    three,\n);\n\n\
             /// Proves B10, B40. Cases D01, B10. It looks\n/// twice.\nasync fn one(case: BrokerCase) {}\n\n\
             /// Proves S3 and\n/// B2.\n#[expect(x)]\nasync fn two(case: BrokerCase) {}\n\
             async fn three(case: BrokerCase) {}\n",
        )]);
        let found = Citation::all(&tree);
        let [one, two, three] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!((one.line, one.tier.as_str()), (2, "smoke"));
        assert_eq!(one.clauses, ["B10", "B40"]);
        assert_eq!(one.cases, ["D01", "B10"]);
        assert_eq!((two.check.as_str(), two.tier.as_str()), ("two", "fault"));
        assert_eq!(
            (two.clauses.as_slice(), two.cases.len()),
            (["S3".to_owned(), "B2".to_owned()].as_slice(), 0)
        );
        assert_eq!((three.tier.as_str(), three.clauses.len()), ("core", 0));
        assert_eq!(three.side, "broker");
    }
}
