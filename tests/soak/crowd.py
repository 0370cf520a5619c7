"""The clients of a fault test, seen from the test: processes (client.py), what they have read, and what can be done to them.

A client that is to be killed is stopped first; then nothing more is let into its socket (a filter that drops every segment, so
nothing more is acknowledged), and it reads what its kernel had, which is written down as that. Then comes SIGKILL. So what its
TCP had acknowledged and it had not read is known exactly, with TLS as well. Where something was unread the kernel would reset
the connection: it is told to, since by then all was read.
"""
import ctypes
import json
import mmap
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys

import harness
from client import ENDED, PAGE, READY, STARTING, padding
from law import KERNEL, READ

PIECE = re.compile(rb"<message\b[^>]*?(?:/>|>.*?</message>)|<stream:error\b.*?</stream:error>", re.S)
HEAD = re.compile(rb"<message\b[^>]*>")
BODY = re.compile(rb"<body>(\w+) (\w+) (\d+) (\d+) (x*)\.</body>")
NUMBER = re.compile(rb"\bid=['\"]m(\d+)['\"]")
KEEP = 1 << 20      # of a journal, before what was looked at is given back
SYS_PIDFD_GETFD = 438
SO_ATTACH_FILTER = 26
DROP_ALL = struct.pack('HBBI', 0x06, 0, 0, 0)   # BPF: ret #0
CLONE_NEWNET = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)


class Hang(AssertionError):
    """Something has not come in time: somebody does not go on."""


class Skip(Exception):
    """This cannot be done here."""


def punch(descriptor, length):
    """Give back the memory of the beginning of a file."""
    libc.fallocate(descriptor, 3, ctypes.c_long(0), ctypes.c_long(length))


def descriptor_of(pid, number):
    """The same socket as that process has, for us."""
    pidfd = os.pidfd_open(pid)
    try:
        found = libc.syscall(SYS_PIDFD_GETFD, pidfd, number, 0)
        if found < 0:
            raise OSError(ctypes.get_errno(), 'pidfd_getfd')
        return found
    finally:
        os.close(pidfd)


