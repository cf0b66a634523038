//! What the operator says on the status page: written here, told to the router, which shows it.
//!
//! Who may is decided in [`crate::authorize`]. Read [`Platform::create_status_note`].

use std::{collections::BTreeSet, time::Duration};

use api::{
    clock::Time,
    ids::StatusNoteId,
    status_notes::{NOTE_LETTERS, NOTES, NewStatusNote, PostedNote, StatusNoteUpdate, Until},
};
use router::wire::{Entry, EntryKey};

use crate::{
    Platform,
    caller::Caller,
    error::{Error, Result},
};

/// Notes that are over are kept for so long.
const KEPT: Duration = Duration::from_hours(24);

/// The notes that the router was told; held while they are told.
pub(crate) type ToldNotes = tokio::sync::Mutex<BTreeSet<StatusNoteId>>;

impl Platform {
    /// All notes, the newest first; those that are over among them for a day.
    pub async fn status_notes(&self) -> Result<Vec<PostedNote>> {
        Ok(self.store.status_notes().await?)
    }

    /// A note by id.
    pub async fn status_note(&self, identity: &str) -> Result<PostedNote> {
        let notes = self.status_notes().await?.into_iter();
        let found = notes
            .into_iter()
            .find(|note| note.id.to_string() == identity);
        found.ok_or_else(|| Error::NotFound {
            resource: "status note",
            name: identity.to_owned(),
        })
    }

    /// Writes a note. The router shows it within milliseconds.
    ///
    /// # Errors
    /// `Invalid` for a text that is empty or too long, an end that is past, and too many notes.
    pub async fn create_status_note(
        &self,
        caller: &Caller,
        new: NewStatusNote,
    ) -> Result<PostedNote> {
        let now = self.clock.now();
        let app = match &new.app {
            Some(app) => Some(self.app(app).await?.id),
            None => None,
        };
        let note = store::NewStatusNote {
            text: checked(&new.text)?,
            severity: new.severity,
            app,
            until: new.until,
        };
        check_end(note.until, now)?;
        let is_open = |note: &PostedNote| note.until.is_none_or(|until| now < until);
        let open = self.status_notes().await?;
        if open.iter().filter(|note| is_open(note)).count() >= NOTES {
            return Err(invalid(&format!(
                "There are {NOTES} notes already: take one back first"
            )));
        }
        let change = caller.change();
        let note = self
            .store
            .create_status_note(&change, &note, now.before(KEPT))
            .await?;
        self.tell_notes().await?;
        Ok(note)
    }

    /// Changes a note; what is left out stays.
    pub async fn update_status_note(
        &self,
        caller: &Caller,
        identity: &str,
        update: StatusNoteUpdate,
    ) -> Result<PostedNote> {
        let mut note = self.status_note(identity).await?;
        if let Some(text) = update.text {
            note.text = checked(&text)?;
        }
        if let Some(severity) = update.severity {
            note.severity = severity;
        }
        if let Some(until) = update.until {
            note.until = until.map(|Until(until)| until);
            check_end(note.until, self.clock.now())?;
        }
        let note = self
            .store
            .update_status_note(&caller.change(), &note)
            .await?;
        self.tell_notes().await?;
        Ok(note)
    }

    /// Takes a note back.
    pub async fn delete_status_note(&self, caller: &Caller, identity: &str) -> Result<PostedNote> {
        let note = self.status_note(identity).await?;
        self.store
            .delete_status_note(&caller.change(), &note)
            .await?;
        self.tell_notes().await?;
        Ok(note)
    }

    /// Has the router show the notes that there are and no others.
    pub(crate) async fn tell_notes(&self) -> Result<()> {
        // Held over the reading, so that what is read later is told later.
        let mut told = self.told_notes.lock().await;
        let notes = self.store.status_notes().await?;
        let ids: BTreeSet<StatusNoteId> = notes.iter().map(|note| note.id).collect();
        let gone = told.difference(&ids).copied().map(EntryKey::Note).collect();
        let notes = notes.into_iter().map(Entry::Note).collect();
        self.route_book.tell(notes, gone, &self.feed);
        *told = ids;
        Ok(())
    }

    /// Whether a router is connected: without one nobody reaches an app, as far as is known here.
    pub fn has_router(&self) -> bool {
        self.feed.is_connected()
    }
}

fn checked(text: &str) -> Result<String> {
    let text = text.trim().replace("\r\n", "\n");
    let letters = text.chars().count();
    if letters == 0 || letters > NOTE_LETTERS {
        return Err(invalid(&format!(
            "The text of a note has 1 to {NOTE_LETTERS} letters, not {letters}"
        )));
    }
    let is_odd = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    if text.chars().any(is_odd) {
        return Err(invalid("The text of a note has no control characters"));
    }
    Ok(text)
}

fn check_end(until: Option<Time>, now: Time) -> Result<()> {
    match until {
        Some(until) if until <= now => Err(invalid(&format!("{until} is past"))),
        _ => Ok(()),
    }
}

fn invalid(why: &str) -> Error {
    Error::Invalid {
        message: format!("{why}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(checked(text).ok().as_deref(), expected, "{text:?}");
        };
        check(" Disks\r\nare replaced ", Some("Disks\nare replaced"));
        check(" \n", None);
        check("a\u{1b}[31mred", None);
        check(&"ä".repeat(NOTE_LETTERS), Some(&"ä".repeat(NOTE_LETTERS)));
        check(&"a".repeat(NOTE_LETTERS + 1), None);
    }
}
