//! The hook as a program of its own, for tests; the product's binary plays it under this name.

fn main() -> std::process::ExitCode {
    source::hook::run()
}
