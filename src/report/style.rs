//! Style of live views on this terminal: glyphs or plain letters, colour or none. What is said is the same.

/// What lines and states are drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glyphs {
    /// Box-drawing and symbols.
    Unicode,
    /// Nothing beyond ASCII.
    Ascii,
}

/// Whether colour is used. It never says anything that the words do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// The sixteen colours that every terminal knows.
    On,
    /// None.
    Off,
}

/// How a live view looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// What it is drawn with.
    pub glyphs: Glyphs,
    /// Whether it is coloured.
    pub colour: Colour,
}

/// How something is doing, at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Done, or turned.
    Good,
    /// Under way.
    Moving,
    /// Waits for somebody or something.
    Waiting,
    /// Stopped by a key, or holding for a reason.
    Held,
    /// Failed, or undone.
    Bad,
    /// Not yet.
    Later,
}

impl Style {
    /// Plain text without colour, for what is no terminal.
    pub const PLAIN: Self = Self { glyphs: Glyphs::Unicode, colour: Colour::Off };

    /// From what a terminal is and what its environment says: `NO_COLOR` and a dumb terminal switch colour off, a locale
    /// that is not UTF-8 switches glyphs off.
    pub fn of(terminal: Terminal, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let plain =
            terminal == Terminal::No || set("NO_COLOR").is_some() || set("TERM").is_none_or(|term| term == "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| set(name)).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        let unicode = locale.contains("utf-8") || locale.contains("utf8");
        Self {
            glyphs: if unicode { Glyphs::Unicode } else { Glyphs::Ascii },
            colour: if plain { Colour::Off } else { Colour::On },
        }
    }

    pub(super) fn mark(self, mark: Mark) -> String {
        let glyph = match (self.glyphs, mark) {
            (Glyphs::Unicode, Mark::Good) => "✔",
            (Glyphs::Unicode, Mark::Moving) => "◐",
            (Glyphs::Unicode, Mark::Waiting) => "○",
            (Glyphs::Unicode, Mark::Held) => "‖",
            (Glyphs::Unicode, Mark::Bad) => "✘",
            (Glyphs::Unicode, Mark::Later) => "·",
            (Glyphs::Ascii, Mark::Good) => "+",
            (Glyphs::Ascii, Mark::Moving) => ">",
            (Glyphs::Ascii, Mark::Waiting) => "o",
            (Glyphs::Ascii, Mark::Held) => "=",
            (Glyphs::Ascii, Mark::Bad) => "x",
            (Glyphs::Ascii, Mark::Later) => ".",
        };
        self.paint(mark, glyph)
    }

    /// A text in the colour of how it is doing.
    pub(super) fn paint(self, mark: Mark, text: &str) -> String {
        let code = match mark {
            Mark::Good => 32,
            Mark::Moving => 36,
            Mark::Waiting | Mark::Held => 33,
            Mark::Bad => 31,
            Mark::Later => 90,
        };
        match self.colour {
            Colour::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Colour::Off => text.to_owned(),
        }
    }

    /// A text that stands out.
    pub(super) fn strong(self, text: &str) -> String {
        match self.colour {
            Colour::On => format!("\u{1b}[1m{text}\u{1b}[0m"),
            Colour::Off => text.to_owned(),
        }
    }

    /// What separates facts on one line.
    pub(super) fn dot(self) -> &'static str {
        match self.glyphs {
            Glyphs::Unicode => " · ",
            Glyphs::Ascii => " | ",
        }
    }

    /// The branch before a line of a tree.
    pub(super) fn branch(self, place: TreePosition) -> &'static str {
        match (self.glyphs, place) {
            (Glyphs::Unicode, TreePosition::Inner) => "├── ",
            (Glyphs::Unicode, TreePosition::Last) => "└── ",
            (Glyphs::Unicode, TreePosition::Below) => "│   ",
            (Glyphs::Ascii, TreePosition::Inner) => "|-- ",
            (Glyphs::Ascii, TreePosition::Last) => "`-- ",
            (Glyphs::Ascii, TreePosition::Below) => "|   ",
            (_, TreePosition::Free) => "    ",
        }
    }

    /// A weight in percent as a bar of ten.
    pub(super) fn bar(self, percent: f64) -> String {
        let (full, empty) = match self.glyphs {
            Glyphs::Unicode => ("█", "░"),
            Glyphs::Ascii => ("#", "-"),
        };
        // The smallest weight that is not zero is seen; everything is full only at 100.
        let tenth = |tenth: u32| percent > 0.0 && f64::from(tenth) * 10.0 < percent.max(10.0);
        let filled = (0..10).filter(|&at| if at == 9 { percent >= 100.0 } else { tenth(at) }).count();
        full.repeat(filled) + &empty.repeat(10 - filled)
    }
}

/// Whether text goes to a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// It does.
    Yes,
    /// It goes to a pipe or file.
    No,
}

/// Where a line stands among its siblings in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TreePosition {
    /// Others follow.
    Inner,
    /// It is the last one.
    Last,
    /// Below one that others follow.
    Below,
    /// Below the last one.
    Free,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(terminal: Terminal, variables: &[(&str, &str)]) -> Style {
        Style::of(terminal, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colour_is_for_terminals_that_want_it() {
        let terminal = [("TERM", "xterm"), ("LANG", "C.UTF-8")];
        assert_eq!(style(Terminal::Yes, &terminal), Style { glyphs: Glyphs::Unicode, colour: Colour::On });
        assert_eq!(style(Terminal::No, &terminal).colour, Colour::Off);
        assert_eq!(style(Terminal::Yes, &[("TERM", "dumb")]).colour, Colour::Off);
        assert_eq!(style(Terminal::Yes, &[]).colour, Colour::Off);
        assert_eq!(style(Terminal::Yes, &[("TERM", "xterm"), ("NO_COLOR", "1")]).colour, Colour::Off);
        assert_eq!(style(Terminal::Yes, &[("TERM", "xterm"), ("NO_COLOR", "")]).colour, Colour::On);
    }

    #[test]
    fn glyphs_are_for_locales_that_have_them() {
        assert_eq!(style(Terminal::No, &[("LANG", "de_DE.utf8")]).glyphs, Glyphs::Unicode);
        assert_eq!(style(Terminal::No, &[("LANG", "C.UTF-8"), ("LC_ALL", "C")]).glyphs, Glyphs::Ascii);
        assert_eq!(style(Terminal::No, &[]).glyphs, Glyphs::Ascii);
    }

    #[test]
    fn bars_show_every_weight_and_are_full_at_100_only() {
        let ascii = Style { glyphs: Glyphs::Ascii, colour: Colour::Off };
        for (percent, bar) in [
            (0.0, "----------"),
            (0.5, "#---------"),
            (25.0, "###-------"),
            (99.0, "#########-"),
            (100.0, "##########"),
        ] {
            assert_eq!(ascii.bar(percent), bar, "{percent}");
        }
    }
}
