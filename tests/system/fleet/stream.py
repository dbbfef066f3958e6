"""A process in a namespace: a server that tells callers who they are and echoes, a caller, or a caller that stays."""

import select
import socket
import sys
import threading
import time


def serve(port: int) -> None:
    listener = socket.create_server(("0.0.0.0", port), backlog=128)
    print("ready", flush=True)
    while True:
        caller, (address, _) = listener.accept()
        threading.Thread(target=echo, args=(caller, address), daemon=True).start()


def echo(caller: socket.socket, address: str) -> None:
    with caller:
        caller.sendall(f"{address}\n".encode())
        while data := caller.recv(64):
            caller.sendall(data)


def call(address: str, port: int, timeout_s: float) -> None:
    try:
        with socket.create_connection((address, port), timeout=timeout_s) as called:
            print(called.makefile().readline().strip())
    except OSError:
        return


def stream(address: str, port: int) -> None:
    """Until a line comes."""
    with socket.create_connection((address, port), timeout=5) as called:
        called.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        called.makefile().readline()
        called.settimeout(4)
        print("connected", flush=True)
        last, worst = time.monotonic(), 0.0
        while not select.select([sys.stdin], [], [], 0.01)[0]:
            try:
                called.sendall(b"x")
                if not called.recv(64):
                    raise ConnectionError("it was closed")
            except OSError as error:
                print(f"broken: {error}", flush=True)
                sys.stdin.readline()
                return
            now = time.monotonic()
            last, worst = now, max(worst, now - last)
        print(f"lived {worst:.3f}")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        serve(int(rest[0]))
    elif what == "call":
        call(rest[0], int(rest[1]), float(rest[2]))
    else:
        stream(rest[0], int(rest[1]))
