"""One client of the fault tests: a process of its own, so that kill -9 is real. It logs in, sends numbered messages as far as
it is told, and writes what it reads into its journal right behind read().

client.py JSON: `address`, `user`, `resource`, `tls`, `next` (the number of its first message), `peers` (to whom), `big` (bytes
of the longest message), `journal`, `page`, `control`, `notify` (descriptors). crowd.py is the other end of these.

The page holds numbers of 8 bytes that the parent reads at any time: what it is (PAGE). Commands are lines of JSON on
`control`: {"until": number} send so far; {"chunk": bytes, "pause": seconds} read so much at a time, 0: nothing; {"ask": number}
send an iq with that; {"drain": true} send nothing more, read what there is, and say so; {"leave": true} say goodbye.
"""
import json
import mmap
import os
import re
import select
import socket
import ssl
import struct
import sys
import time

PAGE = ('written', 'proven', 'answered', 'state', 'drained', 'socket')
STARTING, JOINING, READY, ENDED = range(4)
WINDOW = 128        # messages that are not proven; the next ones wait
BATCH = 16          # messages to an iq whose answer proves them
PROOF = re.compile(rb"<iq\b[^>]*\bid=['\"]p(\d+)['\"]")
ANSWER = re.compile(rb"<iq\b[^>]*\bid=['\"]q(\d+)['\"]")
REFUSED = re.compile(rb"type=['\"]error['\"]|</stream:stream>")
STREAM = ("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
          "to='localhost' version='1.0'>")
LOGIN = ("<iq type='set' id='login'><query xmlns='jabber:iq:auth'><username>%s</username><password>secret</password>"
         "<resource>%s</resource></query></iq>")


def padding(number, big):
    """Bytes that this message has besides its numbers."""
    if number % 509 == 0:
        return big
    return 5000 if number % 37 == 0 else number % 97


def body(sender, receiver, number, big):
    length = padding(number, big)
    return '%s %s %d %d %s.' % (sender, receiver, number, length, 'x' * length)


class Ended(Exception):
    pass


class Client:
    def __init__(self, options):
        self.__dict__.update(options)
        self.page = mmap.mmap(self.page, mmap.PAGESIZE)
        self.until = 0
        self.chunk, self.pause = 65536, 0.0
        self.next_read = 0.0
        self.tail = b''
        self.out = b''
        self.commands = b''
        self.socket = None
        self.written = self.next - 1
        self.leaving = False

    def say(self, name, value):
        struct.pack_into('=Q', self.page, 8 * PAGE.index(name), value)
        self.wake()

    def get(self, name):
        return struct.unpack_from('=Q', self.page, 8 * PAGE.index(name))[0]

    def wake(self):
        try:
            os.write(self.notify, b'x')
        except BlockingIOError:     # somebody looks already
            pass

    # -- bytes

    def connect(self):
        self.socket = socket.socket()
        self.socket.settimeout(60)
        self.socket.connect(tuple(self.address))
        self.say('socket', self.socket.fileno())
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket, server_hostname='localhost')

    def read(self, size=65536):
        """Into the journal, at once. False: there is nothing now."""
        try:
            data = self.socket.recv(size)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except (OSError, ssl.SSLError):
            data = b''
        if not data:
            raise Ended
        os.write(self.journal, data)
        self.look(data)
        return True

    def look(self, data):
        """What does it answer?"""
        self.tail += data
        for pattern, name in ((PROOF, 'proven'), (ANSWER, 'answered')):
            for found in pattern.finditer(self.tail):
                self.say(name, max(self.get(name), int(found.group(1))))
        self.tail = self.tail[-200:]
        self.wake()

    def write(self):
        try:
            self.out = self.out[self.socket.send(self.out):]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except (OSError, ssl.SSLError):
            self.out = b''      # what has come is read to its end

    def expect(self, pattern):
        """Before the session, one thing after the other. What comes may come in pieces."""
        while not re.search(pattern, seen := os.pread(self.journal, 1 << 20, 0)):
            if REFUSED.search(seen):
                raise Ended
            self.read()

    def login(self):
        self.socket.sendall(STREAM.encode())
        self.expect(rb'</stream:features>')
        self.socket.sendall((LOGIN % (self.user, self.resource)).encode())
        self.expect(rb"id=['\"]login['\"]")
        self.say('state', JOINING)      # messages may come
        self.socket.sendall(b'<presence/>')
        self.socket.setblocking(False)
        self.say('state', READY)

    # -- messages

    def batch(self):
        """Some messages, and what is answered behind them."""
        text = ''
        for number in range(self.written + 1, min(self.until, self.written + BATCH) + 1):
            peer = self.peers[number % len(self.peers)]
            text += "<message to='%s@localhost%s' type='chat' id='m%d'><body>%s</body></message>" % (
                peer, '/home' if number // len(self.peers) % 2 else '', number, body(self.user, peer, number, self.big))
            self.written = number
        text += "<iq type='get' id='p%d'><query xmlns='jabber:iq:roster'/></iq>" % self.written
        self.say('written', self.written)   # before that is true
        self.out += text.encode()

    def take_commands(self):
        data = os.read(self.control, 65536)
        if not data:
            sys.exit(0)     # our parent is gone
        self.commands += data
        *lines, self.commands = self.commands.split(b'\n')
        for line in lines:
            command = json.loads(line)
            self.until = command.get('until', self.until)
            self.chunk = command.get('chunk', self.chunk)
            self.pause = command.get('pause', self.pause)
            if 'ask' in command:
                self.out += ("<iq type='get' id='q%d'><query xmlns='jabber:iq:roster'/></iq>" % command['ask']).encode()
            if command.get('drain'):
                self.drain()
            if command.get('leave'):
                self.leaving = True

    def drain(self):
        self.until = 0
        try:
            while self.read():
                pass
        finally:
            self.say('drained', 1)
        signal_wait()

    def turn(self):
        if not self.out and self.until > self.written < max(self.get('proven'), self.next - 1) + WINDOW:
            self.batch()
        if self.leaving and not self.out:
            self.leaving = False
            self.out = b'</stream:stream>'
        left = self.next_read - time.monotonic()
        reads = self.chunk and left <= 0
        if reads and isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            ready = [self.socket]
        else:
            ready = select.select([self.control] + ([self.socket] if reads else []), [self.socket] if self.out else [], [],
                                  left if self.chunk and not reads else None)
            ready = ready[0] + ready[1]
        if self.control in ready:
            self.take_commands()
        if self.socket in ready:
            if self.out:
                self.write()
            if reads:
                self.read(self.chunk)
                self.next_read = time.monotonic() + self.pause if self.pause else 0.0

    def run(self):
        try:
            self.connect()
            self.login()
            while True:
                self.turn()
        except Ended:
            pass
        except OSError as error:
            print('client %s: %s' % (self.user, error), file=sys.stderr)
        self.say('state', ENDED)


def signal_wait():
    """For the end: whoever was drained is killed."""
    while True:
        time.sleep(3600)


if __name__ == '__main__':
    Client(json.loads(sys.argv[1])).run()
