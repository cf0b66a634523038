//! Bytes to lines, as the log keeps them: without their ends, long ones cut.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use shim::spool::MAX_TEXT_BYTES;

use crate::{log::Log, sys};

/// How much is read at once: as much memory stays with every shim.
const READ_BYTES: usize = 4 << 10;
/// How often that is at most while lines are dropped, before the pause. Together they make some
/// 12 MB a second: enough to keep no program waiting that does not mean to flood the log, and
/// little enough that one which does costs no more than a hundredth of a processor.
const FLOOD_READS: usize = 15;
/// The pause.
const FLOOD_PAUSE_MS: i64 = 5;

/// One output of a dyno, on its way to the spool.
#[derive(Debug)]
pub(crate) struct LineReader {
    pipe: Option<File>,
    stream: u8,
    partial: Vec<u8>,
    resting_until_ms: Option<i64>,
}

impl LineReader {
    /// Reads `pipe`, which must not block, as `stream` (1 output, 2 error).
    pub(crate) fn new(pipe: OwnedFd, stream: u8) -> Self {
        Self {
            pipe: Some(pipe.into()),
            stream,
            partial: Vec::new(),
            resting_until_ms: None,
        }
    }

    /// What to poll; `None` once it has ended, or while it rests.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let pipe = self.pipe.as_ref().map(AsFd::as_fd);
        pipe.filter(|_| self.resting_until_ms.is_none())
    }

    /// Until when it rests. From then on it must be read again.
    pub(crate) fn resting_until_ms(&self) -> Option<i64> {
        self.resting_until_ms
    }

    /// Reads what there is, a little of it, and rests when most of it is thrown away.
    pub(crate) fn advance(&mut self, log: &mut Log) {
        self.resting_until_ms = None;
        for _ in 0..FLOOD_READS {
            if !self.read(log) || !log.is_flooded() {
                return;
            }
        }
        self.resting_until_ms = Some(sys::steady_millis() + FLOOD_PAUSE_MS);
    }

    /// Reads once and gives whole lines to the log. Returns whether there may be more.
    pub(crate) fn read(&mut self, log: &mut Log) -> bool {
        let Some(pipe) = &mut self.pipe else {
            return false;
        };
        let mut buffer = [0; READ_BYTES];
        match pipe.read(&mut buffer) {
            Ok(length) if length > 0 => {
                log.look_at_clock();
                self.take(&buffer[..length], log);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Ok(_) | Err(_) => {
                self.end(log);
                false
            }
        }
    }

    /// No more will come: the rest is a line, too.
    pub(crate) fn end(&mut self, log: &mut Log) {
        self.pipe = None;
        self.resting_until_ms = None;
        if !self.partial.is_empty() {
            log.push(self.stream, without_return(&self.partial));
            self.partial.clear();
        }
    }

    fn take(&mut self, bytes: &[u8], log: &mut Log) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            while self.partial.len() > MAX_TEXT_BYTES + usize::from(piece.ends_with(b"\n")) {
                let cut = cut_before(&self.partial, MAX_TEXT_BYTES);
                log.push(self.stream, &self.partial[..cut]);
                self.partial.drain(..cut);
            }
            if let Some(line) = self.partial.strip_suffix(b"\n") {
                log.push(self.stream, without_return(line));
                self.partial.clear();
            }
        }
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The last place at or before `limit` that is not within a UTF-8 character.
fn cut_before(bytes: &[u8], limit: usize) -> usize {
    let is_inside = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
    (limit.saturating_sub(3)..=limit)
        .rev()
        .find(|at| !is_inside(*at))
        .unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use shim::spool::{Reader, SEGMENT_BYTES, Writer};

    use super::*;

    fn check(name: &str, written: &[&[u8]], expected: &[&[u8]]) {
        let directory =
            std::env::temp_dir().join(format!("shim-lines-{name}-{}", std::process::id()));
        let mut log = Log::new(Writer::create(&directory, SEGMENT_BYTES).unwrap(), None);
        let (reader, mut writer) = io::pipe().unwrap();
        let mut lines = LineReader::new(reader.into(), 1);
        for part in written {
            writer.write_all(part).unwrap();
            lines.read(&mut log);
        }
        drop(writer);
        while lines.read(&mut log) {}
        log.flush();
        let records = Reader::new(&directory).read(0).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        let texts: Vec<&[u8]> = records
            .iter()
            .map(|record| record.text.as_slice())
            .collect();
        assert_eq!(texts, expected, "{name}");
    }

    #[test]
    fn lines_come_whole_however_they_were_written() {
        check("simple", &[b"a\nb\r\n"], &[b"a", b"b"]);
        check("pieces", &[b"a", b"b\nc", b"d"], &[b"ab", b"cd"]);
        check("empty", &[b"\n\n"], &[b"", b""]);
    }

    #[test]
    fn a_flood_is_counted_and_takes_breaks() {
        let directory = std::env::temp_dir().join(format!("shim-flood-{}", std::process::id()));
        let mut log = Log::new(Writer::create(&directory, SEGMENT_BYTES).unwrap(), Some(1));
        let (reader, mut writer) = io::pipe().unwrap();
        sys::set_nonblocking(reader.as_fd()).unwrap();
        let mut lines = LineReader::new(reader.into(), 1);
        writer.write_all(&b"1\n".repeat(30_000)).unwrap();
        lines.advance(&mut log);
        assert!(lines.resting_until_ms().is_some() && lines.descriptor().is_none());
        lines.advance(&mut log);
        assert!(lines.resting_until_ms().is_none() && lines.descriptor().is_some());
        log.flush();
        assert_eq!(log.last(), 30_000);
        let kept = Reader::new(&directory).read(0).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert!((10..20).contains(&kept.len()));
        assert_eq!(log.dropped(), 30_000 - kept.len() as u64);
        assert!(log.tells(0) && !log.tells(0) && log.tell_at_ms().is_none());
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let long = "x".repeat(MAX_TEXT_BYTES);
        check("exact", &[long.as_bytes(), b"\n"], &[long.as_bytes()]);
        check(
            "over",
            &[long.as_bytes(), b"yz\n"],
            &[long.as_bytes(), b"yz"],
        );
        let wide = format!("{}é\n", "x".repeat(MAX_TEXT_BYTES - 1));
        check(
            "wide",
            &[wide.as_bytes()],
            &[&long.as_bytes()[1..], "é".as_bytes()],
        );
    }
}
