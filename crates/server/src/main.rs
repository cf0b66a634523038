//! The program `landfall`. Everything is in the library half; read `server::commands`.

use std::process::ExitCode;

fn main() -> ExitCode {
    server::commands::main()
}
