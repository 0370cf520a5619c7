#!/usr/bin/env python3
"""What bounds the queues, and that no two parts can wait for each other for ever.

A crowd of clients floods in all directions at once while the session manager, a worker and the clients themselves are
stopped, in every order, and let go, in every order; then everything that was sent must be somewhere."""
import itertools
import json
import os
import re
import secrets
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time

import harness
from harness import DaemonCase, Deadline, chat
from xmlstream import XmlStream

MESSAGE = re.compile(rb"<message\b([^>]*)>.*?</message>", re.S)
ID = re.compile(rb""" id=['"]([^'"]*)['"]""")
ERROR = re.compile(rb""" type=['"]error['"]""")
STREAM_ERROR = re.compile(rb"<stream:error>\s*<([\w-]+)")


def where(daemon):
    """What everybody is doing, for who has waited too long."""
    lines = []
    for pid in [daemon.process.pid] + daemon.children():
        try:
            with open('/proc/%d/stat' % pid) as stat, open('/proc/%d/wchan' % pid) as wchan, \
                    open('/proc/%d/syscall' % pid) as call:
                lines.append('%d %s %s in %s, system call %s' % (pid, harness.process_title(pid), stat.read().split()[2],
                                                                wchan.read(), call.read().split()[0]))
        except OSError as error:
            lines.append('%d %s' % (pid, error))
    found = subprocess.run(['ss', '-xtn'], capture_output=True, text=True, check=False).stdout.splitlines()
    lines += [line for line in found if re.search(r'ESTAB +[1-9]|ESTAB +0 +[1-9]', line)][:40]
    try:
        lines.append(json.dumps(daemon.status()))
    except (AssertionError, subprocess.TimeoutExpired) as error:
        lines.append('no status: %s' % error)
    return '\n'.join(lines + daemon.log.lines[-25:])


class Member:
    """One of the crowd. `sent`: what it has given to TCP wholly; `got`: what it was given, in its order."""

    def __init__(self, name, client):
        self.name = name
        self.socket = client.socket
        # Little is to be in the kernel, where nobody sees it.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        self.targets = []
        self.reading, self.sending = True, False
        self.cap = None         # bytes that it sends at most
        self.pending, self.labels = b'', []
        self.numbers = {}
        self.sent, self.got, self.errors = [], [], []
        self.buffer = bytearray()
        self.bytes_in = self.bytes_out = 0
        self.ended, self.why = False, None
        self.blocked = False    # its socket takes nothing

    def make(self, run):
        """Some more to be sent."""
        text, self.labels = b'', []
        while len(text) < 32768:
            for number, target in enumerate(self.targets):
                count = self.numbers[target] = self.numbers.get(target, 0) + 1
                label = '%s-%s-%d-%d' % (run, self.name, number, count)
                text += ("<message to='%s' id='%s' type='chat'><body>%s</body></message>" % (
                    target, label, 'x' * (300 + 977 * count % 4000))).encode()
                self.labels.append((len(text), label))
        self.pending = text

    def write(self, run):
        if not self.pending and self.sending and (self.cap is None or self.bytes_out < self.cap):
            self.make(run)
        if not self.pending:
            return
        try:
            length = self.socket.send(self.pending)
        except BlockingIOError:
            self.blocked = True
            return
        except OSError:
            self.end()
            return
        self.blocked = False
        self.bytes_out += length
        self.pending = self.pending[length:]
        self.labels = [(end - length, label) for end, label in self.labels]
        while self.labels and self.labels[0][0] <= 0:
            self.sent.append(self.labels.pop(0)[1])
        # What was begun is ended; what was not is not.
        if not self.sending and self.labels and len(self.pending) >= self.labels[0][0]:
            self.pending, self.labels = self.pending[:self.labels[0][0]], self.labels[:1]

    def read(self, size=65536):
        try:
            data = self.socket.recv(size)
        except BlockingIOError:
            return
        except OSError:
            data = b''
        if not data:
            self.end()
            return
        self.bytes_in += len(data)
        self.buffer += data
        last = 0
        for found in MESSAGE.finditer(self.buffer):
            last = found.end()
            label = ID.search(found.group(1))
            if label:
                (self.errors if ERROR.search(found.group(1)) else self.got).append(label.group(1).decode())
        del self.buffer[:last]
        why = STREAM_ERROR.search(self.buffer)
        if why:
            self.why = why.group(1).decode()

    def end(self):
        self.ended = True
        self.pending = b''
        self.socket.close()


