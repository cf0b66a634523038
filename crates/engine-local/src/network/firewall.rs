//! Puts the slot's ruleset into the kernel through the `nft` tool, and keeps it there.

use std::{io, process::Stdio};

use tokio::{io::AsyncWriteExt, process::Command, sync::Mutex};

/// One slot's table.
#[derive(Debug)]
pub(super) struct Firewall {
    table: String,
    ruleset: String,
    /// The table as the kernel lists it when it is whole.
    listing: Mutex<Option<String>>,
}

impl Firewall {
    pub(super) fn new(table: String, ruleset: String) -> Self {
        Self {
            table,
            ruleset,
            listing: Mutex::new(None),
        }
    }

    /// Loads the ruleset unless the kernel has it as it was last loaded. Returns whether somebody
    /// had changed it.
    pub(super) async fn assert(&self) -> io::Result<bool> {
        let mut listing = self.listing.lock().await;
        let mut was_changed = false;
        if let Some(whole) = listing.as_ref() {
            let present = self.list().await;
            if present.as_ref().is_ok_and(|present| present == whole) {
                return Ok(false);
            }
            was_changed = true;
        }
        nft(&["-f", "-"], &self.ruleset).await?;
        *listing = Some(self.list().await?);
        Ok(was_changed)
    }

    /// Removes the table, if it is there.
    pub(super) async fn remove(&self) -> io::Result<()> {
        let mut listing = self.listing.lock().await;
        *listing = None;
        remove_table(&self.table).await
    }

    async fn list(&self) -> io::Result<String> {
        nft(&["--stateless", "list", "table", "inet", &self.table], "").await
    }
}

/// Removes a table, if it is there.
pub(super) async fn remove_table(table: &str) -> io::Result<()> {
    let removal = format!("table inet {table} {{}}\ndelete table inet {table}\n");
    nft(&["-f", "-"], &removal).await.map(drop)
}

/// Runs `nft` and returns what it prints.
async fn nft(arguments: &[&str], input: &str) -> io::Result<String> {
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(format!(
        "nft: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
