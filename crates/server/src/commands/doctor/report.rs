//! An examination as text: a line per finding, and below it what that means and how to mend it.

use super::judge::{Examination, Finding, Tenancy, Verdict};

/// How wide the column of subjects is.
const SUBJECT: usize = 24;

/// Lines for a terminal.
pub(super) fn text(examination: &Examination) -> String {
    let mut lines = Vec::new();
    for finding in &examination.findings {
        let verdict = match finding.verdict {
            Verdict::Fine => "fine",
            Verdict::Degraded => "degraded",
            Verdict::Missing => "missing",
        };
        let Finding {
            subject,
            found,
            meaning,
            hint,
            ..
        } = finding;
        lines.push(format!("{verdict:<9} {subject:<SUBJECT$} {found}"));
        let hint = hint.as_ref().map(|hint| format!("hint: {hint}"));
        for line in meaning.iter().chain(&hint) {
            lines.push(format!("{:<9} {:<SUBJECT$} {line}", "", ""));
        }
    }
    let end = match examination.tenancy {
        Tenancy::Many => "The platform can run here and keep its apps apart.",
        Tenancy::One => {
            "The platform can run here as this user in SINGLE-TENANT mode: only run what you trust."
        }
        Tenancy::None => "The platform cannot run here as it is.",
    };
    lines.extend(["", end, ""].map(str::to_owned));
    lines.join("\n")
}
