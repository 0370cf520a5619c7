#!/usr/bin/env python3
"""TCP's rule on links without acknowledgement (doc/link.md): what the network has lost is sent again, first and in order.

A proxy would acknowledge what it loses, so there is a real network here: the session manager lives at the other end of a pair
of virtual cables, in a network namespace of its own, and the cable is pulled.
"""
import contextlib
import ctypes
import os
import random
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

import harness
from harness import Daemon, DaemonCase, Deadline
from scripted import RouteSM, ScriptedSM, XmppSM

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
PORT = 5347


def ip(arguments):
    subprocess.run(['ip', *arguments.split()], check=True, capture_output=True)


class Network:
    """This process has a network of its own, 10.9.0.1, with another one, 10.9.0.2, behind a cable."""

    def __init__(self):
        self._orders, self._done = [], threading.Semaphore(0)
        self._ordered = threading.Semaphore(0)
        if LIBC.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), 'unshare')
        thread = threading.Thread(target=self._live_there, daemon=True)
        thread.start()
        there = self.there(threading.get_native_id)
        ip('link set lo up')
        ip('link add near type veth peer name far netns %d' % there)
        ip('addr add 10.9.0.1/24 dev near')
        ip('link set near up')
        for arguments in 'link set lo up', 'addr add 10.9.0.2/24 dev far', 'link set far up':
            self.there(lambda arguments=arguments: ip(arguments))

    def _live_there(self):
        failed = LIBC.unshare(CLONE_NEWNET)
        while True:
            self._ordered.acquire()
            order = self._orders.pop()
            try:
                self._orders.append(OSError('unshare') if failed else order())
            except Exception as error:  # raised again where it was asked for
                self._orders.append(error)
            self._done.release()

    def there(self, order):
        """Do something there."""
        self._orders.append(order)
        self._ordered.release()
        self._done.acquire()
        result = self._orders.pop()
        if isinstance(result, Exception):
            raise result
        return result

    def pull(self):
        """Nothing arrives any more, in either direction, and nobody is told."""
        self.there(lambda: ip('link set far down'))

    def plug(self):
        self.there(lambda: ip('link set far up'))

    def mute(self):
        """What is sent arrives there, and nothing that is said to it comes back."""
        self.there(lambda: ip('route add blackhole 10.9.0.1/32'))

    def unmute(self):
        self.there(lambda: ip('route del blackhole 10.9.0.1/32'))


def network_or_none():
    if os.getuid() != 0:
        return None
    try:
        return Network()
    except (OSError, subprocess.CalledProcessError):
        return None


NETWORK = network_or_none()


class Distant:
    """A session manager over there."""

    def attributes(self, **more):
        return dict(super().attributes(**more), address='10.9.0.2:%d' % PORT)

    def listen(self):
        def place():
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Little, so that packets are cut in the middle.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            listener.bind(('10.9.0.2', PORT))
            return listener
        self._listener = NETWORK.there(place)
        self._listener.listen()
        return self


def distant(dialect):
    kind = {'sfrom': ScriptedSM, 'route': RouteSM, 'xmpp': XmppSM}[dialect]
    return type('Distant' + kind.__name__, (Distant, kind), {})()


def number_of(element):
    """What a client of ours has sent, in whatever it is wrapped; None: it is something else."""
    message = element.children[0] if element.name == 'route' and element.children else element
    body = message.child_text('body') if message.name == 'message' else None
    return int(body.split()[0]) if body and message.get('type') != 'error' else None