class Client:
    """One session of one user, or the attempt to have one."""

    serial = 0

    def __init__(self, crowd, user, first, space=None):
        Client.serial += 1
        self.crowd, self.user, self.session = crowd, user, Client.serial
        self.first = first          # its first message
        self.taken = 0              # of the journal
        self.tail = b''
        self.how = READ
        self.fate = None            # why it ended, or will
        self.over = False           # the process is gone, and all was taken
        self.said = ''              # its stream error
        self.stopped = False
        self.journal = os.memfd_create('journal')
        page = os.memfd_create('page')
        os.ftruncate(page, mmap.PAGESIZE)
        self.page = mmap.mmap(page, mmap.PAGESIZE)
        self.control, theirs = socket.socketpair()
        options = dict(crowd.options(user), user=user, resource='home', next=first, journal=self.journal, page=page,
                       control=theirs.fileno(), notify=crowd.notifier)
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'client.py'), json.dumps(options)],
            stdin=subprocess.DEVNULL, pass_fds=(self.journal, page, theirs.fileno(), crowd.notifier),
            preexec_fn=lambda: prepare(space))
        theirs.close()
        os.close(page)

    def get(self, name):
        return struct.unpack_from('=Q', self.page, 8 * PAGE.index(name))[0]

    @property
    def written(self):
        return max(self.get('written'), self.first - 1)

    @property
    def proven(self):
        return max(self.get('proven'), self.first - 1)

    @property
    def ready(self):
        return self.get('state') == READY and not self.over

    def tell(self, **command):
        try:
            self.control.sendall(json.dumps(command).encode() + b'\n')
        except BrokenPipeError:     # it has just ended
            pass

    def leave(self):
        self.tell(leave=True)

    # -- what it read

    def pump(self):
        """Take what is new; True: there was something."""
        if self.over:
            return False
        ends = self.process.poll() is not None  # before the last look
        data = os.pread(self.journal, KEEP, self.taken)
        if data:
            self.taken += len(data)
            self.take(data)
            if self.taken >= KEEP:
                punch(self.journal, self.taken // mmap.PAGESIZE * mmap.PAGESIZE)
        elif ends and not self.over:
            self.close()
        return bool(data)

    def take(self, data):
        text, done = self.tail + data, 0
        for found in PIECE.finditer(text):
            done = found.end()
            if found.group().startswith(b'<message'):
                self.take_message(found.group())
            else:
                self.said = found.group().decode()
        self.tail = text[done:]

    def take_message(self, text):
        books = self.crowd.books
        head = HEAD.match(text).group()
        number = NUMBER.search(head)
        if b"type='error'" in head or b'type="error"' in head:
            if number is None:
                books.change(self.user, text.decode()[:200])
            else:
                books.refuse(self.user, int(number.group(1)))
                self.crowd.errors[error_of(text)] += 1
            return
        found = BODY.search(text)
        if found is None or number is None or found.group(3) != number.group(1) or \
                found.group(2).decode() != self.user or not len(found.group(5)) == int(found.group(4)) == \
                padding(int(found.group(3)), self.crowd.big):
            books.change(self.user, text.decode()[:200])
            return
        books.arrive(self.user, self.session, found.group(1).decode(), int(found.group(3)), self.how, b'jabber:x:delay' in text)
        self.crowd.arrived += 1

    def close(self):
        self.over = True
        self.crowd.ended(self)
        self.control.close()
        os.close(self.journal)

    # -- what is done to it

    def stop(self):
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self.stopped = True

    def go_on(self):
        self.stopped = False
        os.kill(self.process.pid, signal.SIGCONT)

    def freeze(self):
        """Stopped, and deaf: nothing more comes into its socket. Returns that; None: it has just ended by itself."""
        self.stop()
        try:
            own = socket.socket(fileno=descriptor_of(self.process.pid, self.get('socket')))
        except OSError:
            return None
        code = ctypes.create_string_buffer(DROP_ALL)
        try:
            own.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack('HL', 1, ctypes.addressof(code)))
        except PermissionError as error:    # the kernel may keep what is left of its memory for that for root
            raise Skip('socket filters: %s' % error.strerror) from None
        return own

    def kill(self, fate, linger=None):
        """kill -9. linger: whether the kernel resets the connection; None: as it would."""
        self.finish(self.freeze(), fate, linger)

    def finish(self, own, fate, linger=None):
        """Of a frozen one: what its kernel has is written down, then it is killed."""
        self.fate = self.fate or fate
        while self.pump():
            pass
        if own is None or self.process.poll() is not None:
            self.go_on()
            return
        if linger is None:
            linger = unread(own) > 0
        if self.get('state') != STARTING:   # it has no messages and hears nothing
            self.how = KERNEL
            self.tell(drain=True)
            self.go_on()
            self.crowd.until(lambda: self.get('drained') or self.process.poll() is not None, 'drained by ' + self.user)
        if linger:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.process.kill()
        self.process.wait()
        own.close()
        while not self.over:
            self.pump()


def unread(own):
    """Bytes in the kernel."""
    import fcntl
    import termios
    return struct.unpack('i', fcntl.ioctl(own.fileno(), termios.FIONREAD, b'\0' * 4))[0]


def error_of(text):
    found = re.search(rb"<([a-z-]+) xmlns=['\"]urn:ietf:params:xml:ns:xmpp-stanzas", text)
    return found.group(1).decode() if found else 'error'


def prepare(space):
    """In the child: it ends with us; and lives in another network."""
    libc.prctl(harness.PR_SET_PDEATHSIG, signal.SIGKILL)
    if space is not None and libc.setns(space, CLONE_NEWNET) != 0:
        os._exit(96)


