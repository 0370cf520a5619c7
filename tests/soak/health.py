"""What the processes of a daemon hold: memory of their own, and descriptors. Compared at two moments of rest with the same
clients there; between them everything has happened many times."""
import os

import harness

RATIO = 1.3
SLACK = 2 << 20     # bytes: what a heap's shape may cost


def memory(pid):
    """Bytes that are this process's alone, more or less: resident and not of a file."""
    with open('/proc/%d/statm' % pid) as file:
        resident, shared = map(int, file.read().split()[1:3])
    return (resident - shared) * os.sysconf('SC_PAGE_SIZE')


def descriptors(pid):
    """None where that may not be seen: a worker is not dumpable."""
    try:
        # The least of many: whoever has just asked the master something has a connection that it may not have closed yet.
        return min(len(os.listdir('/proc/%d/fd' % pid)) for _ in range(500))
    except PermissionError:
        return None


class Look:
    """Of a daemon at rest: role -> (bytes, descriptors beside those of clients)."""

    def __init__(self, daemon):
        status = daemon.status()
        self.roles = {'master': (memory(daemon.process.pid), descriptors(daemon.process.pid))}
        workers = [(memory(w['pid']), descriptors(w['pid']), w['clients']) for w in status['workers']]
        self.roles['workers'] = (max(w[0] for w in workers), sum((w[1] or 0) - w[2] for w in workers))
        for pid in daemon.children('c2sd-sessiond'):
            self.roles['sessiond'] = (memory(pid), descriptors(pid))

    def compare(self, before):
        """What has grown, in words."""
        said = []
        for role, (size, count) in self.roles.items():
            size_before, count_before = before.roles[role]
            if size > size_before * RATIO + SLACK:
                said.append('%s has grown from %d to %d kB' % (role, size_before >> 10, size >> 10))
            if None not in (count, count_before) and count > count_before:
                said.append('%s has %d descriptors, not %d' % (role, count, count_before))
        return said

    def __str__(self):
        return ', '.join('%s %d kB %s fds' % (role, size >> 10, count) for role, (size, count) in self.roles.items())


def sanitized():
    return harness.is_sanitized(harness.program('master/c2sd'))
