//! A page of plain text: at most [`WIDTH`] columns, hanging indents, nothing that a terminal would obey.

use super::words::clean;

/// Columns.
pub(crate) const WIDTH: usize = 100;

/// Text as it grows.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    /// An empty line, then a title.
    pub(crate) fn section(&mut self, title: &str) {
        self.0.push('\n');
        self.wrapped("", 0, title);
    }

    /// Text after `head`; lines that follow are indented by the width of `head`.
    pub(crate) fn item(&mut self, head: &str, text: &str) {
        self.wrapped(head, head.chars().count(), text);
    }

    /// Text after `head`; lines that follow are indented by `hang`.
    pub(crate) fn wrapped(&mut self, head: &str, hang: usize, text: &str) {
        let mut line: String = clean(head);
        let mut used = line.chars().count();
        let mut fresh = true;
        for word in clean(text).split(' ').filter(|w| !w.is_empty()) {
            for piece in pieces(word, WIDTH - hang.min(WIDTH / 2)) {
                let needed = piece.chars().count() + usize::from(!fresh);
                if used + needed > WIDTH && !(fresh && used <= hang) {
                    self.push(&line);
                    (line, used, fresh) = (" ".repeat(hang), hang, true);
                }
                if !fresh {
                    line.push(' ');
                }
                line.push_str(&piece);
                used += piece.chars().count() + usize::from(!fresh);
                fresh = false;
            }
        }
        self.push(&line);
    }

    /// One line of a table: cells padded to their widths, the first to the left and the others to the right.
    pub(crate) fn row(&mut self, widths: &[usize], cells: &[String]) {
        let mut line = String::from(" ");
        for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let cell = clean(cell);
            line.push_str(&if i == 0 { format!(" {cell:<width$}") } else { format!(" {cell:>width$}") });
        }
        self.push(&line);
    }

    fn push(&mut self, line: &str) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    pub(crate) fn text(self) -> String {
        self.0
    }
}

/// A word that is longer than a line, cut.
fn pieces(word: &str, width: usize) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    chars.chunks(width.max(1)).map(|c| c.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(head: &str, text: &str) -> String {
        let mut page = Page::default();
        page.item(head, text);
        page.text()
    }

    #[test]
    fn long_text_hangs_under_its_head() {
        let text = page("  why  ", &"word ".repeat(40));
        assert!(text.lines().count() > 1 && text.lines().skip(1).all(|l| l.starts_with("       word")));
        assert!(text.lines().all(|l| l.chars().count() <= WIDTH));
    }

    #[test]
    fn no_line_is_too_long_and_nothing_reaches_the_terminal() {
        for len in [1, 92, 93, 94, 100, 101, 1000] {
            for head in ["", "  why  "] {
                let text = page(head, &format!("a {} b\n\u{1b}[31m\u{202e}", "x".repeat(len)));
                assert!(text.lines().all(|l| l.chars().count() <= WIDTH), "{text}");
                assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
                assert_eq!(text.matches('x').count(), len);
            }
        }
    }
}