class Crowd:
    """All of them. `accounts`: user -> dict of address, tls, peers; `space` is a descriptor of a network namespace or missing.
    Whoever has peers is a sender. Users of which a session ended get another one at the next look."""

    def __init__(self, accounts, big, limit, state=None):
        from collections import Counter
        self.accounts, self.big, self.limit = accounts, big, limit
        self.state = state          # for a Hang: what everybody does, in words
        self.now = {}               # user -> Client
        self.ranges = []            # (sender, first, proven, written) of lives that are over
        self.until_number = {user: 0 for user, account in accounts.items() if account['peers']}
        self.next = {user: 1 for user in accounts}
        self.absent = set()         # users that are not to come back for now
        self.modes = {}             # user -> how it reads
        self.errors = Counter()
        self.arrived = 0
        self.asked = 0
        self.books = None
        self.fate = 'ended by the daemon'   # of sessions that end by themselves
        self.fates = Counter()
        self.looker, self.notifier = os.pipe()
        os.set_blocking(self.looker, False)
        os.set_blocking(self.notifier, False)

    def options(self, user):
        account = self.accounts[user]
        return dict(address=account['address'], tls=account['tls'], peers=account['peers'], big=self.big)

    def target(self, sender, number):
        peers = self.accounts[sender]['peers']
        return peers[number % len(peers)]

    @property
    def senders(self):
        return list(self.until_number)

    @property
    def receivers(self):
        return [user for user, account in self.accounts.items() if not account['peers']]

    def spawn(self, user):
        space = self.accounts[user].get('space')
        client = self.now[user] = Client(self, user, self.next[user], space)
        client.tell(**dict(self.modes.get(user, {}), until=self.until_number.get(user, 0)))
        return client

    def ended(self, client):
        client.fate = client.fate or self.fate
        self.fates[client.fate] += 1
        self.books.end(client.user, client.session, client.fate)
        self.ranges.append((client.user, client.first, client.proven, client.written))
        self.next[client.user] = client.written + 1
        if self.now.get(client.user) is client:
            del self.now[client.user]

    def pump(self, seconds=0.05):
        """Look at everybody once; wait for something to happen, but not for long."""
        busy = [client.pump() for client in list(self.now.values())]
        for user in self.accounts:
            if user not in self.now and user not in self.absent:
                self.spawn(user)
        if not any(busy):
            select.select([self.looker], [], [], seconds)
        try:
            os.read(self.looker, 65536)
        except BlockingIOError:
            pass

    def until(self, condition, what, limit=None):
        deadline = harness.Deadline(limit or self.limit)
        while not condition():
            self.pump()
            if deadline.left() == 0:
                raise Hang('not in time: %s' % what)

    # -- what they do

    def load(self, count):
        """So many more messages of each sender."""
        for user in self.until_number:
            base = self.now[user].written if user in self.now else self.next[user] - 1
            self.until_number[user] = max(self.until_number[user], base) + count
            if user in self.now:
                self.now[user].tell(until=self.until_number[user])

    def is_through(self):
        """Everything was sent, and proven."""
        return all(user in self.now and self.now[user].proven >= number for user, number in self.until_number.items())

    def progress(self, part):
        """A condition: so much of what is still to be sent has been proven."""
        def proven():
            return sum(self.now[user].proven if user in self.now else self.next[user] - 1 for user in self.until_number)

        start = proven()
        goal = start + part * (sum(self.until_number.values()) - start)
        return lambda: proven() >= goal

    def read(self, user, **mode):
        """How it reads from now on: chunk, pause."""
        self.modes[user] = dict(chunk=65536, pause=0.0, **{}) | mode
        if user in self.now:
            self.now[user].tell(**self.modes[user])

    def all_ready(self):
        return all(user in self.now and self.now[user].ready for user in self.accounts if user not in self.absent)

    def ask_all(self, what='an answer for everybody'):
        """Each asks and is answered: what was on its way to it has come. Who ends meanwhile asks anew."""
        self.asked += 1
        number, asked = self.asked, {}

        def answered():
            for user in self.accounts:
                client = self.now.get(user)
                if client and client.ready and asked.get(user) is not client:
                    asked[user] = client
                    client.tell(ask=number)
            return all(user in self.now and self.now[user].get('answered') >= number for user in self.accounts
                       if user not in self.absent)

        self.until(answered, what)

    def live_ranges(self):
        return self.ranges + [(user, client.first, client.proven, client.written) for user, client in self.now.items()]

    def new_books(self, books):
        """The old ones are closed: what comes from now on was sent from now on."""
        self.books = books
        self.ranges = []
        for client in self.now.values():
            client.first = client.written + 1
            self.next[client.user] = client.first

    def close(self):
        for client in list(self.now.values()):
            client.process.kill()
            client.process.wait()
        os.close(self.looker)
        os.close(self.notifier)


def state_name(client):
    return 'ended' if client.over or client.get('state') == ENDED else 'ready' if client.ready else 'starting'
