"""Takes memory until it is stopped."""

hoard = []
while True:
    hoard.append(bytearray(16 * 1024 * 1024))
    print(f"{len(hoard) * 16} MB", flush=True)
