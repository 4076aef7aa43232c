# SPDX-License-Identifier: Apache-2.0
"""A bad network: stands between clients and a relay, on a port of its own."""
import select
import socket
import struct
import threading

UP, DOWN = "up", "down"  # from the client, to the client


class Connection(threading.Thread):
    def __init__(self, proxy, client, number):
        super().__init__(daemon=True)
        self.proxy, self.number, self.stranded = proxy, number, False
        self.passed = {UP: 0, DOWN: 0}
        self.cut = proxy.next_cut()
        server = socket.create_connection(("127.0.0.1", proxy.target()))
        self.ends = {UP: (client, server), DOWN: (server, client)}
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.start()

    def room(self, way):
        """How many bytes may still pass this way."""
        if self.cut is None or self.cut[0] != way:
            return 1 << 30
        return self.cut[1] - self.passed[way]

    def take(self, way):
        """False when the connection is over."""
        source, sink = self.ends[way]
        data = source.recv(65536)
        data = data[:self.room(way)]
        at = 0
        while at < len(data):
            piece = data[at:at + self.proxy.piece()]
            sink.sendall(piece)
            at += len(piece)
        self.passed[way] += len(data)
        if self.room(way) <= 0:
            self.proxy.cuts_done += 1
            return False
        return len(data) > 0

    def run(self):
        reset = self.cut is not None and self.cut[2]
        try:
            going = self.room(UP) > 0 and self.room(DOWN) > 0
            while going and not self.proxy.closed:
                ways = [w for w in (UP, DOWN) if not self.proxy.held[w] and not self.stranded]
                ready = select.select([self.ends[w][0] for w in ways], [], [], 0.02)[0]
                for way in ways:
                    if going and self.ends[way][0] in ready:
                        going = self.take(way)
        except OSError:
            pass  # an end hung up while we wrote to it
        for s in self.ends[UP]:
            if reset:  # a close with this sends no orderly end but a reset
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()


class Proxy:
    """target: the relay's port, or what returns it. Used in a with.

    cuts: one per connection, in order: None or (UP or DOWN, after so many bytes, reset instead of
    an orderly end). piece(): how many bytes go on at a time. hold(way): nothing passes that way.
    strand(): nothing passes any more in the connections that there are, and neither end is told.
    """

    def __init__(self, target, cuts=(), piece=lambda: 65536):
        self.target = target if callable(target) else lambda: target
        self.cuts, self.piece = list(cuts), piece
        self.held = {UP: False, DOWN: False}
        self.connections, self.cuts_done, self.closed = [], 0, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def next_cut(self):
        return self.cuts.pop(0) if self.cuts else None

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            try:
                self.connections.append(Connection(self, client, len(self.connections)))
            except OSError:
                client.close()  # the relay is down

    def hold(self, *ways):
        self.held.update({w: True for w in ways})

    def let_go(self):
        self.held.update({UP: False, DOWN: False})

    def strand(self):
        for c in self.connections:
            c.stranded = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for c in self.connections:
            c.join()
