"""A disk filler."""

print("begun", flush=True)
block = b"x" * (1 << 20)
number = 0
while True:
    number += 1
    with open(f"/app/file{number}", "wb") as file:
        for _ in range(64):
            file.write(block)
