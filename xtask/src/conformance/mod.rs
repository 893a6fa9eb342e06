//! What the conformance suite proves, read from its sources and from the record of a run, and the page about
//! it.

mod case;
mod citation;
mod clause;
mod guide;
mod page;
mod record;

pub(crate) use self::case::{CASES, Case};
pub(crate) use self::citation::Citation;
pub(crate) use self::clause::Clause;
pub(crate) use self::guide::{FOLDER, Guide};
pub(crate) use self::page::{PAGE, Page, row_of};
pub(crate) use self::record::{Record, folder};

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::brokers::Borrowed;
use crate::command::Answers;
use crate::nextest::Nextest;
use crate::tidy::Tree;

/// The variable by which the suite is told where to leave its record.
pub(crate) const VARIABLE: &str = "BANANAS_CONFORMANCE_REPORT";

/// The tests that leave a record, with the selection of packages and features that all steps share.
const TESTS: &str = "--workspace --all-features -E \
                     test(/::(broker|ledger|store|split)::(smoke|core|fault)::/)";

/// Writes the page about the suite and the tables of the guide, by these answers.
pub(crate) fn run(root: &Path, answers: Answers) -> Result<bool> {
    if answers == Answers::Anew && !ask(root)? {
        println!("xtask: nothing is written, since checks failed");
        return Ok(false);
    }
    let (tree, record) = (Tree::read(root)?, Record::read(&folder(root))?);
    ensure!(
        !record.outcomes.is_empty(),
        "there was no run yet; leave --last away"
    );
    write(root, PAGE, &Page::of(&tree, &record).to_string())?;
    for page in tree.files.iter().filter(|it| it.path.starts_with(FOLDER)) {
        if let Some(guide) = Guide::of(&page.text) {
            let written = guide.written(&record);
            write(root, &page.path, &written.context(page.path.clone())?)?;
        }
    }
    Ok(true)
}

/// Runs the suite on every backend, and answers whether all is well.
fn ask(root: &Path) -> Result<bool> {
    let record = fresh_record(root)?;
    let mut step = Nextest::run("conformance", TESTS);
    step.environment.push((VARIABLE.to_owned(), record));
    let borrowed = Borrowed::all(root)?;
    step.environment.extend(Borrowed::variables(&borrowed));
    let passed = step.run(root);
    Borrowed::give_back(borrowed)?;
    passed
}

fn write(root: &Path, page: &str, text: &str) -> Result<()> {
    std::fs::write(root.join(page), text).with_context(|| format!("cannot write {page}"))?;
    println!("xtask: wrote {page}");
    Ok(())
}

/// Forgets the record of the last run, and answers where the next one goes.
pub(crate) fn fresh_record(root: &Path) -> Result<String> {
    let folder = folder(root);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(folder.to_string_lossy().into_owned())
}
