//! Diagnostics as a person reads them.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::Diagnostic;

/// All mistakes of a file as text, with carets; in colour only on request.
pub fn render(file: &str, bytes: &[u8], diagnostics: &[Diagnostic], colour: bool) -> String {
    let text = String::from_utf8_lossy(bytes);
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let groups = diagnostics.iter().map(|d| {
        let title = Level::ERROR.primary_title(d.message.as_str());
        let mut group = match d.span.clone().filter(|s| s.end <= text.len()) {
            Some(span) => {
                let caret = AnnotationKind::Primary.span(narrow(&text, span));
                Group::with_title(title).element(Snippet::source(text.as_ref()).path(file).annotation(caret))
            }
            None => Group::with_title(title).element(Origin::path(file)),
        };
        if let Some(hint) = &d.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        renderer.render(&[group])
    });
    let mut out: String = groups.map(|g| g + "\n\n").collect();
    let s = if diagnostics.len() == 1 { "" } else { "s" };
    out.push_str(&format!("{file}: {} mistake{s}\n", diagnostics.len()));
    out
}

/// A value over many lines is pointed at by its first line.
fn narrow(text: &str, span: std::ops::Range<usize>) -> std::ops::Range<usize> {
    match text.get(span.clone()).and_then(|t| t.find('\n')) {
        Some(end) if end > 0 => span.start..span.start + end,
        _ => span,
    }
}
