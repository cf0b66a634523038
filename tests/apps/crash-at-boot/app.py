"""Ends before it listens, as a missing setting would make it."""

import sys

print("KeyError: 'DATABASE_URL'", file=sys.stderr, flush=True)
sys.exit(3)
