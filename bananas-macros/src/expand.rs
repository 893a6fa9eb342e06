//! Writes the impl of `bananas::Task` for a type.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{Data, DeriveInput, Error, GenericParam, Result};

use crate::attribute::TaskAttribute;

/// The impl, or all that is wrong with the type and its attribute.
pub(crate) fn task(input: &DeriveInput) -> Result<TokenStream> {
    check_shape(input)?;
    let task = TaskAttribute::of(input)?;
    let ident = &input.ident;
    let name = &task.name;
    let output = task
        .output
        .as_ref()
        .map_or_else(|| quote! { () }, |output| quote! { #output });
    let queue = optional(task.queue.map(|queue| quote! { #queue }));
    let priority = optional(task.priority.map(|priority| quote! { #priority }));
    let max_attempts = optional(task.max_attempts.map(|attempts| quote! { #attempts }));
    let timeout = optional(task.timeout.map(duration));
    let track = optional(task.track.map(track));
    let tags = &task.tags;
    Ok(quote! {
        #[automatically_derived]
        impl ::bananas::Task for #ident {
            const NAME: &'static str = #name;
            type Output = #output;
            fn options() -> ::bananas::TaskOptions {
                ::bananas::TaskOptions {
                    queue: #queue,
                    priority: #priority,
                    max_attempts: #max_attempts,
                    timeout: #timeout,
                    track: #track,
                    tags: &[#(#tags),*],
                }
            }
        }
    })
}

fn optional(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote! { ::core::option::Option::Some(#value) },
        None => quote! { ::core::option::Option::None },
    }
}

fn duration(duration: Duration) -> TokenStream {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote! { ::core::time::Duration::new(#seconds, #nanos) }
}

fn track(variant: &str) -> TokenStream {
    let variant = Ident::new(variant, Span::call_site());
    quote! { ::bananas::Track::#variant }
}

/// Whether a value of this type can be the arguments of a job.
fn check_shape(input: &DeriveInput) -> Result<()> {
    if let Data::Union(union) = &input.data {
        let text = "a union cannot be a task; use a struct or an enum";
        return Err(Error::new_spanned(union.union_token, text));
    }
    let Some(parameter) = input.generics.params.first() else {
        return Ok(());
    };
    let text = match parameter {
        GenericParam::Lifetime(_) => {
            "a task cannot borrow: its arguments are read from a message by another process; \
             own them, with `String` for `&str`"
        }
        GenericParam::Type(_) | GenericParam::Const(_) => {
            "a task cannot be generic: its name stands for one type of arguments; \
             write a struct with a name of its own for each type"
        }
    };
    Err(Error::new_spanned(&input.generics.params, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(input: TokenStream) -> String {
        let error = task(&syn::parse2(input).unwrap()).unwrap_err();
        error.to_string()
    }

    #[test]
    fn a_generic_task_is_refused() {
        for generic in [quote! { T }, quote! { const N: usize }] {
            let text = refusal(quote! { #[task(name = "a")] struct Send<#generic>; });
            assert!(text.contains("cannot be generic"), "{text}");
        }
        let text = refusal(quote! { #[task(name = "a")] struct Send<'a>(&'a str); });
        assert!(text.contains("own them"), "{text}");
    }

    #[test]
    fn a_union_is_refused() {
        let text = refusal(quote! { #[task(name = "a")] union Send { a: u8 } });
        assert!(text.contains("union"), "{text}");
    }

    #[test]
    fn the_only_crates_named_are_bananas_and_the_language_itself() {
        let written = task(&syn::parse_quote! {
            #[task(name = "a", queue = "b", timeout = "1s", priority = 1, track = "full")]
            struct Send;
        })
        .unwrap()
        .to_string();
        let words: Vec<&str> = written.split_whitespace().collect();
        for triple in words.windows(3) {
            let path_begins = triple[1] == "::" && !triple[0].ends_with(char::is_alphanumeric);
            if path_begins {
                assert!(matches!(triple[2], "bananas" | "core"), "{triple:?}");
            }
        }
        let names_bananas = |pair: &[&str]| pair == ["::", "bananas"];
        assert!(words.windows(2).any(names_bananas), "{written}");
    }
}
