#!/usr/bin/env python3
"""Storms: thousands who connect and say nothing, workers that are killed all the time, clocks that jump."""
import os
import pwd
import random
import re
import resource
import signal
import struct
import subprocess
import sys

import harness
from harness import Daemon, DaemonCase, Deadline, wait_gone
from test_faults import wait_until

# Connects COUNT times, says so, and holds everything until its standard input ends.
SILENT = """
import resource, socket, sys
count, address, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held = []
for number in range(count):
    held.append(socket.create_connection((address, port)))
print('connected', flush=True)
sys.stdin.read()
"""


def idle_seconds():
    """How long each processor of this machine has had nothing to do."""
    with open('/proc/stat') as file:
        fields = file.readline().split()
    return int(fields[4]) / os.sysconf('SC_CLK_TCK') / os.sysconf('SC_NPROCESSORS_ONLN')


class Flood(DaemonCase):
    COUNT = 20000
    # Half as many ports as a client's address has (ip(7)): to find more takes the kernel long.
    ADDRESSES = ('127.0.0.1', '127.0.0.2')

    def setUp(self):
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < self.COUNT // len(self.ADDRESSES) + 1000:
            self.skipTest('too few descriptors for a process')

    def flood(self, daemon):
        """Start it, a process for each address of the daemon; the processes, which hold the connections."""
        floods = []
        for address, port in daemon.listeners:
            process = subprocess.Popen([sys.executable, '-c', SILENT, str(self.COUNT // len(daemon.listeners)), address,
                                        str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.addCleanup(process.wait)
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.stdin.close)
            floods.append(process)
        return floods

    def test_others_are_served_meanwhile(self):
        """Not the clock's time counts but that of processors with nothing to do: who waits while they idle waits for us."""
        daemon = self.start(users=('alice', 'bob'), workers=2, log='info', limits={'login_seconds': 600},
                            listen=self.ADDRESSES)
        alice, bob = daemon.login('alice').available(), daemon.login('bob').available()
        floods = self.flood(daemon)
        connected = [harness.Output(process.stdout) for process in floods]
        rounds, worst = 0, 0.0
        while not all(output.lines for output in connected) or rounds < 50:
            before = idle_seconds()
            harness.chat(alice, bob, 'alice@localhost', 'bob@localhost')
            worst = max(worst, idle_seconds() - before)
            rounds += 1
            self.assertFalse(any(output.ended for output in connected), 'the flood has dried up')
        self.assertLessEqual(worst, 0.1)
        # Who comes behind them gets in, too.
        late = daemon.login('bob', resource='late').available()
        wait_until(lambda: daemon.status()['clients'] == self.COUNT + 3, 'everybody in')
        for process in floods:
            process.stdin.close()
        wait_until(lambda: daemon.status()['clients'] == 3, 'the flood gone')
        harness.chat(alice, late, 'alice@localhost', 'bob@localhost/late')
        daemon.stop()


class Chatter:
    """An account whose messages are numbered, and which comes back whenever it was thrown out.

    A message is certain when the session manager has answered an iq that was sent behind it: from then on it may not be
    lost, whatever dies.
    """

    def __init__(self, daemon, name):
        self.daemon = daemon
        self.name = name
        self.address = name + '@localhost'
        self.client = None
        self.sent = 0
        self.unsure = []        # (number, body, address), in the order they were sent
        self.certain = []       # (body, address)
        self.received = []
        self.logins = 0

    def login(self):
        deadline = Deadline()
        while True:
            try:
                self.client = self.daemon.login(self.name).available()
                self.logins += 1
                return
            except (AssertionError, OSError):
                if deadline.left() == 0:
                    raise

    def say(self, other):
        """One message, and the question behind it."""
        self.sent += 1
        body = '%s %d' % (self.name, self.sent)
        self.unsure.append((self.sent, body, other.address))
        try:
            self.client.send("<message to='%s' type='chat'><body>%s</body></message><iq type='get' id='n%d'>"
                             "<query xmlns='jabber:iq:version'/></iq>" % (other.address, body, self.sent))
        except OSError:
            self.client.ended = True

    def hear(self):
        """Take what has come, and come back where the connection has ended."""
        while self.client._read(Deadline(0)):
            pass
        pending, self.client.pending = self.client.pending, []
        for element in pending:
            if element.name == 'message' and element.get('type') != 'error':
                self.received.append(element.child_text('body'))
            elif element.name == 'iq' and (element.get('id') or '').startswith('n'):
                number = int(element.get('id')[1:])
                self.certain += [one[1:] for one in self.unsure if one[0] <= number]
                self.unsure = [one for one in self.unsure if one[0] > number]
        if self.client.ended:
            # What was not answered may have been lost with the connection; its sender can see that.
            self.unsure = []
            self.client.close()
            self.login()


class Kills(DaemonCase):
    KILLS = 100
    CHATTERS = 12
    # So many that most of them are alive at any time: one that dies again and again is started later and later.
    WORKERS = 16

    def assert_order(self, chatter):
        """Of what one sender said: in its order, but for repeats."""
        latest = {}
        for body in chatter.received:
            name, _, number = body.partition(' ')
            self.assertTrue(int(number) > latest.get(name, 0) or chatter.received.count(body) > 1, body)
            latest[name] = max(int(number), latest.get(name, 0))

    def test_a_hundred_workers_killed_under_chat(self):
        seed = int(os.environ.get('C2SD_TEST_SEED', '4'))
        rng = random.Random(seed)
        names = ['user%d' % number for number in range(self.CHATTERS)]
        daemon = self.start(users=names, workers=self.WORKERS, log='info')
        daemon.may_lose_workers = True
        chatters = [Chatter(daemon, name) for name in names]
        for chatter in chatters:
            chatter.login()
        for _ in range(self.KILLS):
            for _ in range(rng.randrange(5, 20)):
                one, other = rng.sample(chatters, 2)
                one.say(other)
            victim = rng.choice(daemon.worker_pids())
            os.kill(victim, signal.SIGKILL)
            self.assertEqual([], wait_gone([victim]))
            for chatter in chatters:
                chatter.hear()
        daemon.wait_ready()
        for chatter in chatters:
            chatter.say(chatter)
        for chatter in chatters:
            wait_until(lambda one=chatter: one.hear() or not one.unsure, 'answers for %s' % chatter.name)
        lost = []
        for chatter in chatters:
            chatter.received += [e.child_text('body') for e in chatter.client.settle() if e.name == 'message']
        received = {chatter.address: set(chatter.received) for chatter in chatters}
        for chatter in chatters:
            lost += [(body, address) for body, address in chatter.certain if body not in received[address]]
            self.assert_order(chatter)
        self.assertEqual([], lost, 'seed %d' % seed)
        self.assertGreater(sum(len(chatter.certain) for chatter in chatters), self.KILLS)
        self.assertGreater(sum(chatter.logins for chatter in chatters), self.KILLS)
        daemon.wait_settled()
        self.assertEqual(self.CHATTERS, daemon.status()['clients'])
        daemon.stop()


def limit_memory(daemon, pid, more):
    """Let a process have so many bytes more than it has now; only its own user may (prlimit(2))."""
    code = 'import resource; resource.prlimit(%d, resource.RLIMIT_AS, (%d, resource.RLIM_INFINITY))'
    size = int(harness.process_status(pid)['VmSize'].split()[0]) * 1024
    who = {'user': daemon.user[0], 'group': daemon.user[1], 'extra_groups': []} if daemon.user else {}
    subprocess.run([sys.executable, '-c', code % (pid, size + more)], check=True, **who)


class Memory(DaemonCase):
    def setUp(self):
        if 'libasan' in subprocess.run(['ldd', harness.program('worker/c2sd-worker')], capture_output=True,
                                       text=True).stdout:
            self.skipTest('a sanitizer needs more memory than any limit')

    def test_worker_at_its_limit(self):
        """Who asks for more than there is goes, with a word; the others of that worker stay, and so does it."""
        daemon = self.start(users=('alice', 'bob'), workers=1, log='info')
        alice, bob = daemon.login('alice').available(), daemon.login('bob').available()
        worker = daemon.worker_pids()[0]
        limit_memory(daemon, worker, 8 * 1024 * 1024)
        greedy = [daemon.login('bob', resource='g%d' % number) for number in range(64)]
        for client in greedy:
            client.send("<message to='alice@localhost'><body>%s" % ('x' * 250000))
        daemon.log.wait(r'client ended reason=broken', count=1)
        harness.chat(alice, bob, 'alice@localhost', 'bob@localhost')
        for client in greedy:
            while client._read(Deadline(0)):
                pass
        told = [client for client in greedy if any(e.name == 'error' for e in client.pending)]
        self.assertGreater(len(told), 0)
        for client in greedy:
            client.close()
        wait_until(lambda: daemon.status()['clients'] == 2, 'the greedy gone')
        harness.chat(alice, bob, 'alice@localhost', 'bob@localhost')
        self.assertEqual([worker], daemon.worker_pids())
        packets = daemon.status()['packets']
        self.assertTrue(packets['balanced'], packets)
        daemon.stop()


class FullDisk(DaemonCase):
    """The log's disk is full: the service goes on, and says later how much is missing."""

    def small_disk(self, folder):
        os.mkdir(folder)
        entry = pwd.getpwnam('nobody') if os.getuid() == 0 else None
        mounted = entry and subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=256k,uid=%d,gid=%d,mode=755' %
                                            (entry.pw_uid, entry.pw_gid), 'tmpfs', folder], capture_output=True)
        if mounted is None or mounted.returncode != 0:
            self.skipTest('no disk of our own can be mounted')
        # The daemon, which has it open, ends first: what was added first is done last.
        return lambda: subprocess.run(['umount', folder], check=True)

    def test_log_goes_on_when_there_is_room(self):
        daemon = Daemon(log='debug', workers=2)
        folder = os.path.join(daemon.folder, 'disk')
        path, ballast = os.path.join(folder, 'log'), os.path.join(folder, 'ballast')
        daemon.log_attributes = {'target': 'file', 'file': path}
        unmount = self.small_disk(folder)

        def cleanup():
            if daemon.process.poll() is None:
                daemon.process.kill()
                daemon.process.wait()
            unmount()
            daemon.cleanup()

        self.addCleanup(cleanup)
        daemon.start()
        daemon.add_user('alice', 'secret')
        alice = daemon.login('alice').available()
        with open(ballast, 'wb', buffering=0) as file:
            with self.assertRaises(OSError):
                while True:
                    file.write(b'x' * 1000)
        # More lines than the last block of the file holds.
        for number in range(60):
            other = daemon.login('alice', resource='r%d' % number).available()
            harness.chat(alice, other, 'alice@localhost/home', 'alice@localhost/r%d' % number)
            other.leave()
        size = os.path.getsize(path)
        os.unlink(ballast)
        self.assertLess(size, 256 * 1024)
        late = daemon.login('alice', resource='late').available()
        harness.chat(alice, late, 'alice@localhost/home', 'alice@localhost/late')
        daemon.stop()
        with open(path) as file:
            lines = file.read().splitlines()
        self.assertTrue([line for line in lines if re.search(r'log .*lines=[1-9]', line)], lines[-20:])
        self.assertTrue([line for line in lines if 'alice@localhost/late' in line], lines[-20:])


