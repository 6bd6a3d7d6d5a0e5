//! `result.json`: the whole report, for programs. Its keys are the fields of [`Report`], in their order.

use harness::report::Report;

/// Indented, with a final newline.
pub fn render(report: &Report) -> String {
    let mut json = serde_json::to_string_pretty(report).expect("a report is plain data with text keys");
    json.push('\n');
    json
}