class Watcher(threading.Thread):
    """Waits for sockets, and for what the test tells it meanwhile."""

    def __init__(self):
        super().__init__(daemon=True)
        self.over = False
        self._wake, self._waker = socket.socketpair()

    def wake(self):
        self._waker.send(b'x')

    def hear(self, readable):
        if self._wake in readable:
            self._wake.recv(100)

    def close(self):
        self.over = True
        self.wake()
        self.join(harness.TIMEOUT)


class Crowd(Watcher):
    """Clients that do what they are told, all in one thread."""

    def __init__(self):
        super().__init__()
        self.members = []
        self.lock = threading.RLock()
        self.run_name = 'r'
        self.start()

    def run(self):
        while not self.over:
            with self.lock:
                here = [m for m in self.members if not m.ended]
                readers = {m.socket: m for m in here if m.reading}
                writers = {m.socket: m for m in here if m.pending or
                           (m.sending and (m.cap is None or m.bytes_out < m.cap))}
            readable, writable, _ = select.select(list(readers) + [self._wake], list(writers), [], 0.1)
            with self.lock:
                self.hear(readable)
                for sock in readable:
                    if sock is not self._wake and not readers[sock].ended and readers[sock].reading:
                        readers[sock].read()
                for member in writers.values():
                    if member.ended:
                        continue
                    if member.socket in writable:
                        member.write(self.run_name)
                    else:
                        member.blocked = True

    def add(self, member):
        with self.lock:
            self.members.append(member)
        return member

    def tell(self, members=None, **what):
        with self.lock:
            for member in self.members if members is None else members:
                for name, value in what.items():
                    setattr(member, name, value)
        self.wake()

    def close(self):
        super().close()
        for member in self.members:
            member.socket.close()


class Manager(Watcher):
    """A session manager (sfrom) that relays messages, and can stop. `blocking`: while something of its own waits to be written
    it does not read, as one that writes without looking. Else it reads on, and keeps what waits. With `acknowledge` it counts."""

    def __init__(self, sm, blocking, acknowledge):
        super().__init__()
        self.sm, self.blocking, self.counts = sm, blocking, acknowledge
        self.stopped = False
        self.out = bytearray()
        self.sessions = {}
        self.returned = []      # came back in a 510, or had nowhere to go
        self.handled = 0
        self.counting = False
        self.links = 1
        self.trouble = None

    def begin(self):
        self.sm.link.socket.setblocking(False)
        self.stream = self.sm.link.stream
        self._take(self.sm.link.pending)
        self.start()

    def tell(self, **what):
        for name, value in what.items():
            setattr(self, name, value)
        self.wake()

    def close(self):
        super().close()
        if self.trouble:
            raise self.trouble

    def run(self):
        try:
            while not self.over:
                self._turn()
        except Exception as error:  # for the test, which is in another thread
            self.trouble = error

    def _turn(self):
        sock = self.sm.link.socket
        reads = not self.stopped and not (self.blocking and self.out)
        writes = not self.stopped and self.out
        readable, writable, _ = select.select([self._wake] + ([sock] if reads else []), [sock] if writes else [], [])
        self.hear(readable)
        if sock in writable:
            del self.out[:sock.send(self.out[:262144])]
        if sock in readable:
            data = sock.recv(65536)
            if not data:
                raise AssertionError('the link was cut')
            self._take(self.stream.feed(data))

    def _take(self, elements):
        for element in elements:
            if element.name == 'enable' and self.counts:
                self.counting = True
                self._say("<enabled xmlns='urn:xmpp:sm:3' id='one' resume='true'/>")
            elif element.name == 'r' and element.namespace == 'urn:xmpp:sm:3':
                self._say("<a xmlns='urn:xmpp:sm:3' h='%d'/>" % self.handled)
            elif element.name != 'a' or element.namespace != 'urn:xmpp:sm:3':
                self.handled += self.counting
                self._packet(element)

    def _say(self, text):
        self.out += text.encode()

    def _packet(self, element):
        sto, sfrom, label = element.get('sto'), element.get('sfrom'), element.get('id')
        if element.name == 'iq':
            query = element.child('query')
            address = '%s@localhost/%s' % (query.child_text('username'), query.child_text('resource'))
            self.sessions[address] = sfrom
            self._say("<iq type='result' id='%s' sto='%s' sfrom='%s'/>" % (label, sfrom, address))
        elif element.has_510():
            if label is None:
                self.sessions.pop(sto, None)
            else:
                self.returned.append(label)
        elif element.name == 'message':
            target = self.sessions.get(element.get('to'))
            if target is None:
                self.returned.append(label)
            else:
                self._say("<message sto='%s' sfrom='%s' id='%s' type='chat'><body>%s</body></message>" % (
                    target, sto.partition('/')[0], label, element.child_text('body')))


