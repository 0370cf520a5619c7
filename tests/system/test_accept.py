#!/usr/bin/env python3
"""How clients reach a worker: balance, full workers, descriptors that run out."""
import json
import os
import subprocess
import sys
import unittest

import harness
from harness import DaemonCase, RawClient


def descriptors(pid):
    if os.getuid() != 0:
        raise unittest.SkipTest('only root may look into processes that are not dumpable')
    return len(os.listdir('/proc/%d/fd' % pid))


def limit_descriptors(daemon, pid, number):
    """Set the soft limit; only the process's own user may (prlimit(2))."""
    code = 'import resource; resource.prlimit(%d, resource.RLIMIT_NOFILE, (%d, resource.prlimit(%d, resource.RLIMIT_NOFILE)[1]))'
    who = {'user': daemon.user[0], 'group': daemon.user[1], 'extra_groups': []} if daemon.user else {}
    subprocess.run([sys.executable, '-c', code % (pid, number, pid)], check=True, **who)


class Balance(DaemonCase):
    def counts(self, daemon):
        return sorted(worker['clients'] for worker in daemon.status()['workers'])

    def test_clients_go_to_the_worker_with_the_fewest(self):
        daemon = self.start(workers=3)
        clients = [daemon.client().open() for _ in range(9)]
        self.assertEqual([3, 3, 3], self.counts(daemon))
        # By number held, not round robin: those of one worker leave, the next ones go there.
        by_worker = {}
        for line in daemon.ctl('sessions', '--json').stdout.splitlines():
            session = json.loads(line)
            by_worker.setdefault(session['worker'], []).append(session['port'])
        leaving = set(by_worker[1])
        for client in clients:
            if client.socket.getsockname()[1] in leaving:
                client.leave()
        daemon.log.wait(r'worker 1: .* client changed from=closing to=gone', count=3)
        late = [daemon.client().open() for _ in range(3)]
        self.assertEqual(3, len(late))
        self.assertEqual([3, 3, 3], self.counts(daemon))


class Full(DaemonCase):
    def test_who_comes_too_late_waits_for_room(self):
        daemon = self.start(users=('alice',), workers=2, limits={'clients': 2})
        # Who has not logged in would make room: test_admission.
        clients = [daemon.login('alice', resource='r%d' % number) for number in range(4)]
        late = [RawClient(daemon.listeners[0]) for _ in range(3)]
        for client in late:
            client.open(wait=False)
        daemon.log.wait(r'worker \d full clients=2')
        for client in clients[:3]:
            client.leave()
        for client in late:
            client.expect_header()
        daemon.log.wait(r'client changed from=closing to=gone', count=3)
        self.assertEqual(4, daemon.status()['clients'])

    def test_worker_without_descriptors_refuses_and_another_takes_the_client(self):
        daemon = self.start(workers=2)
        poor, rich = daemon.worker_pids()
        # The kernel then delivers the frame without the descriptor (MSG_CTRUNC), and that is no breach.
        limit_descriptors(daemon, poor, descriptors(poor))
        clients = [daemon.client().open() for _ in range(6)]
        self.assertEqual(6, len(clients))
        found = {worker['pid']: worker['clients'] for worker in daemon.status()['workers']}
        self.assertEqual({poor: 0, rich: 6}, found)
        self.assertEqual(1, sum(' full clients=' in line for line in daemon.log.lines))


class Exhausted(DaemonCase):
    def test_accepting_slows_down_and_says_so_once(self):
        daemon = self.start(users=('alice',), workers=1)
        first = daemon.login('alice')
        master = daemon.process.pid
        limit_descriptors(daemon, master, descriptors(master))
        waiting = [RawClient(daemon.listeners[0]) for _ in range(3)]
        for client in waiting:
            client.open(wait=False)
        daemon.log.wait(r' slowed error=')
        first.message('alice@localhost', 'others are served')
        first.available()
        first.expect_message('others are served')
        limit_descriptors(daemon, master, 1000)
        for client in waiting:
            client.expect_header()
        self.assertEqual(1, sum(' slowed error=' in line for line in daemon.log.lines))


if __name__ == '__main__':
    harness.main()
