//! The person's terminal: its size, and handing every key on as it is.

use std::io::{self, IsTerminal};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// A terminal whose keys go to the dyno unseen, until dropped.
pub(super) struct Raw {
    former: Termios,
}

impl Raw {
    pub(super) fn begin() -> io::Result<Self> {
        let former = tcgetattr(io::stdin())?;
        let mut raw = former.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { former })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nobody left to tell, and nothing to be done.
        let restored = tcsetattr(io::stdin(), OptionalActions::Now, &self.former);
        drop(restored.map_err(io::Error::from));
    }
}

/// Whether a person sits at both ends.
pub(super) fn is_used() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Width and height.
pub(super) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}
