#!/usr/bin/env python3
"""Ends, deaths and those who do not read: nothing vanishes, nobody else notices."""
import fcntl
import os
import signal
import subprocess
import time

import harness
from harness import Daemon, DaemonCase, Deadline, RawClient, process_children, process_name, process_status, wait_gone


def message(identity, number, size=200):
    return "<message id='p%d' sto='%s' sfrom='x@localhost'><body>%s</body></message>" % (number, identity, 'x' * size)


def wait_until(condition, what, seconds=None):
    """For what only a process's outside can tell: looked at again and again, until the time is over."""
    deadline = Deadline(seconds)
    while not condition():
        if deadline.left() == 0:
            raise AssertionError('not in time: ' + what)
        time.sleep(0.02)


def numbers(elements, bounced):
    """Of our messages among these."""
    return {int(e.get('id')[1:]) for e in elements
            if e.name == 'message' and (e.get('id') or '').startswith('p') and e.has_510() == bounced}


class Faults(DaemonCase):
    def logged_in(self, count, **arguments):
        self.sm = self.manager()
        self.daemon = self.start_with(self.sm, **arguments)
        self.clients = []
        for number in range(count):
            client = self.daemon.client()
            client.identity = self.sm.let_in(client, 'user%d' % number)
            self.clients.append(client)

    def ends(self):
        """Sessions whose end the session manager has heard of."""
        return {e.get('sto') for e in self.sm.link.pending if e.has_510() and e.get('id') is None}

    def assert_works(self, client):
        """It can still speak, and be spoken to."""
        client.send("<iq type='get' id='works'/>")
        self.sm.expect(lambda e: e.get('id') == 'works' and e.get('sfrom') == client.identity)
        self.sm.send("<message sto='%s' sfrom='x@localhost'><body>works</body></message>" % client.identity)
        client.expect_message('works')


class Shutdown(Faults):
    def test_packets_that_keep_coming_are_delivered_or_sent_back(self):
        self.logged_in(4)
        sent, after, when, signalled = 0, 0, [], float('inf')
        while after < 5:
            for client in self.clients * 5:
                self.sm.send(message(client.identity, sent))
                when.append(time.monotonic())
                sent += 1
            if sent == 200:
                signalled = time.monotonic()
                self.daemon.process.send_signal(signal.SIGTERM)
            for peer in [self.sm.link] + self.clients:
                while not peer.ended and peer._read(Deadline(0)):
                    pass
                if peer.ended:
                    peer.socket.close()
            # Some more behind the end of the last session.
            after += len(self.ends()) == len(self.clients)
            self.assertLess(sent, 1000000, 'no end of the sessions')
        self.sm.link.expect_close()
        self.assertTrue(self.sm.link.stream.closed, 'no end of our stream')
        bounced = numbers(self.sm.link.pending, True)
        delivered = set()
        for client in self.clients:
            client.expect_close()
            delivered |= numbers(client.pending, False)
        lost = set(range(sent)) - (bounced | delivered)
        # What is sent when c2sd has waited for long and ended its stream is not taken any more (PATIENCE, QUIET_MAX in
        # master.c): where this machine has no time for this test, that may have been the last ones.
        late = {number for number in range(sent) if when[number] - signalled > 1.0}
        self.assertTrue(lost <= late, 'packets have vanished: %r' % sorted(lost - late)[:20])
        # Both has happened: those behind the end cannot have been delivered, those before the signal are likely to be.
        self.assertGreaterEqual(len(bounced), 80)
        self.sm.close()
        self.assertEqual(0, self.daemon.process.wait(harness.TIMEOUT))

    def test_a_session_manager_that_never_reads(self):
        self.logged_in(1)
        alice = self.clients[0]
        text = ("<message to='x@localhost'><body>%s</body></message>" % ('x' * 8000)).encode()
        alice.socket.settimeout(1)
        try:
            for _ in range(5000):
                alice.socket.sendall(text)
            self.fail('c2sd keeps reading although the link does not')
        except TimeoutError:
            pass
        self.daemon.stop()

    def test_a_session_manager_that_never_closes(self):
        self.logged_in(1)
        self.daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(0, self.daemon.process.wait(harness.TIMEOUT))
        self.sm.link.expect_close()
        self.assertEqual({'user0@localhost/home'}, self.ends())
        self.assertTrue(self.sm.link.stream.closed)

    def test_a_session_manager_that_never_stops(self):
        """Whatever it goes on saying: there is an end."""
        self.logged_in(1)
        self.daemon.process.send_signal(signal.SIGTERM)
        number, deadline = 0, Deadline()
        try:
            while self.daemon.process.poll() is None and deadline.left():
                self.sm.send(message(self.clients[0].identity, number))
                number += 1
                self.sm.link._read(Deadline(0.005))
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertEqual(0, self.daemon.process.wait(harness.TIMEOUT))


