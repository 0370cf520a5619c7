#!/usr/bin/env python3
"""c2sd as a service: what its manager is told, sockets that are handed over, pid file, the way to the background."""
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import harness
from harness import Daemon, DaemonCase, Guard, Output, process_status, process_title, program, wait_gone

# Puts the sockets where sd_listen_fds(3) wants them, and becomes the daemon, whose id stands in the environment.
LAUNCHER = """
import os, sys
count = int(sys.argv[1])
fds = [int(fd) for fd in sys.argv[2:2 + count]]
moved = [os.dup2(fd, 100 + number, inheritable=False) for number, fd in enumerate(fds)]
for number, fd in enumerate(moved):
    os.dup2(fd, 3 + number)
os.environ.update(LISTEN_FDS=str(count), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=':'.join('x' * count))
os.execv(sys.argv[2 + count], sys.argv[2 + count:])
"""


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace('@', '\0', 1))
        if address.startswith('/'):
            os.chmod(address, 0o777)
        self.heard = []

    def next(self, deadline):
        if not select.select([self.socket], [], [], deadline.left())[0]:
            return None
        text = self.socket.recv(4096).decode()
        self.heard.append(text)
        return text

    def wait(self, pattern, seconds=None):
        """The next datagram that matches as a whole; the others are in `heard`."""
        deadline = harness.Deadline(seconds)
        while (text := self.next(deadline)) is not None:
            if re.fullmatch(pattern, text):
                return text
        raise AssertionError('not told: %r; but: %r' % (pattern, self.heard[-20:]))

    def rest(self):
        """What has been told by now."""
        while self.next(harness.Deadline(0)) is not None:
            pass
        return self.heard


class ServiceDaemon(Daemon):
    """In the foreground, with an environment and sockets of the test's."""

    def __init__(self, environment=None, sockets=(), prefix=(), **arguments):
        super().__init__(**arguments)
        self.environment = dict(os.environ, **(environment or {}))
        self.sockets = list(sockets)
        self.prefix = list(prefix)

    def start(self, ready=True):
        path = self.write_configuration()
        command = self.prefix + [program('master/c2sd'), '-f', '-c', path] + self.arguments
        fds = [s.fileno() for s in self.sockets]
        if fds:
            command = [sys.executable, '-c', LAUNCHER, str(len(fds))] + [str(fd) for fd in fds] + command
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=self.environment, pass_fds=fds,
                                        preexec_fn=harness._die_with_parent)
        Guard.watch(self.folder, self.process.pid)
        self.log = Output(self.process.stderr, os.path.join(self.folder, 'log'))
        if ready:
            self.wait_ready()
        return self

    def write_configuration(self):
        path = os.path.join(self.folder, 'c2sd.xml')
        with open(path, 'w') as file:
            file.write(self.configuration())
        os.chmod(path, 0o644)
        return path


class ServiceCase(DaemonCase):
    def service(self, *, start=True, users=(), **arguments):
        daemon = ServiceDaemon(**arguments)
        self.addCleanup(daemon.cleanup)
        if start:
            daemon.start()
        for user in users:
            daemon.add_user(user, 'secret')
        return daemon

    def manager_of_services(self):
        folder = tempfile.mkdtemp(prefix='c2sd-test.')
        Guard.watch(folder)
        os.chmod(folder, 0o755)
        manager = Manager(folder + '/notify')
        self.addCleanup(manager.socket.close)
        return manager