class BoundsCase(DaemonCase):
    count = 6

    def crowd_up(self):
        self.crowd = Crowd()
        self.addCleanup(self.crowd.close)

    def join(self, name, resource='home', targets=(), **what):
        """A member that has logged in and is there."""
        client = self.daemon.login(name, resource=resource)
        if self.manager is None:
            client.available()
        member = Member(name, client)
        member.targets = list(targets)
        for key, value in what.items():
            setattr(member, key, value)
        return self.crowd.add(member)

    def wait(self, condition, what, seconds=60):
        """Looked at again and again; who has waited in vain says where everybody is."""
        deadline = Deadline(seconds)
        while not condition():
            if deadline.left() == 0 or (self.manager and self.manager.trouble):
                with self.crowd.lock:
                    members = ['%s reading=%s sending=%s pending=%d in=%d out=%d ended=%s %s' % (
                        m.name, m.reading, m.sending, len(m.pending), m.bytes_in, m.bytes_out, m.ended, m.why)
                        for m in self.crowd.members]
                self.fail('in vain: %s\n%s\n%s' % (what() if callable(what) else what, '\n'.join(members), where(self.daemon)))
            time.sleep(0.02)

    def is_quiet(self):
        """Nothing is on its way anywhere."""
        status = self.daemon.status()
        self.assertTrue(status['packets']['balanced'], status)
        link = status['link']
        return (link['state'], link['queued_bytes'], link['unacknowledged_bytes'], link['reading'], link['choked'],
                status['packets']['held'], status['held_bytes']) == ('up', 0, 0, True, False, 0, 0) and \
            all(worker['channel_bytes'] == 0 and worker['answers'] and worker['buffers'] == 0
                for worker in status['workers'])

    def assert_in_order(self, labels):
        """Of each pair; what comes again may come again."""
        last = {}
        for label in labels:
            pair, _, number = label.rpartition('-')
            self.assertGreater(int(number), last.get(pair, 0), label)
            last[pair] = int(number)


SANITIZED = harness.is_sanitized(harness.program('worker/c2sd-worker'))
ORDERS = list(itertools.permutations(('link', 'worker', 'clients')))


