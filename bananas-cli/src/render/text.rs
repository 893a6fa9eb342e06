//! Text of jobs on a person's screen: it must not drive the terminal, nor fill it.

/// One line of at most `max` characters; control characters are shown, not sent.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let mut line: String = text
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(max)
        .collect();
    if line.len() < text.trim_end().len() {
        line.push('…');
    }
    visible(&line)
}

/// The same text with control characters other than line breaks and tabs made visible.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// "1 job", "2 jobs".
pub(crate) fn count(number: u64, thing: &str) -> String {
    if number == 1 {
        format!("1 {thing}")
    } else {
        format!("{number} {thing}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_or_dangerous_text_becomes_one_harmless_line() {
        assert_eq!(one_line("first\nsecond", 40), "first…");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line("plain\n", 40), "plain");
        assert_eq!(one_line("\u{1b}[2Jgone", 40), "\\u{1b}[2Jgone");
    }
}
