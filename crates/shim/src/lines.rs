//! Bytes to lines, as the log keeps them: without their ends, long ones cut.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use shim::spool::{MAX_TEXT_BYTES, Writer};

/// How much is read at once.
const READ_BYTES: usize = 16 << 10;

/// One output of a dyno, on its way to the spool.
#[derive(Debug)]
pub(crate) struct LineReader {
    pipe: Option<File>,
    stream: u8,
    partial: Vec<u8>,
}

impl LineReader {
    /// Reads `pipe`, which must not block, as `stream` (1 output, 2 error).
    pub(crate) fn new(pipe: OwnedFd, stream: u8) -> Self {
        Self {
            pipe: Some(pipe.into()),
            stream,
            partial: Vec::new(),
        }
    }

    /// What to poll; `None` once it has ended.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads once and gives whole lines to the spool. Returns whether there may be more.
    pub(crate) fn read(&mut self, spool: &mut Writer, now_micros: i64) -> bool {
        let Some(pipe) = &mut self.pipe else {
            return false;
        };
        let mut buffer = [0; READ_BYTES];
        match pipe.read(&mut buffer) {
            Ok(length) if length > 0 => {
                self.take(&buffer[..length], spool, now_micros);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Ok(_) | Err(_) => {
                self.end(spool, now_micros);
                false
            }
        }
    }

    /// No more will come: the rest is a line, too.
    pub(crate) fn end(&mut self, spool: &mut Writer, now_micros: i64) {
        self.pipe = None;
        if !self.partial.is_empty() {
            spool.push(now_micros, self.stream, without_return(&self.partial));
            self.partial.clear();
        }
    }

    fn take(&mut self, bytes: &[u8], spool: &mut Writer, now_micros: i64) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            while self.partial.len() > MAX_TEXT_BYTES + usize::from(piece.ends_with(b"\n")) {
                let cut = cut_before(&self.partial, MAX_TEXT_BYTES);
                spool.push(now_micros, self.stream, &self.partial[..cut]);
                self.partial.drain(..cut);
            }
            if let Some(line) = self.partial.strip_suffix(b"\n") {
                spool.push(now_micros, self.stream, without_return(line));
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

    use shim::spool::{Reader, SEGMENT_BYTES};

    use super::*;

    fn check(name: &str, written: &[&[u8]], expected: &[&[u8]]) {
        let directory =
            std::env::temp_dir().join(format!("shim-lines-{name}-{}", std::process::id()));
        let mut spool = Writer::create(&directory, SEGMENT_BYTES).unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let mut lines = LineReader::new(reader.into(), 1);
        for part in written {
            writer.write_all(part).unwrap();
            lines.read(&mut spool, 0);
        }
        drop(writer);
        while lines.read(&mut spool, 0) {}
        spool.flush();
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
