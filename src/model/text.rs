//! Text: characters that make a line read differently from what its bytes say.

/// Whether a character is a control character, a line or paragraph separator, or steers the direction of text.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Whether any character of a text is one.
pub fn is_deceiving(text: &str) -> bool {
    // Nearly every text is of these only.
    !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.chars().any(is_deceptive)
}
