//! Text: characters that make a line read differently from what its bytes say.

/// Whether a character is a control character, a line or paragraph separator, or steers the direction of text.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Whether a character is invisible, or changes how others are shown: controls, bidi marks, zero-width characters,
/// variation selectors, tags.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Whether any character of a text is one.
pub fn is_deceiving(text: &str) -> bool {
    // Nearly every text is of these only.
    !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.chars().any(is_deceptive)
}