@unittest.skipUnless(NETWORK, 'needs network namespaces')
class RuleCase(DaemonCase):
    def begin(self, dialect='sfrom', dead_seconds=1, timeout=1):
        self.sm = distant(dialect)
        self.addCleanup(self.sm.close)
        self.addCleanup(self.mend)
        self.daemon = Daemon(link=self.sm.attributes(timeout=timeout), limits={'dead_seconds': dead_seconds})
        self.addCleanup(self.daemon.cleanup)
        self.sm.listen()
        self.daemon.start(ready=False)
        self.sm.up()
        self.daemon.wait_ready()
        self.said = 0
        self.client = self.daemon.client()
        self.sm.let_in(self.client, 'alice')

    def mend(self):
        """Whatever was done to the network."""
        NETWORK.plug()
        with contextlib.suppress(subprocess.CalledProcessError):
            NETWORK.unmute()

    def say(self, count, padding=0):
        for _ in range(count):
            self.client.message('bob@localhost', '%d %s' % (self.said, 'x' * padding))
            self.said += 1

    def heard(self):
        """The numbers of all that has come on this connection of the link and was not looked at."""
        while select.select([self.sm.link.socket], [], [], 0)[0] and self.sm.link._read(Deadline()):
            pass
        numbers = [number_of(element) for element in self.sm.link.pending]
        self.sm.link.pending.clear()
        return [number for number in numbers if number is not None]

    def hear(self, numbers):
        """These, once each, in this order."""
        for number in numbers:
            element = self.sm.expect(lambda e: number_of(e) is not None)
            self.assertEqual(number_of(element), number)

    def wait_written(self):
        """Everything that was said so far has been given to TCP, and TCP has it yet."""
        deadline = Deadline()
        while deadline.left() > 0:
            link = self.daemon.status()['link']
            if link['queued_bytes'] == 0 and link['unacknowledged'] > 0 and self.up_count() >= self.wanted:
                return
        self.fail(self.daemon.status())

    def up_count(self):
        return self.daemon.status()['packets']['up']

    def wait_lost(self):
        deadline = Deadline()
        while self.daemon.status()['link']['state'] == 'up':
            if deadline.left() == 0:
                self.fail(self.daemon.status())

    def write_into_nowhere(self, count, padding=0):
        """So many messages are given to TCP, which cannot pass them on."""
        self.wanted = self.up_count() + count
        self.say(count, padding)
        self.wait_written()

    def up_again(self):
        """(A connection that it could not open in time may be the first that waits; the pauses grow to 22 s.)"""
        self.mend()
        deadline = Deadline(60)
        while True:
            try:
                self.sm.up(deadline.left())
                break
            except (AssertionError, OSError):
                if deadline.left() == 0:
                    raise
        self.daemon.wait_ready()

    def balance(self):
        packets = self.daemon.status()['packets']
        self.assertTrue(packets['balanced'], packets)


class Lost(RuleCase):
    def test_until_time_runs_out(self):
        for dialect in 'sfrom', 'route', 'xmpp':
            with self.subTest(dialect):
                self.lost_until_time_runs_out(dialect)

    def lost_until_time_runs_out(self, dialect):
        self.begin(dialect)
        self.say(10)
        self.hear(range(10))
        NETWORK.pull()
        self.write_into_nowhere(20)
        self.wait_lost()
        self.assertEqual(self.heard(), [])
        self.up_again()
        self.hear(range(10, 30))
        self.balance()
        self.daemon.cleanup()
        self.sm.close()

    def test_and_reset(self):
        """It was restarted meanwhile: what comes from before is answered with a reset."""
        self.begin(dead_seconds='never')
        self.say(3)
        self.hear(range(3))
        NETWORK.pull()
        self.write_into_nowhere(20, 1000)
        self.sm.drop()
        self.mend()
        self.daemon.log.wait('link lost reason=')
        self.up_again()
        self.hear(range(3, 23))
        self.say(3)
        self.hear(range(23, 26))

    def test_in_the_middle_of_a_packet(self):
        """More than their TCP takes."""
        self.begin()
        self.say(1)
        self.hear(range(1))
        # It reads nothing, until nothing more is taken there.
        self.say(30, 60000)
        deadline = Deadline()
        while self.daemon.status()['link']['queued_bytes'] == 0 and deadline.left() > 0:
            pass
        NETWORK.pull()
        heard = self.heard()
        self.assertEqual(heard, list(range(1, 1 + len(heard))))
        self.wait_lost()
        self.up_again()
        self.hear(range(1 + len(heard), 31))

    def test_again_and_again(self):
        """Pulled at any moment: nothing is missing, and what comes twice is what had come last."""
        self.begin(timeout=10)      # the session manager is not read meanwhile, and cannot say that it knows the session
        dice = random.Random(7)
        heard = []
        for _ in range(6):
            self.say(dice.randrange(1, 60), dice.choice((0, 100, 3000)))
            NETWORK.pull()
            self.say(dice.randrange(1, 60), dice.choice((0, 100, 3000)))
            self.wait_lost()
            heard.append(self.heard())
            self.up_again()
        self.hear_rest(heard)
        flat = [number for numbers in heard for number in numbers]
        twice = len(flat) - len(set(flat))
        self.assertEqual(sorted(set(flat)), list(range(self.said)))
        for before, numbers in zip(heard, heard[1:]):
            self.assertEqual(numbers, sorted(set(numbers)))
            self.assertLessEqual(numbers[0] if numbers else 0, (before or [self.said])[-1] + 1)
        print('# %d messages, %d connections, %d came twice' % (self.said, len(heard), twice))
        self.balance()

    def hear_rest(self, heard):
        rest = []
        while not rest or rest[-1] != self.said - 1:
            rest.append(number_of(self.sm.expect(lambda e: number_of(e) is not None)))
        heard.append(rest)


