#!/usr/bin/env python3
"""Master, workers, session manager: who runs as whom, who holds what, and what the death of each costs."""
import os
import re
import signal
import subprocess
import time
import unittest

import harness
from harness import DaemonCase, process_status, process_title, wait_gone

ROOT = os.getuid() == 0


def descriptors(pid):
    """What every descriptor of a process is, as far as /proc tells."""
    if not ROOT:
        raise unittest.SkipTest('only root may look into processes that are not dumpable')
    found = {}
    for fd in os.listdir('/proc/%d/fd' % pid):
        try:
            found[int(fd)] = os.readlink('/proc/%d/fd/%s' % (pid, fd))
        except FileNotFoundError:
            pass
    return found


def inet_sockets(pid):
    """Inodes of all TCP sockets that this process can see, listening and connected."""
    listening, connected = set(), set()
    for name in ('tcp', 'tcp6'):
        try:
            with open('/proc/%d/net/%s' % (pid, name)) as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except FileNotFoundError:
            continue
        for row in rows:
            (listening if row[3] == '0A' else connected).add('socket:[%s]' % row[9])
    return listening, connected


def wait_until(condition, what, seconds=None):
    """For what /proc alone can tell: looked at again and again, until the time is over."""
    deadline = harness.Deadline(seconds)
    while True:
        value = condition()
        if value:
            return value
        if deadline.left() == 0:
            raise AssertionError('not in time: ' + what)
        time.sleep(0.02)


class Privilege(DaemonCase):
    @unittest.skipUnless(ROOT, 'only root can give root up')
    def test_nobody_is_root(self):
        daemon = self.start(users=('alice',), user=('nobody', 'nogroup'))
        daemon.login('alice').available()
        pids = [daemon.process.pid] + daemon.children()
        self.assertEqual(4, len(pids), [process_title(pid) for pid in pids])
        for pid in pids:
            status = process_status(pid)
            for line in ('Uid', 'Gid'):
                self.assertNotIn('0', status[line].split(), '%s of %s' % (line, process_title(pid)))
            self.assertFalse({'0'} & set(status['Groups'].split()), 'Groups of ' + process_title(pid))

    @unittest.skipUnless(ROOT, 'only root has capabilities to give up')
    def test_workers_have_no_capabilities(self):
        daemon = self.start(user=('nobody', 'nogroup'))
        for pid in daemon.children():
            status = process_status(pid)
            for line in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb'):
                self.assertEqual(0, int(status[line], 16), '%s of %s' % (line, process_title(pid)))
        for line in ('CapPrm', 'CapEff'):
            self.assertFalse(int(process_status(daemon.process.pid)[line], 16) & ~(1 << 10), line + ' of the master')

    def test_titles(self):
        daemon = self.start(workers=3)
        titles = sorted(process_title(pid) for pid in daemon.children())
        self.assertEqual(['c2sd: sessiond', 'c2sd: worker 0', 'c2sd: worker 1', 'c2sd: worker 2'], titles)

    def test_number_of_workers_on_the_command_line_beats_the_file(self):
        self.assertEqual(3, len(self.start(workers=1, arguments=['-w', '3']).worker_pids()))

    def test_descriptors_of_workers(self):
        """A socketpair, an epoll, its signals and timers, its clients, and 0 to 2: nothing else."""
        daemon = self.start(users=('alice',), workers=2)
        clients = [daemon.login('alice', resource='r%d' % i).available() for i in range(4)]
        held = 0
        for pid in daemon.worker_pids():
            listening, connected = inet_sockets(pid)
            unix = 0
            for fd, target in descriptors(pid).items():
                self.assertNotIn(target, listening, 'a worker holds a listener')
                if target in connected:
                    held += 1
                elif target.startswith('socket:'):
                    unix += 1
                elif fd > 2:
                    self.assertRegex(target, r'^anon_inode:\[(eventpoll|signalfd|timerfd)\]$')
                else:
                    self.assertRegex(target, r'^(/dev/null|pipe:\[\d+\])$')
            self.assertEqual(1, unix, descriptors(pid))
        self.assertEqual(len(clients), held)

    def test_descriptors_of_the_session_manager(self):
        daemon = self.start(users=('alice',))
        daemon.login('alice').available()
        for pid in daemon.children('c2sd-sessiond'):
            listening, connected = inet_sockets(pid)
            for fd, target in descriptors(pid).items():
                self.assertNotIn(target, listening | connected, 'the session manager holds a socket of a client')
                if target.startswith('/') and target != '/dev/null':
                    # Its database; and what it leaves to the next one, which is the master's and has no name.
                    self.assertTrue(target.startswith((daemon.folder + '/accounts.db', '/memfd:c2sd-journal')), target)

    def test_clients_are_spread_by_number_held(self):
        daemon = self.start(users=('alice',), workers=2)
        clients = [daemon.login('alice', resource='r%d' % i) for i in range(10)]
        self.assertEqual([5, 5], [self.held(pid) for pid in daemon.worker_pids()])
        for client in clients[::2]:
            client.leave()
        clients = clients[1::2] + [daemon.login('alice', resource='n%d' % i) for i in range(5)]
        self.assertEqual([5, 5], [self.held(pid) for pid in daemon.worker_pids()])

    def held(self, pid):
        connected = inet_sockets(pid)[1]
        return sum(target in connected for target in descriptors(pid).values())