class Deadlock(BoundsCase):
    """`tight`: all bounds are small, so that every queue is full at once, and somebody may have to go. Else nobody may."""

    manager = None
    TIGHT = {'held_bytes': 1048576, 'unsent_bytes': 262144, 'stall_seconds': 86400}
    ROOMY = {'held_bytes': 1073741824, 'unsent_bytes': 268435456, 'stall_seconds': 86400}

    def names(self):
        return ['u%d' % number for number in range(self.count)]

    def up(self, tight, manager=None, blocking=False, acknowledge='yes'):
        self.tight = tight
        self.manager = None
        arguments = dict(workers=2, log='info', limits=self.TIGHT if tight else self.ROOMY)
        if manager is None:
            self.daemon = self.start(users=self.names() + ['away'], embedded={'queue_bytes': 65536},
                                     sessiond_options={'offline': 1000000}, **arguments)
        else:
            # On a UNIX socket, which does not hold megabytes.
            folder = tempfile.mkdtemp(prefix='c2sd-test.')
            self.addCleanup(shutil.rmtree, folder)
            os.chmod(folder, 0o755)
            sm = DaemonCase.manager(self, path=os.path.join(folder, 'link'))
            sm.listen()
            self.daemon = harness.Daemon(link=sm.attributes(queue_bytes=65536, acknowledge=acknowledge), **arguments)
            self.addCleanup(self.daemon.cleanup)
            self.daemon.start(ready=False)
            sm.up()
            self.manager = Manager(sm, blocking, acknowledge == 'yes')
            self.manager.begin()
            self.addCleanup(self.manager.close)
            self.daemon.wait_ready()
        self.crowd_up()
        self.lost_count = self.double_count = self.ended_count = 0

    def gather(self):
        """Everybody is there, with floods to all sides: to itself, to a partner, to the next one, to nobody."""
        names, here = self.names(), {m.name for m in self.crowd.members if not m.ended}
        for number, name in enumerate(names):
            partner, following = names[number ^ 1], names[(number + 1) % len(names)]
            targets = ['%s@localhost/home' % other for other in (name, partner, following)] + ['away@localhost']
            if name not in here:
                self.join(name, targets=targets)
        with self.crowd.lock:
            for member in self.crowd.members:
                member.bytes_out = 0
        return self.crowd.members

    # -- stopping and letting go

    def stop_link(self):
        if self.manager:
            self.manager.tell(stopped=True)
        else:
            os.kill(self.sessiond, signal.SIGSTOP)

    def let_link(self):
        if self.manager:
            self.manager.tell(stopped=False)
        else:
            os.kill(self.sessiond, signal.SIGCONT)

    def stop_worker(self):
        os.kill(self.worker, signal.SIGSTOP)

    def let_worker(self):
        os.kill(self.worker, signal.SIGCONT)

    def stop_clients(self):
        self.crowd.tell(reading=False)

    def let_clients(self):
        self.crowd.tell(reading=True)

    def let_everything(self):
        for what in 'link', 'worker', 'clients':
            try:
                getattr(self, 'let_' + what)()
            except ProcessLookupError:
                pass

    # -- what must be full, where that can be

    def is_full(self, stopped):
        """The queue in front of what was stopped last, unless another that was stopped before keeps everything from it."""
        status = self.daemon.status()
        link = status['link']
        full = {'choked': link['choked'], 'unread': not link['reading'], 'queued': link['queued_bytes'],
                'unacknowledged': link['unacknowledged_bytes'], 'held': status['held_bytes'],
                'channels': max(worker['channel_bytes'] for worker in status['workers']),
                'blocked': sum(m.blocked for m in self.crowd.members if not m.ended)}
        if stopped[-1] == 'link':
            reached = full['choked'] and full['blocked'] > 0
        else:
            reached = not self.tight or 'link' in stopped or full['unread']
        if reached:
            self.seen.append(full)
            if os.environ.get('C2SD_TEST_VERBOSE'):
                print(stopped, full, flush=True)
        return reached

    def once(self, number, stopping, letting):
        self.crowd.run_name = 'r%d' % number
        self.gather()
        self.worker = self.daemon.status()['workers'][number % 2]['pid']
        self.sessiond = None if self.manager else self.daemon.children('c2sd-sessiond')[0]
        self.crowd.tell(sending=True, cap=None if self.tight else 1500000)
        self.addCleanup(self.let_everything)
        stopped = []
        for what in stopping:
            getattr(self, 'stop_' + what)()
            stopped.append(what)
            if what == 'link' and not self.tight:   # so much that it cannot take it
                self.crowd.tell(cap=3000000)
            self.wait(lambda: self.is_full(stopped), '%s stopped: it is full' % stopped, 8)
        for what in letting:
            getattr(self, 'let_' + what)()
        self.crowd.tell(sending=False)
        self.wait(lambda: all(m.ended or not m.pending for m in self.crowd.members), 'everything is sent')
        self.wait(self.is_quiet, 'nothing is on its way')
        self.wait(lambda: not self.missing(), lambda: 'everything has arrived; but not %d, as %r' % (
            len(self.missing()), self.missing()[:10]))
        self.wait(self.is_quiet, 'nothing is on its way')
        self.settle_accounts()

    # -- where everything is

    def offline(self):
        with sqlite3.connect('file:%s?mode=ro' % self.daemon.database, uri=True) as database:
            return database.execute("SELECT count(*) FROM offline WHERE account <> 'away@localhost'").fetchone()[0]

    def stored(self):
        """For those who were not there: in the order in which it was stored."""
        with sqlite3.connect('file:%s?mode=ro' % self.daemon.database, uri=True) as database:
            rows = database.execute('SELECT account, stanza FROM offline ORDER BY id').fetchall()
        return [re.search(r" id='([^']*)'", stanza).group(1) for _, stanza in rows]

    def forget_stored(self):
        with sqlite3.connect(self.daemon.database, timeout=10) as database:
            database.execute('DELETE FROM offline')

    def fates(self):
        found = {}
        for labels in [m.got + m.errors for m in self.crowd.members] + \
                [self.manager.returned if self.manager else self.stored()]:
            for label in labels:
                found[label] = found.get(label, 0) + 1
        return found

    def missing(self):
        """Of those who were not ended."""
        fates = self.fates()
        return [label for m in self.crowd.members if not m.ended for label in m.sent if label not in fates]

    def settle_accounts(self):
        """Everything that anybody sent is somewhere: of one who was ended what its worker had not read is not, and that is the
        end of what it sent."""
        fates = self.fates()
        for member in self.crowd.members:
            self.assert_in_order(member.got)
            missing = [label for label in member.sent if label not in fates]
            if member.ended:
                if missing != member.sent[len(member.sent) - len(missing):]:
                    self.fail('holes in what %s sent: %d are missing, the first %r, and %d were sent behind that' % (
                        member.name, len(missing), missing[0], len(member.sent) - member.sent.index(missing[0])))
                self.lost_count += len(missing)
            else:
                self.assertEqual([], missing, 'vanished of what %s sent: %d of %d' % (
                    member.name, len(missing), len(member.sent)))
            self.assertTrue(self.tight or not member.ended, '%s was ended: %s' % (member.name, member.why))
        self.double_count += sum(count - 1 for count in fates.values())
        self.ended_count += sum(m.ended for m in self.crowd.members)
        if self.manager:
            self.manager.returned.clear()
        else:
            self.forget_stored()
        with self.crowd.lock:
            self.crowd.members[:] = [m for m in self.crowd.members if not m.ended]
            for member in self.crowd.members:
                member.sent, member.got, member.errors, member.numbers = [], [], [], {}

    def all_orders(self, share, *arguments, **more):
        self.up(*arguments, **more)
        self.seen = []
        self.stuck_readers()
        for number, orders in enumerate(itertools.product(ORDERS, ORDERS)):
            # The six tests share the 36 pairs of orders; with C2SD_TEST_LONG each has them all.
            if not os.environ.get('C2SD_TEST_LONG') and (number // 6 + number) % 6 != share:
                continue
            # Where everything takes several times as long it is about what is touched.
            if SANITIZED and number >= 12:
                continue
            with self.subTest(stopping=orders[0], letting=orders[1]):
                self.once(number, *orders)
        status = self.daemon.status()
        print('%s: %s; ended %d, came twice %d; %s' % (self.id(), ', '.join('%s %d' % (
            name, sum(s[name] for s in self.seen) if name in ('choked', 'unread') else max(s[name] for s in self.seen))
            for name in self.seen[0]), self.ended_count, self.double_count, status['ended']), flush=True)
        self.crowd.close()
        if not self.manager:
            one, other = self.daemon.login('u0', resource='a').available(), self.daemon.login('u1', resource='a').available()
            chat(one, other, 'u0@localhost/a', 'u1@localhost/a')

    def stuck_readers(self):
        """On the control socket: they ask, and read nothing."""
        for request in {'command': 'sessions'}, {'command': 'trace', 'client': 'u0@localhost'}, {'command': 'status'}:
            control = socket.socket(socket.AF_UNIX)
            control.connect(self.daemon.socket_path)
            control.sendall(json.dumps(request).encode() + b'\n')
            self.addCleanup(control.close)

    def test_embedded_tight(self):
        self.all_orders(0, True)

    def test_embedded_roomy(self):
        self.all_orders(1, False)

    def test_scripted_tight(self):
        self.all_orders(2, True, manager=True, acknowledge='yes')

    def test_scripted_roomy(self):
        self.all_orders(3, False, manager=True, acknowledge='yes')

    def test_blocking_tight(self):
        """One that does not read while it has something to write."""
        self.all_orders(4, True, manager=True, blocking=True, acknowledge='no')

    def test_blocking_roomy(self):
        self.all_orders(5, False, manager=True, blocking=True, acknowledge='no')


class Slow(BoundsCase):
    """Readers of what was kept for them while they were away."""

    manager = None

    def up(self, users, count, size, **arguments):
        self.daemon = self.start(users=['sender'] + users, workers=1, log='info', sessiond_options={'offline': 1000000}, **arguments)
        self.crowd_up()
        sender = self.daemon.login('sender')
        self.numbers = list(range(count))
        for number in self.numbers:
            for user in users:
                sender.send("<message to='%s@localhost' id='o-%s-%d'><body>%s</body></message>" % (
                    user, user, number, 'x' * size))
        sender.settle()
        sender.leave()

    def labels(self, user, numbers):
        return ['o-%s-%d' % (user, number) for number in numbers]

    def kept(self):
        with sqlite3.connect('file:%s?mode=ro' % self.daemon.database, uri=True) as database:
            return database.execute('SELECT count(*) FROM offline').fetchone()[0]

    def reader(self, user, resource='home'):
        """It reads when it is told to, with a small buffer of its own."""
        client = harness.RawClient(self.daemon.listeners[0], receive_buffer=65536)
        client.open().login(user, 'secret', resource)
        client.send('<presence/>')
        member = Member(user, client)
        member.reading = False
        return self.crowd.add(member)

    def read_slowly(self, member, wanted, size):
        """Small pieces, each when it likes. How often all that there was had been read."""
        waits = 0
        deadline = Deadline(120)
        while len(member.got) < wanted:
            self.assertFalse(member.ended, 'ended: %s' % member.why)
            self.assertGreater(deadline.left(), 0, '%d of %d\n%s' % (len(member.got), wanted, where(self.daemon)))
            if select.select([member.socket], [], [], 1)[0]:
                member.read(size)
            else:
                waits += 1
        return waits

    def most_held(self, member, wanted, size):
        """Likewise; the most that was held meanwhile."""
        most = 0
        step = max(1, wanted // 20)
        for until in list(range(step, wanted, step)) + [wanted]:
            self.read_slowly(member, until, size)
            most = max(most, self.daemon.status()['held_bytes'])
        return most

    def slow(self, count, size, piece, limits, most):
        """All of it, in one session and in order, once."""
        self.up(['alice'], count, size, limits=limits)
        member = self.reader('alice')
        held = self.most_held(member, count, piece)
        self.assertEqual(self.labels('alice', self.numbers), member.got)
        self.assertLess(held, most)
        self.wait(self.is_quiet, 'everything is settled')
        self.wait(lambda: self.kept() == 0, 'what was taken is deleted')
        status = self.daemon.status()
        self.assertEqual({}, status['ended']['limits'])
        print('%s: %d of %d bytes, most held %d' % (self.id(), count, size, held))
        chat(self.daemon.login('alice', resource='b').available(), self.daemon.login('sender').available(),
             'alice@localhost/b', 'sender@localhost/home')

    def test_a_thousand(self):
        """More in all than a client may have waiting."""
        self.slow(1000, 3000, 3000, {'unsent_bytes': 1048576, 'stall_seconds': 5, 'settle_seconds': 0}, 400000)

    def test_near_the_maximum(self):
        self.slow(80, 250000, 30000, {'unsent_bytes': 6 * 1048576, 'stall_seconds': 5}, 5 * 1048576)

    def nothing(self, limits, limit, count, size):
        """It reads nothing at first and some more later; what it did not get comes at its next login, in order."""
        self.up(['alice', 'bob'], count, size, limits=limits)
        stuck = self.reader('alice')
        # All this time bob is served.
        bob = self.reader('bob')
        self.read_slowly(bob, count, 65536)
        self.assertEqual(self.labels('bob', self.numbers), bob.got)
        self.wait(lambda: self.daemon.status()['ended']['limits'].get(limit) == 1, 'the end of one that reads nothing')
        self.assertEqual({'too-slow': 1}, {name: number for name, number in self.daemon.status()['ended']['reasons'].items()
                                           if name != 'closed'})
        self.daemon.log.wait('client ended reason=too-slow limit=%s .*account="alice@localhost/home"' % limit)
        self.wait(self.is_quiet, 'everything came back')
        # What is in its kernel was acknowledged by that.
        self.crowd.tell([stuck], reading=True)
        self.wait(lambda: stuck.ended, 'it has read to the end')
        again = self.reader('alice')
        self.crowd.tell([again], reading=True)
        self.wait(lambda: self.kept() == 0, 'the rest is taken')
        self.wait(self.is_quiet, 'everything is settled')
        self.assertEqual(self.labels('alice', range(len(stuck.got))), stuck.got)
        self.assertEqual(self.labels('alice', range(count - len(again.got), count)), again.got)
        twice = len(stuck.got) + len(again.got) - count
        self.assertGreaterEqual(twice, 0, 'something is missing')
        print('%s: %d in the first session, %d in the second, %d twice' % (self.id(), len(stuck.got), len(again.got), twice))
        self.assertFalse(again.ended)

    def test_nothing_above_the_soft_bound(self):
        self.nothing({'stall_seconds': 1, 'unsent_soft_bytes': 65536, 'send_buffer_bytes': 16384}, 'stall-seconds', 300, 9000)

    # -- what comes while it is there

    def flood(self, sender, numbers, size):
        """All of it has gone to the worker when this returns, unless the client was ended."""
        for number in numbers:
            sender.send("<message to='alice@localhost/home' id='o-alice-%d' type='chat'><body>%s</body></message>" % (
                number, 'x' * size))
        sender.settle()

    def live(self, unsent_bytes):
        """She has read some of it slowly, and now she reads nothing."""
        # Nothing but the one bound can end her.
        limits = {'unsent_bytes': unsent_bytes, 'unsent_soft_bytes': unsent_bytes, 'stall_seconds': 86400,
                  'send_buffer_bytes': 16384, 'settle_seconds': 0}
        self.up(['alice'], 0, 0, limits=limits)
        member = self.reader('alice')
        sender = self.daemon.login('sender')
        self.flood(sender, range(20), 9000)
        self.read_slowly(member, 20, 3000)
        self.assertEqual(self.labels('alice', range(20)), member.got)
        self.flood(sender, range(20, 220), 9000)
        return member, sender

    def test_live_below_the_hard_bound(self):
        member, _ = self.live(4 * 1048576)
        held = self.daemon.status()['held_bytes']
        self.assertGreater(held, 1000000, 'so much had to wait for her')
        self.read_slowly(member, 220, 3000)
        self.assertEqual(self.labels('alice', range(220)), member.got)
        self.wait(self.is_quiet, 'everything is settled')
        status = self.daemon.status()
        self.assertEqual({}, status['ended']['limits'])
        self.assertEqual(0, status['packets']['bounced'])
        self.assertEqual(0, self.kept())
        print('%s: %d waited at most' % (self.id(), held))

    def test_live_above_the_hard_bound(self):
        stuck, _ = self.live(524288)
        self.wait(lambda: self.daemon.status()['ended']['limits'].get('unsent-bytes') == 1, 'the end of one that is too slow')
        self.assertEqual({'too-slow': 1}, {name: number for name, number in self.daemon.status()['ended']['reasons'].items()
                                           if name != 'closed'})
        self.daemon.log.wait('client ended reason=too-slow limit=unsent-bytes .*account="alice@localhost/home"')
        self.wait(self.is_quiet, 'everything came back')
        kept = self.kept()
        self.crowd.tell([stuck], reading=True)
        self.wait(lambda: stuck.ended, 'it has read to the end')
        again = self.reader('alice')
        self.crowd.tell([again], reading=True)
        self.wait(lambda: self.kept() == 0, 'the rest is taken')
        self.wait(self.is_quiet, 'everything is settled')
        self.assertEqual(self.labels('alice', range(len(stuck.got))), stuck.got)
        # What was under way when she was ended may come behind what was sent after that.
        self.assertEqual(kept, len(again.got))
        self.assertEqual(kept, len(set(again.got)))
        self.assertEqual(set(self.labels('alice', range(220))), set(stuck.got + again.got))
        self.assertFalse(again.ended)
        print('%s: %d in the first session, %d in the second' % (self.id(), len(stuck.got), len(again.got)))


if __name__ == '__main__':
    harness.main()