class Notify(ServiceCase):
    def told(self, address, **environment):
        manager = Manager(address)
        self.addCleanup(manager.socket.close)
        return manager, self.service(environment={'NOTIFY_SOCKET': address, **environment})

    def test_ready_and_stopping(self):
        manager = self.manager_of_services()
        daemon = self.service(environment={'NOTIFY_SOCKET': manager.address})
        manager.wait('READY=1')
        self.assertEqual([], [text for text in manager.heard if text.startswith('STOPPING')])
        daemon.stop()
        told = manager.rest()
        self.assertEqual(1, told.count('READY=1'))
        self.assertEqual(1, told.count('STOPPING=1'))
        self.assertLess(told.index('READY=1'), told.index('STOPPING=1'))

    def test_abstract_socket(self):
        manager, _ = self.told('@c2sd-test.%d' % os.getpid())
        manager.wait('READY=1')

    def test_not_ready_while_a_worker_is_missing(self):
        manager = self.manager_of_services()
        daemon = self.service(environment={'NOTIFY_SOCKET': manager.address}, start=False)
        slow = os.path.join(daemon.folder, 'slow-worker')
        # A pipe that the test holds: the worker starts when something comes out of it.
        os.mkfifo(slow + '.go')
        os.chmod(slow + '.go', 0o644)
        with open(slow, 'w') as file:
            file.write('#!/bin/sh\nread line <%s.go\nexec %s "$@"\n' % (slow, program('worker/c2sd-worker')))
        os.chmod(slow, 0o755)
        configuration = daemon.configuration().replace(program('worker/c2sd-worker'), slow)
        daemon.configuration = lambda: configuration
        daemon.start(ready=False)
        manager.wait('STATUS=0 of 2 workers, 0 clients, link .*')
        self.assertNotIn('READY=1', manager.rest())
        with open(slow + '.go', 'w') as go:
            go.write('1\n2\n')
            go.flush()
            manager.wait('READY=1')

    def test_status(self):
        manager = self.manager_of_services()
        daemon = self.service(environment={'NOTIFY_SOCKET': manager.address}, users=('alice',), workers=3)
        manager.wait('STATUS=3 workers, 0 clients, link up')
        client = daemon.login('alice')
        manager.wait('STATUS=3 workers, 1 client, link up')
        other = daemon.login('alice', resource='other')
        manager.wait('STATUS=3 workers, 2 clients, link up')
        client.leave()
        other.leave()
        manager.wait('STATUS=3 workers, 0 clients, link up')

    def test_status_is_not_repeated(self):
        manager = self.manager_of_services()
        self.service(environment={'NOTIFY_SOCKET': manager.address, 'WATCHDOG_USEC': '1000000'})
        manager.wait('STATUS=2 workers, 0 clients, link up')
        for _ in range(5):
            manager.wait('WATCHDOG=1')
        told = [text for text in manager.heard if text.startswith('STATUS')]
        self.assertEqual(len(set(told)), len(told), told)

    def test_status_says_that_the_link_is_down(self):
        upstream = self.manager()
        manager = self.manager_of_services()
        daemon = self.service(environment={'NOTIFY_SOCKET': manager.address}, link=upstream.attributes(), start=False)
        daemon.start(ready=False)
        manager.wait('READY=1')
        manager.wait('STATUS=2 workers, 0 clients, link down')

    def test_watchdog(self):
        manager = self.manager_of_services()
        daemon = self.service(environment={'NOTIFY_SOCKET': manager.address, 'WATCHDOG_USEC': '400000'})
        for _ in range(5):
            manager.wait('WATCHDOG=1', 2)
        # A master that hangs says nothing, which is what the manager waits for.
        daemon.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, daemon.process.pid, os.WSTOPPED | os.WNOWAIT)
        manager.rest()
        self.assertFalse(select.select([manager.socket], [], [], 1)[0])
        daemon.process.send_signal(signal.SIGCONT)
        manager.wait('WATCHDOG=1')

    def test_watchdog_of_another_process(self):
        manager = self.manager_of_services()
        daemon = self.service(environment={'NOTIFY_SOCKET': manager.address, 'WATCHDOG_USEC': '100000',
                                           'WATCHDOG_PID': str(os.getpid())})
        manager.wait('STATUS=2 workers, 0 clients, link up')
        daemon.stop()
        self.assertNotIn('WATCHDOG=1', manager.rest())

    def reload(self, daemon, change=lambda text: text):
        """SIGHUP with another configuration; the clock of sd_notify(3) when it was sent, in microseconds."""
        path = daemon.write_configuration()
        with open(path) as file:
            text = change(file.read())
        with open(path, 'w') as file:
            file.write(text)
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        daemon.process.send_signal(signal.SIGHUP)
        return before

    def test_reload(self):
        """RELOADING with a time that is not before the signal, and READY once more."""
        manager = self.manager_of_services()
        daemon = self.service(environment={'NOTIFY_SOCKET': manager.address})
        manager.wait('READY=1')
        before = self.reload(daemon, lambda text: text.replace('count="2"', 'count="3"'))
        told = manager.wait('RELOADING=1\nMONOTONIC_USEC=[0-9]+')
        usec = int(told.rpartition('=')[2])
        self.assertLessEqual(before, usec)
        self.assertLessEqual(usec, time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
        manager.wait('READY=1')
        manager.wait('STATUS=3 workers, 0 clients, link up')

    def test_refused_reload(self):
        """The service is as ready as it was."""
        manager = self.manager_of_services()
        daemon = self.service(environment={'NOTIFY_SOCKET': manager.address})
        manager.wait('READY=1')
        self.reload(daemon, lambda text: text.replace('<listen', '<nonsense/><listen'))
        manager.wait('RELOADING=1\n.*')
        manager.wait('READY=1')
        daemon.client().open()

    def test_nobody_listens(self):
        daemon = self.service(environment={'NOTIFY_SOCKET': '/nonexistent/notify', 'WATCHDOG_USEC': '100000'})
        daemon.stop()

    def test_an_address_that_is_none(self):
        daemon = self.service(environment={'NOTIFY_SOCKET': 'nonsense'})
        daemon.log.wait('notify unusable socket="nonsense" error="Invalid argument"')

    @unittest.skipUnless(os.getuid() == 0, 'only root may look into processes that are not dumpable')
    def test_children_know_nothing_of_it(self):
        manager = self.manager_of_services()
        daemon = self.service(environment={'NOTIFY_SOCKET': manager.address, 'WATCHDOG_USEC': '100000'})
        for pid in daemon.children():
            with open('/proc/%d/environ' % pid, 'rb') as file:
                self.assertNotRegex(file.read(), b'NOTIFY|WATCHDOG|LISTEN', process_title(pid))


class Activation(ServiceCase):
    def bound(self, address='127.0.0.1', listen=True):
        sock = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)
        self.addCleanup(sock.close)
        sock.bind((address, 0))
        if listen:
            sock.listen(7)
        return sock

    def backlog(self, port):
        """The kernel's word for it: what ss(8) shows as Send-Q of a listener."""
        shown = subprocess.run(['ss', '-Hltn', 'sport = :%d' % port], capture_output=True, text=True, check=True).stdout
        return [int(line.split()[2]) for line in shown.splitlines()]

    def test_socket_of_a_listener_is_taken(self):
        sockets = [self.bound(), self.bound('::1')]
        daemon = self.service(sockets=sockets, start=False)
        daemon.listeners = [s.getsockname()[:2] for s in sockets]
        daemon.start()
        daemon.add_user('alice', 'secret')
        daemon.log.wait(r'listener 127\.0\.0\.1:%d open inherited=yes' % daemon.listeners[0][1])
        daemon.log.wait(r'listener \[::1\]:%d open inherited=yes' % daemon.listeners[1][1])
        for address in daemon.listeners:
            client = harness.RawClient(address)
            client.open().login('alice', resource='r%d' % address[1])
        self.assertEqual([1024], self.backlog(daemon.listeners[0][1]))

    def test_socket_without_a_listener_is_used_too(self):
        other = self.bound()
        daemon = self.service(sockets=[other])
        daemon.log.wait(r'listener 127\.0\.0\.1:%d open inherited=yes' % other.getsockname()[1])
        daemon.log.wait(r'listener 127\.0\.0\.1:%d open inherited=no' % daemon.port)
        for port in (other.getsockname()[1], daemon.port):
            harness.RawClient(('127.0.0.1', port)).open()

    def test_what_does_not_listen_is_refused(self):
        daemon = self.service(sockets=[self.bound(listen=False), self.bound()])
        daemon.log.wait('descriptor 3 refused error="not a TCP socket that listens"')
        daemon.log.wait('open inherited=yes')

    def test_who_comes_during_a_restart_waits(self):
        """The socket stays open in the manager: the connection is served by the next process."""
        held = self.bound()
        first = self.service(sockets=[held], users=('alice',))
        first.stop()
        waiting = harness.RawClient(held.getsockname())
        waiting.open(wait=False)
        self.service(sockets=[held])
        waiting.expect_header()

    def test_reloads_keep_them(self):
        """With a <listen/> or without; one that comes later is the same socket again."""
        held, other = self.bound(), self.bound()
        daemon = self.service(sockets=[held, other], start=False)
        own = daemon.listeners[0]
        daemon.listeners = [held.getsockname(), own]
        daemon.start()
        inode = os.stat('/proc/self/fd/%d' % held.fileno()).st_ino
        for listeners in ([own], [own, other.getsockname()], [held.getsockname(), own], [other.getsockname()], [own]):
            daemon.listeners = listeners
            daemon.write_configuration()
            mark = daemon.log.mark()
            daemon.process.send_signal(signal.SIGHUP)
            daemon.log.wait('reload done', since=mark)
            for sock in (held, other):
                harness.RawClient(sock.getsockname()).open()
        self.assertNotEqual([], [line for line in daemon.log.lines if re.search(r'listener \S+:%d closed' % own[1], line)])
        for sock in (held, other):
            port = sock.getsockname()[1]
            self.assertEqual([], [line for line in daemon.log.lines if re.search(r'listener \S+:%d closed' % port, line)])
        if os.getuid() == 0:
            found = [os.stat('/proc/%d/fd/%s' % (daemon.process.pid, fd)).st_ino
                     for fd in os.listdir('/proc/%d/fd' % daemon.process.pid)]
            self.assertEqual(1, found.count(inode))

    def test_end_does_not_shut_the_managers_socket(self):
        held = self.bound()
        self.service(sockets=[held]).stop()
        self.assertEqual(1, held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        socket.create_connection(held.getsockname(), harness.TIMEOUT).close()

    def test_workers_do_not_get_them(self):
        held = self.bound()
        daemon = self.service(sockets=[held])
        inode = os.stat('/proc/self/fd/%d' % held.fileno()).st_ino
        for pid in daemon.children():
            if os.getuid() == 0:
                inodes = [os.stat('/proc/%d/fd/%s' % (pid, fd)).st_ino for fd in os.listdir('/proc/%d/fd' % pid)]
                self.assertNotIn(inode, inodes, process_title(pid))


# What c2sd.service says about capabilities, for a user who is there.
UNIT_START = ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups', '--no-new-privs',
              '--inh-caps=-all,+net_bind_service', '--ambient-caps=-all,+net_bind_service',
              '--bounding-set=-all,+net_bind_service']
