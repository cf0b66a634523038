"""A memory bomb: wants ever more and writes to all of it."""

print("begun", flush=True)
held = []
while True:
    held.append(b"x" * (16 << 20))
