#!/usr/bin/env python3
"""What each process may still do: capabilities, limits, environment, sandbox; low ports and files after root is gone.

Runs in a network of its own where that can be had, so that low ports are free and nobody else's.
"""
import ctypes
import fcntl
import json
import os
import pwd
import signal
import socket
import struct
import unittest

import harness
from harness import Daemon, DaemonCase, RawClient, process_status, process_title

ROOT = os.getuid() == 0
PORTS = 1 << 10     # CAP_NET_BIND_SERVICE
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
LIBC = ctypes.CDLL(None, use_errno=True)


def own_network():
    """True: this process, and all that it starts, have a network with nothing but a loopback."""
    if not ROOT or LIBC.unshare(CLONE_NEWNET) != 0:
        return False
    with socket.socket() as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack('16sh22x', b'lo', IFF_UP))
    return True


OWN_NETWORK = own_network()


def build_option(name):
    with open(harness.program('meson-info/intro-buildoptions.json')) as file:
        return next(option['value'] for option in json.load(file) if option['name'] == name)


SANITIZED = build_option('b_sanitize') != 'none'
with open(harness.program('worker/c2sd-worker'), 'rb') as worker:
    SANDBOX = b'libseccomp.so' in worker.read()


def limits(pid):
    """/proc/PID/limits: the soft and the hard one of each."""
    found = {}
    with open('/proc/%d/limits' % pid) as file:
        for line in file.readlines()[1:]:
            soft, hard = line[26:].split()[:2]
            found[line[:26].strip()] = (soft, hard)
    return found


def as_nobody(action):
    """Run something as the service's user in a process of its own; what it gave back, or its error number."""
    entry = pwd.getpwnam('nobody')
    pid = os.fork()
    if pid == 0:
        status = 255
        try:
            os.setgroups([])
            os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
            status = action()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def ptrace_error(pid):
    """0 when that process can be debugged, else why not."""
    error = 0 if LIBC.ptrace(PTRACE_SEIZE, pid, None, None) == 0 else ctypes.get_errno()
    if error == 0:
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, 0)
        LIBC.ptrace(PTRACE_DETACH, pid, None, None)
    return error