class Arrived(RuleCase):
    def test_and_was_not_acknowledged(self):
        """The answers are lost: what had arrived comes twice, and nothing is missing."""
        self.begin()
        self.say(10)
        self.hear(range(10))
        NETWORK.mute()
        self.write_into_nowhere(5)
        self.hear(range(10, 15))
        self.wait_lost()
        self.up_again()
        self.hear(range(10, 15))
        self.say(1)
        self.hear([15])

    def test_counts(self):
        """What was acknowledged does not come again, although nobody has read it: that is TCP's rule."""
        self.begin()
        self.say(10)
        deadline = Deadline()
        while deadline.left() > 0:
            link = self.daemon.status()['link']
            if self.up_count() >= 11 and link['unacknowledged'] == link['queued_bytes'] == 0:
                break
        self.sm.drop()
        self.daemon.log.wait('link lost reason=')
        self.up_again()
        self.say(1)
        self.hear([10])


class Quiet(RuleCase):
    def test_machine_that_vanished(self):
        """Nothing is said, and it is noticed."""
        self.begin(dead_seconds=2)
        self.daemon.log.wait('link up')
        NETWORK.pull()
        self.wait_lost()
        self.up_again()
        self.say(2)
        self.hear(range(2))

    def test_with_acknowledgement_too(self):
        self.sm = distant('sfrom')
        self.addCleanup(self.sm.close)
        self.addCleanup(self.mend)
        daemon = Daemon(link=self.sm.attributes(timeout=1, acknowledge='yes'), limits={'dead_seconds': 2})
        self.addCleanup(daemon.cleanup)
        self.sm.listen()
        daemon.start(ready=False)
        self.sm.up()
        self.sm.expect('enable')
        self.sm.send("<enabled xmlns='urn:xmpp:sm:3' id='one' resume='true'/>")
        daemon.wait_ready()
        NETWORK.pull()
        daemon.log.wait('link lost reason=')
        self.mend()
        while True:     # until one is answered in time
            with contextlib.suppress(AssertionError, OSError):
                self.sm.up()
                self.sm.expect('resume')
                break


class Unix(DaemonCase):
    """A UNIX socket knows what was read."""

    def begin(self):
        folder = tempfile.mkdtemp(prefix='c2sd-test.')
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        self.sm = self.manager(path=os.path.join(folder, 'link'))
        self.daemon = self.start_with(self.sm)

    def read_some(self, dice):
        """Perhaps all, perhaps nothing; but no part of a single packet alone: who always dies of that is believed."""
        if dice.random() < 0.5 and select.select([self.sm.link.socket], [], [], harness.TIMEOUT)[0]:
            self.sm.link.pending += self.sm.link.stream.feed(self.sm.link.socket.recv(dice.choice((4000, 10000, 100000))))
        numbers = [number_of(element) for element in self.sm.link.pending]
        self.sm.link.pending.clear()
        return [number for number in numbers if number is not None]

    def test_killed_with_something_unread(self):
        """Again and again, at any moment: nothing that was not read is lost, and whoever comes meanwhile waits."""
        self.begin()
        dice = random.Random(9)
        client = self.daemon.client()
        identity = self.sm.let_in(client, 'alice')
        said, heard, others = 0, [], []
        for _ in range(30):
            # It works, so it is not waited for.
            self.sm.send("<message sto='%s' sfrom='bob@localhost'><body>works</body></message>" % identity)
            client.expect('message')
            for _ in range(dice.randrange(1, 30)):
                client.message('bob@localhost', '%d %s' % (said, 'x' * dice.choice((0, 100, 3000))))
                said += 1
            heard.append(self.read_some(dice))
            self.sm.drop()
            other = self.daemon.client()
            self.addCleanup(other.close)
            other.open(wait=False)
            others.append(other)
            client.message('bob@localhost', '%d' % said)
            said += 1
            self.sm.up()
        rest = []
        while not rest or rest[-1] != said - 1:
            rest.append(number_of(self.sm.expect(lambda e: number_of(e) is not None)))
        heard.append(rest)
        for numbers in heard:
            self.assertEqual(numbers, list(range(numbers[0], numbers[-1] + 1)) if numbers else [])
        flat = [number for numbers in heard for number in numbers]
        self.assertEqual(sorted(set(flat)), list(range(said)))
        print('# %d messages, %d connections, %d came twice' % (said, len(heard), len(flat) - len(set(flat))))
        for other in others:
            other.expect_header()
        self.daemon.wait_ready()
        self.assertEqual(self.daemon.status()['link']['given_up'], 0)
        client.message('bob@localhost', 'x')


if __name__ == '__main__':
    harness.main()
