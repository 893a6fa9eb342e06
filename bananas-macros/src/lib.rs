//! `#[derive(Task)]`: writes the `bananas::Task` of a struct or an enum.
//!
//! Everything that can be wrong with a task's name and defaults is found here, while compiling. What the macro
//! writes names only `::bananas`, so a user depends on no other crate of ours. Encoding the arguments is left
//! to serde.

mod attribute;
mod expand;
mod value;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct or an enum the arguments of a task.
///
/// The attribute `#[task(..)]` is required, and in it the `name`: it is what travels on the wire and what workers
/// find the handler by, so it is written down and never taken from the type's name. The rest are defaults, which
/// an enqueue call and the configuration may override.
///
/// | key | value | without it |
/// |---|---|---|
/// | `name` | 1 to 128 of `A-Z a-z 0-9 _ . : -` | an error |
/// | `queue` | the same | `default` |
/// | `max_attempts` | how many runs may fail, from 1 | 20 |
/// | `timeout` | how long one run may take: `"30s"`, `"1h 30m"` | 30 minutes |
/// | `priority` | 0 to 100, higher runs earlier | 50 |
/// | `track` | what the store keeps: `"none"`, `"outcome"`, `"full"` | `full` |
/// | `output` | the type of the result | `()` |
///
/// ```
/// # extern crate bananas_core as bananas;
/// # mod user {
/// # use bananas_macros::Task;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Task, Serialize, Deserialize)]
/// #[task(name = "image.resize", queue = "images", timeout = "30s", output = u64)]
/// pub struct Resize {
///     path: String,
///     width: u32,
/// }
/// # }
/// # fn main() {
/// # use bananas::Task;
/// assert_eq!(user::Resize::NAME, "image.resize");
/// assert_eq!(user::Resize::options().queue, Some("images"));
/// # }
/// ```
///
/// A generic type cannot be a task, for one name stands for one type of arguments.
#[proc_macro_derive(Task, attributes(task))]
pub fn derive_task(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::task(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
