"""The real embedded session manager behind a socket, with somebody on the way who can cut: everything between it and the
daemon passes here, byte by byte, so that a link can be broken behind any of them, in either direction."""
import os
import selectors
import socket
import subprocess
import threading

import harness


class Link(threading.Thread):
    """One connection of the daemon's and its other half. It passes on what comes, until it is cut: by cut(), or by itself
    behind so many bytes from the daemon (`up`) or to it (`down`)."""

    def __init__(self, daemon, manager, up=None, down=None):
        super().__init__(daemon=True)
        self.ends = {daemon: manager, manager: daemon}
        self.left = {daemon: up, manager: down}
        self.passed = {daemon: 0, manager: 0}
        self.daemon_end, self.manager_end = daemon, manager
        self.over = threading.Event()
        self.heard = bytearray()    # what the session manager has sent
        self._cut_end, self._cutter = os.pipe()
        self.start()

    def run(self):
        selector = selectors.DefaultSelector()
        selector.register(self._cut_end, selectors.EVENT_READ)
        for end in self.ends:
            selector.register(end, selectors.EVENT_READ)
        while all([self._pass(key.fileobj) for key, _ in selector.select()]):
            pass
        for end in self.ends:
            end.close()
        selector.close()
        os.close(self._cut_end)
        self.over.set()

    def _pass(self, source):
        if source == self._cut_end:
            return False
        left = self.left[source]    # which a test may change at any time
        try:
            data = source.recv(65536 if left is None else min(65536, left))
            self.ends[source].sendall(data)
        except OSError:
            return False
        self.passed[source] += len(data)
        if source is self.manager_end:
            self.heard += data
        if left is not None:
            self.left[source] = left - len(data)
        return bool(data) and self.left[source] != 0

    def cut(self):
        """Now, wherever that is; True: it was not cut before."""
        if self.over.is_set():
            return False
        os.close(self._cutter)
        self.over.wait(harness.TIMEOUT)
        return True


class Bridge:
    """The session manager's process and the socket that the daemon connects to. `cuts`: (up, down) of connections to come."""

    def __init__(self, folder, acknowledge='yes', dialect='sfrom', name='foo-sockets', secret='link secret'):
        self.name, self.secret = name, secret
        self.path = os.path.join(folder, 'bridge')
        self.settings = ('host=localhost\nname=%s\nsecret=%s\ndatabase=%s\nregistration=yes\nacknowledge=%s\ndialect=%s\n\n' % (
            name, secret, os.path.join(folder, 'bridge.db'), acknowledge, dialect)).encode()
        self.cuts = []
        self.links = []
        self.changed = threading.Condition()
        self.process = None
        self.spawn()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def spawn(self):
        self.next, theirs = socket.socketpair()
        self.control, their_control = socket.socketpair()
        self.control.sendall(self.settings)

        def place():
            link, control = theirs.fileno(), their_control.fileno()
            while link < 10 or control < 10:
                link, control = os.dup(link), os.dup(control)
            os.dup2(link, 3)
            os.dup2(control, 4)

        self.process = subprocess.Popen([harness.program('sessiond/c2sd-sessiond')], close_fds=False, preexec_fn=place)
        theirs.close()
        their_control.close()
        self.log = harness.Output(self.control.makefile('rb'))

    def attributes(self, **more):
        return dict(name=self.name, address='unix:' + self.path, secret=self.secret, acknowledge='yes', **more)

    def _end(self):
        """A socket whose other end the session manager has for its link."""
        end, self.next = self.next, None
        if end is None:
            end, theirs = socket.socketpair()
            socket.send_fds(self.control, [b'link\n\n'], [theirs.fileno()])
            theirs.close()
        return end

    def _accept(self):
        while True:
            try:
                daemon = self.listener.accept()[0]
            except OSError:
                return
            up, down = self.cuts.pop(0) if self.cuts else (None, None)
            with self.changed:
                try:
                    self.links.append(Link(daemon, self._end(), up, down))
                except OSError:     # it is being started anew
                    daemon.close()
                self.changed.notify_all()

    def wait_links(self, count):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.links) >= count, harness.TIMEOUT):
                raise AssertionError('%d connections, not %d' % (len(self.links), count))
        return self.links[-1]

    def kill(self):
        """kill -9; another one takes its place at the next connection."""
        # The daemon may be back before this is over, and whoever loses its first link before it is open ends.
        link = self.links[-1]
        self.process.kill()
        self.process.wait()
        self.spawn()
        link.cut()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.process.kill()
        self.process.wait()
        for link in self.links:
            link.cut()
