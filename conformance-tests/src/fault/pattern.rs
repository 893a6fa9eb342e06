//! Looks for bytes in a stream that arrives in pieces.

/// The bytes to look for, with a number that tells one search from the next.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
}

/// How far the search has come on one connection.
#[derive(Debug, Default)]
pub(super) struct Search {
    number: u64,
    tail: Vec<u8>,
}

impl Search {
    /// Whether the pattern ends in these bytes of the stream. Empty patterns are found in any bytes.
    pub(super) fn finds(&mut self, pattern: &Pattern, bytes: &[u8]) -> bool {
        if pattern.bytes.is_empty() {
            return !bytes.is_empty();
        }
        if self.number != pattern.number {
            self.number = pattern.number;
            self.tail.clear();
        }
        self.tail.extend_from_slice(bytes);
        let found = self.tail.windows(pattern.bytes.len());
        let found = found.into_iter().any(|window| window == pattern.bytes);
        // As much as can be the beginning of a pattern that the next bytes complete.
        let rest = pattern.bytes.len() - 1;
        self.tail.drain(..self.tail.len().saturating_sub(rest));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(number: u64, bytes: &[u8]) -> Pattern {
        let bytes = bytes.to_vec();
        Pattern { number, bytes }
    }

    #[test]
    fn a_pattern_is_found_even_when_each_byte_comes_alone() {
        let (pattern, mut search) = (pattern(1, b"XADD"), Search::default());
        let found: Vec<bool> = b"XXADD"
            .iter()
            .map(|byte| search.finds(&pattern, &[*byte]))
            .collect();
        assert_eq!(found, [false, false, false, false, true]);
    }

    #[test]
    fn a_new_pattern_is_not_completed_by_bytes_from_before_it() {
        let mut search = Search::default();
        assert!(!search.finds(&pattern(1, b"abc"), b"ab"));
        assert!(!search.finds(&pattern(2, b"abc"), b"c"));
    }
}