class Processes(DaemonCase):
    def all(self, daemon):
        return [daemon.process.pid] + daemon.children()

    @unittest.skipUnless(ROOT, 'only root has capabilities to give up')
    def test_capabilities(self):
        daemon = self.start()
        self.assertEqual(4, len(self.all(daemon)))
        for pid in self.all(daemon):
            status, title = process_status(pid), process_title(pid)
            wanted = PORTS if pid == daemon.process.pid else 0
            for line in ('CapPrm', 'CapEff'):
                self.assertEqual(wanted, int(status[line], 16), '%s of %s' % (line, title))
            for line in ('CapInh', 'CapAmb', 'CapBnd'):
                self.assertEqual(0, int(status[line], 16), '%s of %s' % (line, title))

    def test_no_new_privileges(self):
        daemon = self.start()
        for pid in self.all(daemon):
            self.assertEqual('1', process_status(pid)['NoNewPrivs'].strip(), process_title(pid))

    def test_limits(self):
        daemon = self.start()
        for pid in self.all(daemon):
            self.assertEqual(('0', '0'), limits(pid)['Max core file size'], process_title(pid))
        for pid in daemon.worker_pids():
            self.assertEqual(('0', '0'), limits(pid)['Max file size'])
            self.assertEqual('unlimited', limits(pid)['Max address space'][1])
        for pid in daemon.children():
            if not SANITIZED:
                self.assertEqual(('0', '0'), limits(pid)['Max processes'])
            self.assertEqual('0077', process_status(pid)['Umask'].strip())
        self.assertEqual('0027', process_status(daemon.process.pid)['Umask'].strip())

    @unittest.skipIf(SANITIZED, 'a sanitizer takes all the address space there is')
    def test_memory(self):
        daemon = Daemon(workers=1)
        self.addCleanup(daemon.cleanup)
        text = daemon.configuration()
        daemon.configuration = lambda: text.replace('<workers ', '<workers memory="256" ')
        daemon.start()
        wanted = str(256 << 20)
        self.assertEqual((wanted, wanted), limits(daemon.worker_pids()[0])['Max address space'])
        for pid in [daemon.process.pid] + daemon.children('c2sd-sessiond'):
            self.assertNotEqual(wanted, limits(pid)['Max address space'][1], process_title(pid))

    def test_environment_of_children(self):
        """They are started through a script that says what it was given; /proc shows nothing but their titles."""
        daemon = Daemon(workers=1, environment=dict(os.environ, LISTEN_FDS='0', SECRET='a secret'))
        self.addCleanup(daemon.cleanup)
        for name in ('worker', 'sessiond'):
            path = os.path.join(daemon.folder, name)
            with open(path, 'w') as file:
                file.write('#!/bin/sh\nexport -p >&2\necho "end of %s" >&2\nexec %s "$@"\n' % (
                    name, getattr(daemon, name + '_program')))
            os.chmod(path, 0o755)
            setattr(daemon, name + '_program', path)
        daemon.start()
        for name in ('worker', 'sessiond'):
            daemon.log.wait('end of ' + name)
        variables = {line.split()[1].split('=')[0] for line in daemon.log.lines if line.startswith('export ')}
        # PWD and OLDPWD are the shell's own.
        self.assertIn('TITLE', variables)
        self.assertEqual(set(), {name for name in variables if not name.endswith('SAN_OPTIONS')} -
                         {'TITLE', 'PWD', 'OLDPWD'})

    @unittest.skipUnless(SANDBOX, 'this build has no sandbox')
    def test_sandbox_is_on(self):
        daemon = self.start()
        for pid in daemon.children():
            wanted = '2' if process_title(pid).startswith('c2sd: worker') else '0'
            self.assertEqual(wanted, process_status(pid)['Seccomp'].strip(), process_title(pid))

    @unittest.skipIf(SANDBOX, 'this build has a sandbox')
    def test_missing_sandbox_is_said(self):
        self.start(log='info').log.wait('sandbox missing', count=2)

    def test_worker_that_the_sandbox_ended_is_named(self):
        daemon = self.start(workers=1)
        daemon.may_lose_workers = True
        victim = daemon.worker_pids()[0]
        os.kill(victim, signal.SIGSYS)
        line = daemon.log.wait(r'worker.* 0 died pid=%d' % victim)[0]
        self.assertIn('signal=31', line)
        self.assertIn('sandbox', line)
        daemon.wait_ready()

    @unittest.skipIf(SANITIZED, 'a sanitizer is a debugger')
    @unittest.skipUnless(ROOT, 'another process of the same user is needed')
    def test_nobody_debugs_them(self):
        daemon = self.start()
        other = os.fork()
        if other == 0:
            entry = pwd.getpwnam('nobody')
            os.setgroups([])
            os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
            LIBC.prctl(4, 1, 0, 0, 0)    # PR_SET_DUMPABLE, which is lost with the change of user
            LIBC.prctl(0x59616d61, ctypes.c_ulong(-1 & (2 ** 64 - 1)), 0, 0, 0)     # PR_SET_PTRACER_ANY, for Yama
            os.write(self.ready[1], b'x')
            signal.pause()
            os._exit(0)
        try:
            os.read(self.ready[0], 1)
            self.assertEqual(0, as_nobody(lambda: ptrace_error(other)), 'not even a harmless process can be debugged')
            for pid in self.all(daemon):
                self.assertEqual(1, as_nobody(lambda pid=pid: ptrace_error(pid)), process_title(pid))
        finally:
            os.kill(other, signal.SIGKILL)
            os.waitpid(other, 0)

    def setUp(self):
        self.ready = os.pipe()
        self.addCleanup(os.close, self.ready[0])
        self.addCleanup(os.close, self.ready[1])


