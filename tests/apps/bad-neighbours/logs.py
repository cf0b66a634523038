"""A log flood."""

import os

os.write(1, b"begun\n")
lines = (b"x" * 100 + b"\n") * 600
while True:
    os.write(1, lines)