class Death(DaemonCase):
    def worker_of(self, daemon, client):
        """The worker that holds the other end of this connection."""
        port = '%04X' % client.socket.getsockname()[1]
        with open('/proc/net/tcp') as file:
            for line in file.readlines()[1:]:
                row = line.split()
                if row[2].endswith(':' + port) and row[3] == '01':
                    wanted = 'socket:[%s]' % row[9]
        for pid in daemon.worker_pids():
            if wanted in descriptors(pid).values():
                return pid
        raise AssertionError('no worker holds the client')

    def test_killed_worker_costs_its_own_clients(self):
        manager = self.manager()
        daemon = self.start_with(manager, workers=2)
        clients = {}
        for user in ('alice', 'bob', 'carol', 'dave'):
            clients[user] = daemon.client()
            clients[user].identity = manager.let_in(clients[user], user)
        daemon.may_lose_workers = True
        victim = self.worker_of(daemon, clients['alice'])
        lost = {user for user, client in clients.items() if self.worker_of(daemon, client) == victim}
        self.assertEqual(2, len(lost))
        os.kill(victim, signal.SIGKILL)
        for user in lost:
            clients[user].expect_close()
        ended = {}
        for _ in lost:
            end = manager.expect(lambda e: e.has_510())
            self.assertEqual([None] * 3, [end.get('to'), end.get('from'), end.get('id')])
            self.assertEqual(['error'], [child.name for child in end.children])
            ended[end.get('sto')] = end.get('sfrom')
        self.assertEqual({user + '@localhost/home': clients[user].identity for user in lost}, ended)
        for user in set(clients) - lost:
            clients[user].message('x@localhost', 'unimpressed')
            self.assertEqual(clients[user].identity, manager.expect('message').get('sfrom'))
        wait_until(lambda: len(set(daemon.worker_pids()) - {victim}) == 2, 'a new worker')
        fresh = daemon.client()
        manager.let_in(fresh, 'erin')
        self.assertNotEqual(victim, self.worker_of(daemon, fresh))

    def test_packets_of_a_killed_worker_come_back(self):
        """Whatever the worker had not yet delivered is bounced, behind the bare 510, to where it came from."""
        manager = self.manager()
        daemon = self.start_with(manager, workers=1)
        client = harness.RawClient(daemon.listeners[0], receive_buffer=4096)
        identity = manager.let_in(client, 'alice')
        body = 'x' * 20000
        for number in range(400):
            manager.send("<message to='alice@localhost' from='bob@localhost/w' id='n%d' type='chat' sto='%s' "
                         "sfrom='alice@localhost'><body>%s</body></message>" % (number, identity, body))
        client.expect('message')
        daemon.may_lose_workers = True
        os.kill(daemon.worker_pids()[0], signal.SIGKILL)
        first = manager.expect(lambda e: e.has_510())
        self.assertEqual([None, 'alice@localhost/home'], [first.get('id'), first.get('sto')])
        bounced = []
        while not bounced or bounced[-1] != 399:
            packet = manager.expect(lambda e: e.has_510())
            self.assertEqual(('alice@localhost', 'bob@localhost/w', 'error', 'alice@localhost', identity),
                             tuple(packet.get(a) for a in ('to', 'from', 'type', 'sto', 'sfrom')))
            self.assertEqual('chat', packet.children[-1].get('type'))
            bounced.append(int(packet.get('id')[1:]))
        self.assertEqual(list(range(bounced[0], 400)), bounced)
        client.expect_close()
        delivered = [int(e.get('id')[1:]) for e in client.pending if e.name == 'message'] + [0]
        self.assertEqual(set(range(400)), set(delivered) | set(bounced), 'a packet vanished')

    def test_worker_killed_again_and_again(self):
        daemon = self.start(users=('alice',), workers=1)
        daemon.may_lose_workers = True
        old = set()
        for _ in range(3):
            pid = wait_until(lambda: set(daemon.worker_pids()) - old, 'a new worker').pop()
            old.add(pid)
            os.kill(pid, signal.SIGKILL)
            self.assertFalse(wait_gone([pid]))
        daemon.login('alice').available()
        daemon.stop()

    def test_killed_session_manager_comes_back(self):
        daemon = self.start(users=('alice', 'bob'))
        alice = daemon.login('alice').available()
        alice.message('bob@localhost', 'written down')
        alice.settle()
        pid = daemon.children('c2sd-sessiond')[0]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: [p for p in daemon.children('c2sd-sessiond') if p != pid], 'a new session manager')
        daemon.wait_ready()
        daemon.login('bob').available().expect_message('written down')

    def test_killed_master_takes_all_with_it(self):
        daemon = self.start(users=('alice',), workers=3)
        client = daemon.login('alice').available()
        children = daemon.children()
        self.assertEqual(4, len(children))
        daemon.process.kill()
        daemon.process.wait()
        self.assertEqual([], wait_gone(children))
        client.expect_close()

    def test_sigterm(self):
        daemon = self.start(users=('alice',))
        clients = [daemon.login('alice').available(), daemon.client().open()]
        old = daemon.client().open(version=None).login('alice', resource='old')
        daemon.stop()
        for client in clients:
            client.expect_stream_error('system-shutdown')
        old.expect_end()
        with self.assertRaises(ConnectionRefusedError):
            daemon.client()

    def test_sigterm_ends_the_sessions_upstream(self):
        manager = self.manager()
        daemon = self.start_with(manager)
        client = daemon.client()
        identity = manager.let_in(client, 'alice')
        daemon.process.send_signal(signal.SIGTERM)
        end = manager.expect(lambda e: e.has_510())
        self.assertEqual(('alice@localhost/home', identity), (end.get('sto'), end.get('sfrom')))
        client.expect_stream_error('system-shutdown')
        manager.link.expect_close()
        manager.close()
        self.assertEqual(0, daemon.process.wait(harness.TIMEOUT))

    def test_sigterm_while_the_link_is_down(self):
        manager = self.manager()
        daemon = self.start_with(manager)
        client = daemon.client()
        manager.let_in(client, 'alice')
        manager.close()
        daemon.stop()
        client.expect_stream_error('system-shutdown')


class CommandLine(DaemonCase):
    def run_it(self, *arguments):
        return subprocess.run([harness.program('master/c2sd')] + list(arguments), capture_output=True, text=True,
                              timeout=harness.TIMEOUT)

    def test_unknown_option(self):
        self.assertNotEqual(0, self.run_it('-Z').returncode)

    def test_no_such_file(self):
        result = self.run_it('-f', '-c', '/nonexistent/c2sd.xml')
        self.assertEqual(1, result.returncode)
        self.assertIn('/nonexistent/c2sd.xml', result.stderr)

    def test_port_in_use(self):
        first = self.start()
        second = harness.Daemon()
        self.addCleanup(second.cleanup)
        second.listeners = first.listeners
        second.start(ready=False)
        self.assertNotIn(second.process.wait(harness.TIMEOUT), (0, None))
        second.log.wait(re.escape(str(first.port)))


if __name__ == '__main__':
    harness.main()
