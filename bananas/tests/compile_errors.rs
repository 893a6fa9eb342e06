//! What the compiler says to the most likely mistakes.

#[test]
fn likely_mistakes_are_compile_errors_that_name_their_fix() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