CAP_NET_BIND_SERVICE = 10


@unittest.skipUnless(os.getuid() == 0 and shutil.which('setpriv'), 'only root gives capabilities away, with setpriv')
class UnitStart(ServiceCase):
    """As systemd does it: another user than root, with one capability."""

    def low_port(self):
        for port in range(1023, 600, -1):
            with socket.socket() as sock:
                try:
                    sock.bind(('127.0.0.1', port))
                    return port
                except OSError:
                    pass
        self.skipTest('no port below 1024 is free')

    def start_as_unit(self):
        daemon = self.service(prefix=UNIT_START, start=False)
        daemon.listeners = [('127.0.0.1', self.low_port())]
        daemon.start()
        daemon.add_user('alice', 'secret')
        return daemon

    def test_binds_low_ports_without_root(self):
        daemon = self.start_as_unit()
        daemon.login('alice')
        status = process_status(daemon.process.pid)
        self.assertEqual({str(pwd.getpwnam('nobody').pw_uid)}, set(status['Uid'].split()))
        self.assertEqual(1 << CAP_NET_BIND_SERVICE, int(status['CapEff'], 16))
        self.assertEqual([], [line for line in daemon.log.lines if 'master unprivileged' in line])

    def test_binds_low_ports_at_a_reload(self):
        daemon = self.start_as_unit()
        daemon.listeners.append(('127.0.0.1', self.low_port()))
        daemon.write_configuration()
        daemon.process.send_signal(signal.SIGHUP)
        daemon.log.wait('reload done')
        harness.RawClient(daemon.listeners[1]).open()

    def test_children_have_no_capability(self):
        daemon = self.start_as_unit()
        for pid in daemon.children():
            status = process_status(pid)
            for line in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb'):
                self.assertEqual(0, int(status[line], 16), '%s of %s' % (line, process_title(pid)))

    def test_starts_in_the_background_too(self):
        daemon = self.service(prefix=UNIT_START, start=False)
        daemon.extra = '<pid file="%s/pid"/>' % daemon.folder
        path = daemon.write_configuration()
        result = subprocess.run(UNIT_START + [program('master/c2sd'), '-c', path], capture_output=True, text=True,
                                timeout=harness.TIMEOUT)
        self.assertEqual((0, ''), (result.returncode, result.stderr))
        with open(daemon.folder + '/pid') as file:
            pid = int(file.read())
        Guard.watch(daemon.folder, pid)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual([], wait_gone([pid]))


