//! Text: characters that make a line read differently from what its bytes say.

/// Whether a character is a control character, a line or paragraph separator, or steers the direction of text.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Whether a character is invisible, or changes how others are shown: controls, bidi marks, zero-width characters,
/// variation selectors, tags.
pub fn is_hidden(c: char) -> bool {
    // Beside the ignorable ones: annotations of other text, the replacement object, and what is no character.
    is_deceptive(c) || is_ignorable(c) || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}')
}

/// Unicode's `Default_Ignorable_Code_Point`, which ext4 and HFS+ leave out of names (HFS+ some of it).
pub(crate) fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether any character of a text is one.
pub fn is_deceiving(text: &str) -> bool {
    // Nearly every text is of these only.
    !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.chars().any(is_deceptive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_deceives_or_is_left_out_of_names_is_hidden_and_letters_are_not() {
        let hidden = (char::MIN..=char::MAX).filter(|c| is_deceptive(*c) || is_ignorable(*c));
        assert!(hidden.clone().count() > 4000);
        assert!(hidden.into_iter().all(is_hidden));
        // Format controls of shorthand and of music, by which two names could look alike.
        assert!(['\u{1bca0}', '\u{1d173}', '\u{200d}', '\u{fffb}'].into_iter().all(is_hidden));
        assert!(!['a', 'é', '\u{1bc9f}', '\u{1d172}', '漢', '\u{fffc}', '\u{fffd}'].into_iter().any(is_hidden));
    }
}
