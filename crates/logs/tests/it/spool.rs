//! The spool between two processes; a process that dies is a value that is forgotten unflushed.

use std::{fs, path::Path, time::Duration};

use logs::spool::{Entry, Limits, MAX_RECORD_BYTES, Reader, SpoolError, Writer};

fn open(dir: &Path) -> Writer {
    Writer::open(
        dir,
        Limits {
            segment_bytes: 1000,
            total_bytes: 5000,
        },
    )
    .unwrap()
}

fn write(writer: &mut Writer, from: u64, to: u64) {
    for n in from..to {
        writer.append(format!("record {n}").as_bytes());
        writer.flush();
    }
}

/// Takes everything there is; records as `(sequence, text)`.
fn take(reader: &mut Reader) -> (Vec<(u64, String)>, u64) {
    let (mut records, mut lost) = (Vec::new(), 0);
    loop {
        let entries = reader.read(7).unwrap();
        if entries.is_empty() {
            return (records, lost);
        }
        for entry in entries {
            match entry {
                Entry::Record { sequence, bytes } => {
                    records.push((sequence, String::from_utf8(bytes).unwrap()));
                }
                Entry::Dropped { count } => lost += count,
            }
        }
    }
}

fn expected(from: u64, to: u64) -> Vec<(u64, String)> {
    (from..to).map(|n| (n, format!("record {n}"))).collect()
}

fn newest(dir: &Path) -> std::path::PathBuf {
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "spool"))
        .max()
        .unwrap()
}

#[test]
fn a_reader_follows_a_writer_over_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let mut reader = Reader::open(dir.path()).unwrap();
    assert_eq!(take(&mut reader), (vec![], 0));
    for round in 0..10 {
        write(&mut writer, 1 + round * 30, 1 + (round + 1) * 30);
        assert_eq!(
            take(&mut reader),
            (expected(1 + round * 30, 1 + (round + 1) * 30), 0)
        );
        reader.acknowledge().unwrap();
    }
    let files = fs::read_dir(dir.path()).unwrap().count();
    assert!(files <= 5, "acknowledged segments go: {files} files");
}

#[test]
fn what_was_not_acknowledged_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    write(&mut writer, 1, 90);
    let mut reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.read(40).unwrap().len(), 40);
    reader.acknowledge().unwrap();
    assert_eq!(take(&mut reader).0.len(), 49);
    let mut reader = Reader::open(dir.path()).unwrap();
    assert_eq!(take(&mut reader), (expected(41, 90), 0));
}

#[test]
fn a_writer_killed_at_any_byte_goes_on_behind_what_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    write(&mut writer, 1, 4);
    let before = usize::try_from(fs::metadata(newest(dir.path())).unwrap().len()).unwrap();
    write(&mut writer, 4, 5);
    drop(writer);
    let segment = newest(dir.path());
    let whole = fs::read(&segment).unwrap();
    for end in before..whole.len() {
        fs::write(&segment, &whole[..end]).unwrap();
        let mut reader = Reader::open(dir.path()).unwrap();
        assert_eq!(take(&mut reader), (expected(1, 4), 0), "cut at {end}");
        let mut writer = open(dir.path());
        write(&mut writer, 4, 6);
        assert_eq!(take(&mut reader), (expected(4, 6), 0), "cut at {end}");
        drop(writer);
        fs::remove_file(newest(dir.path())).unwrap();
    }
}

#[test]
fn a_torn_first_record_is_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    write(&mut writer, 1, 2);
    drop(writer);
    let whole = fs::read(newest(dir.path())).unwrap();
    fs::write(newest(dir.path()), &whole[..whole.len() - 1]).unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    assert_eq!(take(&mut reader), (vec![], 0));
    write(&mut open(dir.path()), 1, 3);
    assert_eq!(take(&mut reader), (expected(1, 3), 0));
}

#[test]
fn a_full_spool_loses_its_oldest_and_says_how_many() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let mut early = Reader::open(dir.path()).unwrap();
    write(&mut writer, 1, 10);
    assert_eq!(take(&mut early).0.len(), 9);
    write(&mut writer, 10, 2000);
    let held: u64 = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(held <= 6100, "{held} bytes");
    let (records, lost) = take(&mut Reader::open(dir.path()).unwrap());
    assert!(lost > 1000);
    assert_eq!(records, expected(1 + lost, 2000));
    // A reader in the middle of a removed segment still has its end.
    let (rest_of_segment, missed) = take(&mut early);
    let end = 10 + (rest_of_segment.len() - records.len()) as u64;
    assert_eq!(end + missed, 1 + lost);
    assert_eq!(rest_of_segment, [expected(10, end), records].concat());
}

#[test]
fn records_lost_to_the_disk_are_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("spool");
    let aside = dir.path().join("aside");
    let mut writer = open(&place);
    let mut reader = Reader::open(&place).unwrap();
    write(&mut writer, 1, 70);
    assert_eq!(take(&mut reader).0.len(), 69);
    fs::rename(&place, &aside).unwrap();
    // The segment in hand goes on until it is full, then the directory is missed.
    write(&mut writer, 70, 200);
    let dropped = writer.dropped();
    assert!(dropped > 50);
    fs::rename(&aside, &place).unwrap();
    write(&mut writer, 200, 203);
    let (records, lost) = take(&mut reader);
    assert_eq!(lost, dropped);
    assert_eq!(records[records.len() - 3..], expected(200, 203));
    assert_eq!(records[..records.len() - 3], expected(70, 200 - dropped));
}

#[test]
fn a_new_writer_never_reuses_acknowledged_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    write(&mut writer, 1, 5);
    let mut reader = Reader::open(dir.path()).unwrap();
    take(&mut reader);
    reader.acknowledge().unwrap();
    drop(writer);
    // A power cut can take what the kernel had not yet written.
    fs::remove_file(newest(dir.path())).unwrap();
    write(&mut open(dir.path()), 5, 7);
    assert_eq!(take(&mut reader), (expected(5, 7), 0));
    assert_eq!(Reader::open(dir.path()).unwrap().id(), reader.id());
}

#[test]
fn records_of_no_acceptable_size_are_dropped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    writer.append(b"");
    writer.append(&vec![b'x'; MAX_RECORD_BYTES + 1]);
    writer.append(&vec![b'x'; MAX_RECORD_BYTES]);
    writer.flush();
    assert_eq!(writer.dropped(), 2);
    let (records, lost) = take(&mut Reader::open(dir.path()).unwrap());
    assert_eq!((records.len(), records[0].0, lost), (1, 1, 0));
}

#[test]
fn one_writer_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let second = Writer::open(dir.path(), Limits::default());
    assert!(matches!(second, Err(SpoolError::Busy { .. })));
    drop(writer);
    drop(open(dir.path()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_reader_gets_everything_a_busy_writer_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(
        dir.path(),
        Limits {
            segment_bytes: 1000,
            total_bytes: 1 << 20,
        },
    )
    .unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    let writing = tokio::task::spawn_blocking(move || write(&mut writer, 1, 3001));
    let mut next = 1;
    while next <= 3000 {
        let entries = tokio::time::timeout(Duration::from_secs(20), reader.read_some(100)).await;
        for entry in entries.expect("entries come").unwrap() {
            let bytes = format!("record {next}").into_bytes();
            assert_eq!(
                entry,
                Entry::Record {
                    sequence: next,
                    bytes
                }
            );
            next += 1;
        }
        reader.acknowledge().unwrap();
    }
    writing.await.unwrap();
}