class Early(DaemonCase):
    def test_signals_that_come_while_it_starts(self):
        """They wait until it can do what they ask for: who rotates logs goes by a name, and asks whoever has it."""
        daemon = Daemon(log='info')
        self.addCleanup(daemon.cleanup)
        daemon.environment = dict(os.environ, LD_PRELOAD=harness.program('tests/system/libsignal_shim.so'),
                                  ASAN_OPTIONS='verify_asan_link_order=0')
        daemon.start()
        daemon.log.wait('reload done number=1')
        daemon.stop()


class Clock(DaemonCase):
    """The system's clock jumps an hour, in every process at once: only what is written down may show it."""

    def environment(self, **more):
        return dict(LD_PRELOAD=harness.program('tests/system/libclock_shim.so'), C2SD_CLOCK=self.file,
                    ASAN_OPTIONS='verify_asan_link_order=0', **more)

    def wrapper(self, path):
        """A program that starts `path` with a clock of ours, whatever environment it was given."""
        name = os.path.join(self.daemon.folder, os.path.basename(path))
        with open(name, 'w') as file:
            file.write('#!/bin/sh\n%s\nexec %s "$@"\n' % (
                '\n'.join('export %s=%s' % pair for pair in self.environment().items()), path))
        os.chmod(name, 0o755)
        return name

    def jump(self, seconds):
        with open(self.file, 'r+b') as file:
            file.write(struct.pack('=q', seconds))

    def test_nobody_notices(self):
        self.daemon = daemon = Daemon(log='debug', limits={'login_seconds': 600, 'idle_seconds': 1800,
                                                           'keepalive_seconds': 900, 'stall_seconds': 600})
        self.addCleanup(daemon.cleanup)
        self.file = os.path.join(daemon.folder, 'clock')
        with open(self.file, 'wb') as file:
            file.write(struct.pack('=q', 0))
        os.chmod(self.file, 0o644)
        daemon.worker_program = self.wrapper(daemon.worker_program)
        daemon.sessiond_program = self.wrapper(daemon.sessiond_program)
        daemon.environment = dict(os.environ, **self.environment())
        daemon.start()
        for user in ('alice', 'bob', 'carol'):
            daemon.add_user(user, 'secret')
        alice, bob = daemon.login('alice').available(), daemon.login('bob').available()
        half = daemon.client().open()
        workers = daemon.worker_pids()
        stamps = []
        for seconds in (3600, 0, -3600, 0):
            self.jump(seconds)
            harness.chat(alice, bob, 'alice@localhost', 'bob@localhost')
            alice.message('carol@localhost', 'at %d' % seconds)
            alice.settle()
            carol = daemon.login('carol').available()
            stored = carol.expect_message('at %d' % seconds)
            stamps.append(stored.child('delay').get('stamp') if stored.child('delay') else None)
            carol.leave()
            self.assertEqual(2 + 1, daemon.status()['clients'])
        self.assertEqual(workers, daemon.worker_pids())
        harness.chat(alice, bob, 'alice@localhost', 'bob@localhost')
        half.login('bob', resource='half').available()
        # The clock was really ours.
        self.assertGreater(stamps[0], stamps[1])
        self.assertLess(stamps[2], stamps[3])
        daemon.stop()


if __name__ == '__main__':
    harness.main()