class Background(DaemonCase):
    """Without -f."""

    def prepared(self, **arguments):
        daemon = Daemon(**arguments)
        self.addCleanup(daemon.cleanup)
        path = os.path.join(daemon.folder, 'c2sd.xml')
        with open(path, 'w') as file:
            file.write(daemon.configuration())
        os.chmod(path, 0o644)
        return daemon

    def run_it(self, daemon):
        return subprocess.run([harness.program('master/c2sd'), '-c', os.path.join(daemon.folder, 'c2sd.xml')],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=harness.TIMEOUT)

    def end(self, pid):
        if process_status(pid) and process_name(pid) == 'c2sd':
            os.kill(pid, signal.SIGKILL)

    def test_port_in_use_is_said(self):
        first = self.start()
        second = self.prepared()
        second.listeners = first.listeners
        with open(os.path.join(second.folder, 'c2sd.xml'), 'w') as file:
            file.write(second.configuration())
        result = self.run_it(second)
        self.assertEqual(1, result.returncode)
        self.assertRegex(result.stderr, r'127\.0\.0\.1:%d unusable error="Address already in use"' % first.port)
        self.assertFalse(os.path.exists(second.socket_path))

    def test_another_one_runs_already(self):
        first = self.start()
        second = self.prepared()
        second.socket_path = first.socket_path
        with open(os.path.join(second.folder, 'c2sd.xml'), 'w') as file:
            file.write(second.configuration())
        result = self.run_it(second)
        self.assertEqual(1, result.returncode)
        self.assertIn('control ' + first.socket_path, result.stderr)
        first.status()

    def test_works_and_ends(self):
        daemon = self.prepared()
        result = self.run_it(daemon)
        self.assertEqual(0, result.returncode, result.stderr)
        daemon.ctl('wait', '10')
        workers = [worker['pid'] for worker in daemon.status()['workers']]
        master = int(process_status(workers[0])['PPid'])
        self.addCleanup(self.end, master)
        harness.Guard.watch(daemon.folder, master)
        self.assertEqual('', result.stdout)
        self.assertNotRegex(result.stderr, 'error: |warning: ')
        self.assertEqual('c2sd', process_name(master))
        self.assertEqual('/', os.readlink('/proc/%d/cwd' % master))
        for fd in (0, 1, 2):
            self.assertEqual('/dev/null', os.readlink('/proc/%d/fd/%d' % (master, fd)))
        self.assertEqual(os.getsid(master), int(os.getsid(workers[0])))
        self.assertNotEqual(os.getsid(0), os.getsid(master))
        daemon.add_user('alice', 'secret')
        alice = daemon.login('alice').available()
        everybody = [master] + process_children(master)
        self.assertEqual(2 + daemon.workers, len(everybody))
        os.kill(master, signal.SIGTERM)
        alice.expect_stream_error('system-shutdown')
        self.assertEqual([], wait_gone(everybody))
        self.assertFalse(os.path.exists(daemon.socket_path))