@unittest.skipUnless(os.getuid() == 0 and shutil.which('setpriv'), 'only root gives capabilities away, with setpriv')
class UnitStartAsRoot(ServiceCase):
    """As the drop-in does it that the unit's comment proposes."""

    def test_becomes_its_user(self):
        with open(program('etc/c2sd.service')) as file:
            text = file.read()
        bounding = re.search(r'^#\tCapabilityBoundingSet=(.*)$', text, re.M).group(1).split()
        bounding += re.search(r'^CapabilityBoundingSet=(.*)$', text, re.M).group(1).split()
        kept = ','.join('+' + name[len('CAP_'):].lower() for name in bounding)
        daemon = self.service(prefix=['setpriv', '--no-new-privs', '--bounding-set=-all,' + kept], start=False)
        daemon.start()
        daemon.add_user('alice', 'secret')
        daemon.login('alice')
        for pid in [daemon.process.pid] + daemon.children():
            self.assertEqual({str(pwd.getpwnam('nobody').pw_uid)}, set(process_status(pid)['Uid'].split()))
        self.assertEqual(1 << CAP_NET_BIND_SERVICE, int(process_status(daemon.process.pid)['CapEff'], 16))

    def test_says_that_it_cannot_become_its_user(self):
        for missing in ('setuid', 'setgid'):
            daemon = self.service(prefix=['setpriv', '--bounding-set=-' + missing, '--inh-caps=-' + missing], start=False)
            daemon.start(ready=False)
            self.assertEqual(1, daemon.process.wait(harness.TIMEOUT))
            daemon.log.wait('^c2sd: master: error: master still-privileged user=nobody error="Operation not permitted"$')


