//! How an attempt went, in words that a table of expectations can name.

use std::{fmt, io};

/// How an attempt went.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It succeeded: `ok`.
    Done,
    /// The kernel refused: `EPERM`, or `errno 999` for a number without a name here.
    Refused(i32),
    /// It found something out.
    Told(String),
}

/// Refusals with a name.
const NAMES: &[(i32, &str)] = &[
    (libc::EPERM, "EPERM"),
    (libc::ENOENT, "ENOENT"),
    (libc::ESRCH, "ESRCH"),
    (libc::EIO, "EIO"),
    (libc::ENXIO, "ENXIO"),
    (libc::EBADF, "EBADF"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (libc::EACCES, "EACCES"),
    (libc::EFAULT, "EFAULT"),
    (libc::EINVAL, "EINVAL"),
    (libc::EROFS, "EROFS"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
    (libc::EPROTONOSUPPORT, "EPROTONOSUPPORT"),
    (libc::ENETUNREACH, "ENETUNREACH"),
    (libc::EHOSTUNREACH, "EHOSTUNREACH"),
    (libc::ECONNREFUSED, "ECONNREFUSED"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
];

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("ok"),
            Self::Told(text) => f.write_str(text),
            Self::Refused(number) => match NAMES.iter().find(|(errno, _)| errno == number) {
                Some((_, name)) => f.write_str(name),
                None => write!(f, "errno {number}"),
            },
        }
    }
}

impl From<io::Error> for Outcome {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Self::Refused(number),
            None if error.kind() == io::ErrorKind::TimedOut => Self::Refused(libc::ETIMEDOUT),
            None => Self::Told(error.to_string()),
        }
    }
}

impl<T> From<io::Result<T>> for Outcome {
    fn from(result: io::Result<T>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(error) => error.into(),
        }
    }
}
