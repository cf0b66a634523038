"""A socket hoarder: as many connections as it can get, each filled with what nobody reads."""

import socket
import time

print("begun", flush=True)
held = []
listener = socket.create_server(("127.0.0.1", 9000), backlog=4096)
try:
    while True:
        one = socket.create_connection(("127.0.0.1", 9000))
        one.setblocking(False)
        held += [one, listener.accept()[0]]
        try:
            while True:
                one.send(b"x" * 65536)
        except BlockingIOError:
            pass
except OSError as error:
    print("at", len(held), error, flush=True)
while True:
    time.sleep(0.01)
    try:
        held.append(socket.socket())
    except OSError:
        pass
