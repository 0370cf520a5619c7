#!/usr/bin/python3
"""What an idle client owns in the real daemon: no parser, no buffer, and less than a kilobyte in all.

The second needs root, because the processes let nobody look into them, and programs without a sanitizer, which has
memory of its own.
"""
import os
import subprocess
import sys
import unittest

import harness
from harness import DaemonCase, Deadline

BENCH = os.path.join(harness.SOURCE, '..', '..', 'bench', 'idle')

# Bytes of master and workers together, for each client: the promise of doc/design.md.
GOAL = 1000
CLIENTS = 5000


class Idle(DaemonCase):
    def lent(self, daemon, wanted):
        """Parsers and buffers of all workers, as soon as they are what is wanted, or else at the end of the time."""
        deadline = Deadline()
        while True:
            workers = daemon.status()['workers']
            found = sum(one['parsers'] for one in workers), sum(one['buffers'] for one in workers)
            if found == wanted or deadline.left() == 0:
                return found

    def test_no_parser_and_no_buffer(self):
        daemon = self.start(users=('alice', 'bob'))
        clients = [daemon.login('alice', resource='r%d' % number).available() for number in range(20)]
        self.assertEqual((0, 0), self.lent(daemon, (0, 0)))
        # Who is in the middle of an element keeps his parser, and only he.
        clients[3].send('<message><bo')
        clients[4].send('<message to="bob@localhost"><body>whole</body></message>')
        self.assertEqual((1, 0), self.lent(daemon, (1, 0)))
        clients[3].send('dy/></message>')
        self.assertEqual((0, 0), self.lent(daemon, (0, 0)))
        # The same clients go on.
        bob = daemon.login('bob').available()
        for number in (3, 4, 19):
            clients[number].message('bob@localhost', 'from %d' % number)
            bob.expect_message('from %d' % number)
        self.assertEqual((0, 0), self.lent(daemon, (0, 0)))

    @unittest.skipIf(os.getuid() != 0, 'only root may look into the processes')
    @unittest.skipIf(harness.is_sanitized(harness.program('worker/c2sd-worker')), 'a sanitizer has memory of its own')
    def test_less_than_a_kilobyte(self):
        result = subprocess.run([sys.executable, BENCH, '--build', harness.BUILD, '--manager', 'yes',
                                 '--clients', str(CLIENTS), '--goal', str(GOAL)], capture_output=True, text=True)
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)


if __name__ == '__main__':
    harness.main()