@unittest.skipUnless(OWN_NETWORK, 'a network of our own cannot be had')
class LowPorts(DaemonCase):
    def begin(self, **arguments):
        daemon = Daemon(log='info', **arguments)
        self.addCleanup(daemon.cleanup)
        return daemon

    def write(self, daemon, mode=0o644, text=None):
        path = os.path.join(daemon.folder, 'c2sd.xml')
        with open(path + '.new', 'w') as file:
            file.write(text or daemon.configuration())
        os.chmod(path + '.new', mode)
        os.chown(path + '.new', 0, pwd.getpwnam('nobody').pw_gid)
        os.rename(path + '.new', path)

    def connect(self, port, host='localhost'):
        client = RawClient(('127.0.0.1', port))
        self.addCleanup(client.close)
        client.open(to=host)

    def reload(self, daemon, wanted='done', mode=0o644):
        """The lines of the log about it."""
        self.write(daemon, mode)
        since = daemon.log.mark()
        daemon.process.send_signal(signal.SIGHUP)
        daemon.log.wait(' reload ' + wanted, since)
        return '\n'.join(daemon.log.lines[since:])

    def test_only_root_or_the_capability_binds_them(self):
        def bind():
            try:
                with socket.socket() as s:
                    s.bind(('127.0.0.1', 443))
            except PermissionError:
                return 13
            return 0

        self.assertEqual(13, as_nobody(bind))
        self.assertEqual(0, bind())

    def test_reload_binds_one(self):
        daemon = self.begin()
        daemon.start()
        self.assertNotIn('0', process_status(daemon.process.pid)['Uid'].split())
        daemon.listeners.append(('127.0.0.1', 443))
        self.reload(daemon)
        self.connect(443)
        # And gives it back, and takes it again.
        daemon.listeners.pop()
        self.reload(daemon)
        with self.assertRaises(ConnectionRefusedError):
            self.connect(443)
        daemon.listeners.append(('127.0.0.1', 443))
        self.reload(daemon)
        self.connect(443)
        daemon.stop()

    def test_start_as_the_user_with_the_capability(self):
        """As systemd does it with User= and AmbientCapabilities=."""
        daemon = self.begin()
        daemon.prefix = ['setpriv', '--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups', '--inh-caps',
                         '+net_bind_service', '--ambient-caps', '+net_bind_service']
        daemon.listeners.append(('127.0.0.1', 443))
        daemon.start()
        self.connect(443)
        for pid in [daemon.process.pid] + daemon.children():
            status = process_status(pid)
            for line in ('CapInh', 'CapAmb'):
                self.assertEqual(0, int(status[line], 16), '%s of %s' % (line, process_title(pid)))
            wanted = PORTS if pid == daemon.process.pid else 0
            for line in ('CapPrm', 'CapEff'):
                self.assertEqual(wanted, int(status[line], 16), '%s of %s' % (line, process_title(pid)))
        self.assertFalse([line for line in daemon.log.lines if 'master unprivileged' in line])
        daemon.listeners.append(('127.0.0.1', 444))
        self.reload(daemon)
        self.connect(444)
        daemon.stop()

    def test_start_as_the_user_without(self):
        daemon = self.begin()
        daemon.prefix = ['setpriv', '--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups']
        daemon.start()
        self.assertTrue([line for line in daemon.log.lines if 'master unprivileged' in line])
        daemon.listeners.append(('127.0.0.1', 443))
        self.assertRegex(self.reload(daemon, 'refused'), r'127\.0\.0\.1:443.*Permission denied')
        self.connect(daemon.port)
        daemon.stop()

    def test_files_that_the_group_may_read(self):
        daemon = self.begin()
        daemon.start()
        daemon.hosts = ('localhost', 'one.example')
        self.reload(daemon, 'done', 0o640)
        self.connect(daemon.port, 'one.example')
        # One that it may not read changes nothing, and that is said.
        daemon.hosts = ('localhost', 'two.example')
        self.assertRegex(self.reload(daemon, 'refused', 0o600), r'c2sd\.xml.*Permission denied')
        self.connect(daemon.port, 'one.example')
        client = RawClient(('127.0.0.1', daemon.port))
        self.addCleanup(client.close)
        client.open(to='two.example', wait=False).expect_stream_error('host-unknown')
        daemon.stop()


if __name__ == '__main__':
    harness.main()