class Background(ServiceCase):
    """Started without -f: the process that was started returns."""

    def setUp(self):
        super().setUp()
        self.pids = []

    def service(self, extra='', **arguments):
        daemon = ServiceDaemon(**arguments)
        self.addCleanup(self.end, daemon)
        self.pid_path = os.path.join(daemon.folder, 'pid')
        daemon.extra = '<pid file="%s"/>' % self.pid_path + extra
        return daemon

    def end(self, daemon):
        for pid in [pid for pid in self.pids if process_status(pid)]:
            os.kill(pid, signal.SIGTERM)
            self.assertEqual([], wait_gone([pid]))
        daemon.cleanup()

    def begin(self, daemon, *arguments):
        """As an init script does it: the starter's exit status, and what it said."""
        path = daemon.write_configuration()
        result = subprocess.run([program('master/c2sd'), '-c', path] + list(arguments), stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=harness.TIMEOUT)
        if result.returncode == 0:
            self.pids.append(self.pid())
            Guard.watch(daemon.folder, self.pids[-1])
        return result

    def pid(self):
        with open(self.pid_path) as file:
            return int(file.read())

    def test_starter_returns_when_the_service_is_ready(self):
        daemon = self.service()
        result = self.begin(daemon)
        self.assertEqual((0, '', ''), (result.returncode, result.stdout, result.stderr))
        # Nothing is waited for any more: all workers are there, and serve.
        self.assertEqual(['ready', 'ready'], [worker['state'] for worker in daemon.status()['workers']])
        daemon.client().open()

    def test_it_has_left_its_starter(self):
        daemon = self.service()
        self.begin(daemon)
        pid = self.pid()
        self.assertEqual(pid, os.getsid(pid))
        self.assertNotEqual(os.getpid(), int(process_status(pid)['PPid']))
        if os.getuid() == 0:
            self.assertEqual('/', os.readlink('/proc/%d/cwd' % pid))
            for process in [pid] + harness.process_children(pid):
                for fd in (0, 1, 2):
                    self.assertEqual('/dev/null', os.readlink('/proc/%d/fd/%d' % (process, fd)))

    def test_errors_are_said_where_it_was_started(self):
        daemon = self.service()
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', 0))
            taken.listen()
            daemon.listeners = [taken.getsockname()]
            result = self.begin(daemon)
        self.assertEqual(1, result.returncode)
        self.assertRegex(result.stderr, r'listener 127\.0\.0\.1:\d+ unusable error="Address already in use"')
        self.assertFalse(os.path.exists(self.pid_path))

    def test_errors_after_the_drop_are_said_there_too(self):
        daemon = self.service(link={'name': 'foo-sockets', 'address': 'no.such.host.invalid:1', 'secret': 'x'})
        result = self.begin(daemon)
        self.assertEqual(1, result.returncode)
        self.assertRegex(result.stderr, r'link unusable address=no\.such\.host\.invalid:1')
        self.assertFalse(os.path.exists(self.pid_path))
        self.assertFalse(os.path.exists(daemon.socket_path))

    def test_errors_stand_in_the_log_as_well(self):
        daemon = self.service(extra='<log target="file" file="PATH"/>')
        path = os.path.join(daemon.folder, 'log.file')
        configuration = daemon.configuration().replace('PATH', path).replace('<log level="debug"/>', '')
        daemon.configuration = lambda: configuration
        with socket.socket() as taken:
            taken.bind(daemon.listeners[0])
            taken.listen()
            result = self.begin(daemon)
        self.assertEqual(1, result.returncode)
        self.assertIn('Address already in use', result.stderr)
        with open(path) as file:
            self.assertIn('Address already in use', file.read())
        # What is no error is for the log alone, and after the start everything.
        result = self.begin(daemon)
        self.assertEqual((0, ''), (result.returncode, result.stderr))
        with open(path) as file:
            self.assertRegex(file.read(), r'listener \S+ open')

    def test_log_to_standard_error_goes_there_for_ever(self):
        daemon = self.service(extra='<log target="stderr"/>')
        configuration = daemon.configuration().replace('<log level="debug"/>', '')
        daemon.configuration = lambda: configuration
        path = daemon.write_configuration()
        starter = subprocess.Popen([program('master/c2sd'), '-c', path], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        output = Output(starter.stderr)
        self.assertEqual(0, starter.wait(harness.TIMEOUT))
        pid = self.pid()
        self.pids.append(pid)
        Guard.watch(daemon.folder, pid)
        os.kill(pid, signal.SIGTERM)
        output.wait('shutdown begun signal=15')

    def test_errors_of_the_configuration(self):
        daemon = self.service(extra='<nonsense/>')
        result = self.begin(daemon)
        self.assertEqual(1, result.returncode)
        self.assertRegex(result.stderr, r'c2sd\.xml:\d+: .*nonsense')

    def test_second_service_is_refused(self):
        daemon = self.service()
        self.begin(daemon)
        first = self.pid()
        result = self.begin(daemon)
        self.assertEqual(1, result.returncode)
        self.assertIn('refused pid=%d error="c2sd is running already"' % first, result.stderr)
        self.assertEqual(first, self.pid())
        daemon.client().open()

    def test_stale_pid_file_is_taken_over(self):
        daemon = self.service()
        self.begin(daemon)
        killed = self.pids.pop()
        children = harness.process_children(killed)
        os.kill(killed, signal.SIGKILL)
        self.assertEqual([], wait_gone([killed] + children))
        self.assertEqual(killed, self.pid())
        result = self.begin(daemon)
        self.assertEqual((0, ''), (result.returncode, result.stderr))
        self.assertNotEqual(killed, self.pid())

    def test_pid_file_goes_with_the_service(self):
        daemon = self.service()
        self.begin(daemon)
        pid = self.pids.pop()
        self.assertEqual(0o644, os.stat(self.pid_path).st_mode & 0o7777)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual([], wait_gone([pid]))
        self.assertFalse(os.path.exists(self.pid_path))

    @unittest.skipUnless(os.getuid() == 0, 'only root can be led astray')
    def test_root_follows_no_link_of_the_user(self):
        daemon = self.service()
        victim = tempfile.NamedTemporaryFile(prefix='c2sd-test.')
        victim.write(b'precious')
        victim.flush()
        os.symlink(victim.name, self.pid_path)
        result = self.begin(daemon)
        self.assertEqual(1, result.returncode)
        self.assertIn('pidfile %s refused error="Permission denied"' % self.pid_path, result.stderr)
        victim.seek(0)
        self.assertEqual(b'precious', victim.read())

    @unittest.skipUnless(os.getuid() == 0 and shutil.which('setpriv'), 'only root has groups to lend')
    def test_root_lends_its_groups_to_nobody(self):
        daemon = self.service()
        victim = tempfile.NamedTemporaryFile(prefix='c2sd-test.')
        os.fchmod(victim.fileno(), 0o660)
        os.symlink(victim.name, os.path.join(daemon.folder, 'log.txt'))
        daemon.log_attributes = {'target': 'file', 'file': os.path.join(daemon.folder, 'log.txt')}
        result = subprocess.run(['setpriv', '--groups=0', program('master/c2sd'), '-c', daemon.write_configuration()],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=harness.TIMEOUT)
        if result.returncode == 0:
            self.pids.append(self.pid())
        self.assertEqual(1, result.returncode)
        self.assertIn('log unusable file="%s" error="Permission denied"' % daemon.log_attributes['file'], result.stderr)
        self.assertEqual(0, os.stat(victim.name).st_size)

    def test_in_the_foreground_there_is_no_pid_file(self):
        daemon = self.service()
        daemon.start()
        self.assertFalse(os.path.exists(self.pid_path))
        daemon.stop()

    def test_starter_that_goes_takes_the_service_with_it(self):
        """It was not ready, so nobody would know that it runs."""
        daemon = self.service()
        path = daemon.write_configuration()
        with open(path) as file:
            text = file.read()
        never = os.path.join(daemon.folder, 'never')
        with open(never, 'w') as file:
            file.write('#!/bin/sh\nexec sleep 60\n')
        os.chmod(never, 0o755)
        with open(path, 'w') as file:
            file.write(text.replace(program('worker/c2sd-worker'), never))
        starter = subprocess.Popen([program('master/c2sd'), '-c', path], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = harness.Deadline()
        while not (os.path.exists(daemon.socket_path) and os.path.exists(self.pid_path)) and deadline.left():
            time.sleep(0.02)
        self.assertIsNone(starter.poll())
        pid = self.pid()
        starter.kill()
        starter.wait()
        self.assertEqual([], wait_gone([pid]))


if __name__ == '__main__':
    harness.main()