class Unread(Faults):
    def test_a_log_that_nobody_reads(self):
        """A full pipe, at the level that writes most."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
        try:
            while True:
                os.write(writer, b'x' * 4096)
        except BlockingIOError:
            pass
        fcntl.fcntl(writer, fcntl.F_SETFL, 0)
        daemon = Daemon(log='debug', workers=2)
        self.addCleanup(daemon.cleanup)
        path = os.path.join(daemon.folder, 'c2sd.xml')
        with open(path, 'w') as file:
            file.write(daemon.configuration())
        os.chmod(path, 0o644)
        daemon.process = subprocess.Popen([harness.program('master/c2sd'), '-f', '-v', '-c', path],
                                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writer)
        harness.Guard.watch(daemon.folder, daemon.process.pid)
        os.close(writer)
        daemon.ctl('wait', '10')
        daemon.add_user('alice', 'secret')
        clients = [daemon.login('alice', resource='r%d' % number).available() for number in range(20)]
        harness.chat(clients[0], clients[19], 'alice@localhost/r0', 'alice@localhost/r19')
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(0, daemon.process.wait(harness.TIMEOUT))

    def test_a_slow_client_does_not_stop_the_others(self):
        """Nor does it cost them a packet, though all together may be kept little for."""
        self.logged_in(2, workers=1, limits={'held_bytes': 1048576, 'unsent_bytes': 262144})
        slow = RawClient(self.daemon.listeners[0], receive_buffer=4096)
        slow.identity = self.sm.let_in(slow, 'slow')
        count = 400
        for number in range(count):
            self.sm.send(message(slow.identity, number, 20000))
            if number % 20 == 0:
                self.sm.send(message(self.clients[number // 20 % 2].identity, 1000 + number))
        for client in self.clients:
            self.assert_works(client)
        for which in (0, 1):
            found = numbers(self.clients[which].pending, False)
            self.assertEqual({1000 + n for n in range(0, count, 20) if n // 20 % 2 == which}, found)
        self.sm.expect(lambda e: e.has_510() and e.get('id') is None and e.get('sto') == 'slow@localhost/home')
        self.assert_works(self.clients[0])
        slow.expect_close()
        bounced, delivered = numbers(self.sm.link.pending, True), numbers(slow.pending, False)
        # Written to its socket counts as delivered for now: those are the first ones.
        self.assertEqual(set(range(min(bounced), count)), bounced)
        self.assertTrue(delivered <= set(range(count)))
        self.assertFalse(any(client.ended for client in self.clients))


class Logins(Faults):
    def lost_answer(self, way):
        """A login's answer that its client never saw, and a second login that was given the same address."""
        self.logged_in(0, workers=2)
        self.daemon.may_lose_workers = True
        first = self.daemon.client().open()
        first.send("<iq type='set' id='login'><query xmlns='jabber:iq:auth'><username>alice</username>"
                   "<password>secret</password><resource>home</resource></query></iq>")
        identity = self.sm.expect('iq').get('sfrom')
        holder = [worker['pid'] for worker in self.daemon.status()['workers'] if worker['clients'] == 1]
        self.assertEqual(1, len(holder))
        # What its worker is told now it will read later, or never.
        os.kill(holder[0], signal.SIGSTOP)
        self.addCleanup(self.go_on, holder[0])
        self.sm.send("<iq type='result' id='login' sto='%s' sfrom='alice@localhost/home'/>" % identity)
        first.reset()
        second = self.daemon.client()
        second.identity = self.sm.let_in(second, 'alice')
        self.assertNotEqual(identity, second.identity)
        os.kill(holder[0], way)
        wait_until(lambda: self.daemon.status()['clients'] == 1, 'the end of the first')
        # All that could be said about the first has been said.
        self.assert_works(second)
        self.assertEqual([], [e for e in self.sm.link.pending if e.has_510()])

    def go_on(self, pid):
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def test_answer_that_its_worker_reads_too_late(self):
        self.lost_answer(signal.SIGCONT)

    def test_answer_that_died_with_its_worker(self):
        self.lost_answer(signal.SIGKILL)


class Death(Faults):
    def test_killed_session_manager_and_idle_clients(self):
        """They stay, and what they say next is answered; so does who has not logged in yet."""
        daemon = self.start(users=('alice', 'bob'))
        idle = [daemon.login('alice', resource='r%d' % number).available() for number in range(4)]
        opened = daemon.client().open()
        for round_ in range(2):
            pid = daemon.children('c2sd-sessiond')[0]
            os.kill(pid, signal.SIGKILL)
            self.assertEqual([], wait_gone([pid]))
            wait_until(lambda: [p for p in daemon.children('c2sd-sessiond') if p != pid], 'another session manager')
            daemon.wait_ready()
            bob = daemon.login('bob', resource='new%d' % round_).available()
            harness.chat(bob, bob, 'bob@localhost', 'bob@localhost')
        for client in idle:
            self.assertFalse(client._read(Deadline(0)) is False and client.ended, 'idle clients were thrown out')
        opened.login('bob', resource='opened').available()
        for client in idle:
            self.assertEqual('result', client.iq('get', "<query xmlns='jabber:iq:roster'/>").get('type'))

    def test_a_worker_that_hangs(self):
        """It is found out by its silence, in about twelve seconds, and its sessions end like those of a dead one."""
        self.logged_in(4, workers=2)
        self.daemon.may_lose_workers = True
        hung = self.daemon.worker_pids()[0]
        os.kill(hung, signal.SIGSTOP)
        self.assertEqual([], wait_gone([hung], 40))
        ended = {self.sm.expect(lambda e: e.has_510()).get('sfrom') for _ in range(2)}
        for client in self.clients:
            if client.identity in ended:
                client.expect_close()
            else:
                self.assert_works(client)
        self.daemon.log.wait('unresponsive pid=%d' % hung)
        # It is meant to be there, for once.
        self.daemon.log.lines[:] = [line for line in self.daemon.log.lines if 'unresponsive' not in line]
        wait_until(lambda: len(set(self.daemon.worker_pids()) - {hung}) == 2, 'a new worker')
        self.daemon.wait_ready()
        fresh = self.daemon.client()
        fresh.identity = self.sm.let_in(fresh, 'fresh')
        self.assert_works(fresh)


if __name__ == '__main__':
    harness.main()
