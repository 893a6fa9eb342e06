//! The arguments of a job as a command sees them: every value as it was enqueued, to the last digit.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The arguments, and the fields of an object by name.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    all: &'a RawValue,
    by_name: Option<BTreeMap<String, &'a RawValue>>,
}

impl<'a> Fields<'a> {
    /// Looks at JSON arguments; only an object has fields.
    pub(super) fn of(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        let all: &RawValue = serde_json::from_slice(json)?;
        let is_object = all.get().starts_with('{');
        let by_name = is_object
            .then(|| serde_json::from_str(all.get()))
            .transpose()?;
        Ok(Self { all, by_name })
    }

    /// All arguments: a string as it is, anything else as JSON.
    pub(super) fn all(&self) -> String {
        text(self.all)
    }

    /// One field: a string as it is, anything else as JSON.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.by_name.as_ref()?.get(name).copied().map(text)
    }

    /// Every field with its name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, String)> {
        let fields = self.by_name.iter().flatten();
        fields.map(|(name, value)| (name.as_str(), text(value)))
    }

    /// What there is, for a person who asked for something else.
    pub(super) fn describe(&self) -> String {
        let Some(fields) = &self.by_name else {
            return "; they are no object".to_owned();
        };
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        match names.as_slice() {
            [] => "; they have none".to_owned(),
            names => format!("; they have {}", names.join(", ")),
        }
    }
}

fn text(value: &RawValue) -> String {
    // What is no string stays the JSON that it is.
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits_and_objects_their_order() {
        let json = br#"{"n":123456789012345678901234567890,"x":1.10,"o":{"b":1,"a":2},"s":"a\"b"}"#;
        let fields = Fields::of(json).unwrap();
        assert_eq!(fields.get("n").unwrap(), "123456789012345678901234567890");
        assert_eq!(fields.get("x").unwrap(), "1.10");
        assert_eq!(fields.get("o").unwrap(), r#"{"b":1,"a":2}"#);
        assert_eq!(fields.get("s").unwrap(), "a\"b");
        assert_eq!(fields.all().as_bytes(), json);
        assert!(Fields::of(b"{").is_err());
    }
}
