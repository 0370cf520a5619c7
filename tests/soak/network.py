"""A network of our own: we live in one namespace, far clients in another, and between them is a router that can be told to
pass nothing on, in either direction, without a word to anybody. All of it is gone when we are."""
import ctypes
import os
import subprocess
import sys

import harness

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
HOLDER = """
import ctypes, sys
assert ctypes.CDLL(None).unshare(%d) == 0
print('ready', flush=True)
sys.stdin.read()
""" % CLONE_NEWNET

libc = ctypes.CDLL(None, use_errno=True)


def command(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError('%s: %s' % (' '.join(words), done.stderr.strip()))


def leave_home():
    """Into a network (and a table of mounts) of our own, before there is any thread. None, or why that cannot be."""
    if os.getuid() != 0:
        return 'network namespaces: not root'
    if libc.unshare(CLONE_NEWNET | CLONE_NEWNS) != 0:
        return 'network namespaces: ' + os.strerror(ctypes.get_errno())
    try:
        command('mount', '--make-rprivate', '/')
        command('ip', 'link', 'set', 'lo', 'up')
    except OSError as error:
        return str(error)
    return None


class Holder:
    """A process that keeps a namespace."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, '-c', HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, preexec_fn=harness._die_with_parent)
        if self.process.stdout.readline() != 'ready\n':
            raise OSError('no namespace')
        self.pid = self.process.pid

    def run(self, *words):
        command('nsenter', '-n', '-t', str(self.pid), *words)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Network:
    """near: our address. far clients live in `space` (a descriptor)."""

    near, router_near, router_far, far = '10.79.1.1', '10.79.1.2', '10.79.2.2', '10.79.2.1'

    def __init__(self):
        self.router, self.far_holder = Holder(), Holder()
        router, far = self.router, self.far_holder
        command('ip', 'link', 'add', 'near0', 'type', 'veth', 'peer', 'name', 'near1', 'netns', str(router.pid))
        router.run('ip', 'link', 'add', 'far1', 'type', 'veth', 'peer', 'name', 'far0', 'netns', str(far.pid))
        command('ip', 'address', 'add', self.near + '/24', 'dev', 'near0')
        command('ip', 'link', 'set', 'near0', 'up')
        for name, address in (('near1', self.router_near), ('far1', self.router_far)):
            router.run('ip', 'address', 'add', address + '/24', 'dev', name)
            router.run('ip', 'link', 'set', name, 'up')
        far.run('ip', 'address', 'add', self.far + '/24', 'dev', 'far0')
        for name in ('lo', 'far0'):
            far.run('ip', 'link', 'set', name, 'up')
        command('ip', 'route', 'add', '10.79.2.0/24', 'via', self.router_near)
        far.run('ip', 'route', 'add', 'default', 'via', self.router_far)
        self.join()
        self.space = os.open('/proc/%d/ns/net' % far.pid, os.O_RDONLY)

    def join(self):
        self._forward(1)

    def cut(self):
        self._forward(0)

    def _forward(self, value):
        self.router.run('sh', '-c', 'echo %d >/proc/sys/net/ipv4/ip_forward' % value)

    def close(self):
        os.close(self.space)
        subprocess.run(['ip', 'link', 'delete', 'near0'], capture_output=True)
        self.router.close()
        self.far_holder.close()
