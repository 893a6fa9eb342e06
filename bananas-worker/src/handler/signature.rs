//! [`Signature`]: any function of a task and up to eight extractors.

/// A function that can be a handler, by the tuple of its arguments. Implemented for every function of one to
/// nine arguments; nobody else needs to.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler",
    label = "not a handler",
    note = "a handler is a function whose first argument is the task, by value, followed by at most eight \
            extractors: `async fn send(email: WelcomeEmail, State(smtp): State<Smtp>) -> TaskResult`"
)]
pub trait Signature<A>: Send + Sync + 'static {
    /// What it returns: a future, or for blocking handlers the result itself.
    type Return;

    /// Calls it.
    fn call(&self, arguments: A) -> Self::Return;
}

macro_rules! signature {
    ($($argument:ident)+) => {
        #[expect(non_snake_case, reason = "one name serves as type and variable")]
        impl<F, R, $($argument),+> Signature<($($argument,)+)> for F
        where
            F: Fn($($argument),+) -> R + Send + Sync + 'static,
        {
            type Return = R;

            fn call(&self, ($($argument,)+): ($($argument,)+)) -> R {
                self($($argument),+)
            }
        }
    };
}

signature!(A1);
signature!(A1 A2);
signature!(A1 A2 A3);
signature!(A1 A2 A3 A4);
signature!(A1 A2 A3 A4 A5);
signature!(A1 A2 A3 A4 A5 A6);
signature!(A1 A2 A3 A4 A5 A6 A7);
signature!(A1 A2 A3 A4 A5 A6 A7 A8);
signature!(A1 A2 A3 A4 A5 A6 A7 A8 A9);
