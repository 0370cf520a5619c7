"""The real daemon, clients made of sockets and a session manager that says what the test tells it to.

Nothing here sleeps to synchronise: everything waits on a socket, a pipe, a process or a condition, with a time limit
that is only ever reached when a test fails. Paths of the programs come from C2SD_BUILD (the build folder).
"""
import atexit
import ctypes
import json
import os
import pwd
import random
import re
import secrets
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from xml.sax.saxutils import escape, quoteattr

from xmlstream import STREAM_ERRORS, STREAMS, XmlStream

TLS = 'urn:ietf:params:xml:ns:xmpp-tls'
TIMEOUT = float(os.environ.get('C2SD_TEST_TIMEOUT', '20'))
SOURCE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get('C2SD_BUILD', os.path.join(SOURCE, '..', '..', 'build'))
PR_SET_PDEATHSIG = 1


def program(path):
    return os.path.join(os.path.abspath(BUILD), path)


def skip_file(why):
    """Leave the whole test program in the way that meson calls a skip."""
    print('skipped:', why)
    sys.exit(77)


def _exit_on_signal(number, _frame):
    sys.exit(128 + number)


# atexit runs only on an orderly exit; meson ends a test that takes too long with SIGTERM.
signal.signal(signal.SIGTERM, _exit_on_signal)


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# PR_SET_PDEATHSIG is lost when a process gives root up, so somebody outlives the test, whatever it dies of.
GUARD = """
import os, shutil, signal, sys
wanted = {}
for line in sys.stdin:
    folder, _, pid = line.strip().partition(' ')
    wanted[folder] = pid
for folder, pid in wanted.items():
    try:
        with open('/proc/%s/comm' % pid) as file:
            if file.read().strip() == 'c2sd':
                os.kill(int(pid), signal.SIGKILL)
    except (OSError, ValueError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
"""


class Guard:
    """Ends daemons and removes folders when this process is gone."""

    process = None

    @classmethod
    def watch(cls, folder, pid=''):
        if cls.process is None:
            cls.process = subprocess.Popen([sys.executable, '-c', GUARD], stdin=subprocess.PIPE, text=True,
                                           start_new_session=True)
        cls.process.stdin.write('%s %s\n' % (folder, pid))
        cls.process.stdin.flush()


class Deadline:
    """How much of the time limit is left."""

    def __init__(self, seconds=None):
        self.end = time.monotonic() + (TIMEOUT if seconds is None else seconds)

    def left(self):
        return max(0.0, self.end - time.monotonic())


# ---- processes ----

def process_status(pid):
    """/proc/PID/status as a dict, or None when the process is gone."""
    try:
        with open('/proc/%d/status' % pid) as file:
            return dict(line.rstrip('\n').split(':', 1) for line in file)
    except (FileNotFoundError, ProcessLookupError):
        return None


def process_children(pid):
    """Pids of the living children of a process, oldest first."""
    found = []
    for entry in os.listdir('/proc'):
        if not entry.isdigit():
            continue
        status = process_status(int(entry))
        if status and int(status['PPid']) == pid and not status['State'].strip().startswith('Z'):
            found.append(int(entry))
    return sorted(found)


def process_name(pid):
    """The name of the program file that runs (at most 15 characters), whatever the process calls itself."""
    try:
        with open('/proc/%d/comm' % pid) as file:
            return file.read().rstrip('\n')
    except FileNotFoundError:   # it has just ended
        return ''


def process_title(pid):
    with open('/proc/%d/cmdline' % pid, 'rb') as file:
        return file.read().replace(b'\0', b' ').decode().strip()


def wait_gone(pids, seconds=None):
    """Wait until all these processes have ended; returns those that have not."""
    deadline = Deadline(seconds)
    left = []
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except (ProcessLookupError, FileNotFoundError):     # the latter: its number is that of a thread now
            continue
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(deadline.left() * 1000):
            left.append(pid)
        os.close(fd)
    return left


class Output(threading.Thread):
    """Reads a pipe line by line, into memory and into a file, and lets tests wait for lines."""

    def __init__(self, pipe, path=None):
        super().__init__(daemon=True)
        self.lines = []
        self.ended = False
        self._taken = 0
        self._pipe = pipe
        self._file = open(path, 'ab', buffering=0) if path else None
        self._changed = threading.Condition()
        self.start()

    def run(self):
        for line in self._pipe:
            if self._file:
                self._file.write(line)
            with self._changed:
                self.lines.append(line.decode('utf-8', 'replace').rstrip('\n'))
                self._changed.notify_all()
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def mark(self):
        with self._changed:
            return len(self.lines)

    def wait(self, pattern, since=0, seconds=None, count=1):
        """Wait until `count` lines from number `since` on match; returns them."""
        def found():
            return [line for line in self.lines[since:] if re.search(pattern, line)]

        with self._changed:
            self._changed.wait_for(lambda: len(found()) >= count or self.ended, Deadline(seconds).left())
            lines = found()
        if len(lines) < count:
            raise AssertionError('no line like %r; there were:\n%s' % (pattern, '\n'.join(self.lines[since:][-40:])))
        return lines

    def next(self, pattern, seconds=None):
        """Wait for the next line that matches, behind the one that was returned last."""
        def search():
            for number in range(self._taken, len(self.lines)):
                if re.search(pattern, self.lines[number]):
                    return number
            return None

        with self._changed:
            self._changed.wait_for(lambda: search() is not None or self.ended, Deadline(seconds).left())
            number = search()
            if number is None:
                raise AssertionError('no line like %r; there were: %r' % (pattern, self.lines[self._taken:]))
            self._taken = number + 1
            return self.lines[number]


# ---- TLS ----

def make_certificate(folder, name, hosts, days=30, key='ec'):
    """A self-signed certificate for these hosts, its key behind it in the same file. Returns the path."""
    path = os.path.join(folder, name)
    kind = {'ec': ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], 'rsa': ['rsa:2048']}[key]
    made = subprocess.run(['openssl', 'req', '-x509', '-newkey', *kind, '-nodes', '-days', str(days), '-keyout', path + '.key',
                           '-out', path + '.crt', '-subj', '/CN=' + hosts[0], '-addext',
                           'subjectAltName=' + ','.join('DNS:' + host for host in hosts)], capture_output=True, text=True)
    if made.returncode != 0:
        raise AssertionError('openssl req: ' + made.stderr)
    with open(path, 'w') as file:
        os.chmod(path, 0o600)
        for part in ('.crt', '.key'):
            with open(path + part) as source:
                file.write(source.read())
            os.unlink(path + part)
    owner = os.stat(folder)
    if os.getuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)
    return path


def tls_context(authority=None, alpn=None, **options):
    """A client's. It trusts this certificate and no other; without one, anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF    # which Python sets: an end without close_notify would be one with it
    context.check_hostname = authority is not None
    context.verify_mode = ssl.CERT_REQUIRED if authority else ssl.CERT_NONE
    if authority:
        context.load_verify_locations(authority)
    if alpn:
        context.set_alpn_protocols(alpn)
    for name, value in options.items():
        setattr(context, name, value)
    return context


def is_sanitized(path):
    with open(path, 'rb') as file:
        return b'__asan_' in file.read()


# ---- the daemon ----

class Ports:
    """Ports that are free, and stay free for whom they were given to: no other test gets one, in this process or in one
    beside it, because each is kept by a name that only one socket of the machine can have; and none is of the range from
    which the kernel takes the ports of connections."""
    kept = []
    candidates = list(range(20000, 32000))
    random.shuffle(candidates)

    @classmethod
    def take(cls, address):
        while cls.candidates:
            port = cls.candidates.pop()
            if cls._keep(port) and cls._is_free(address, port):
                return port
        raise AssertionError('no port is free')

    @classmethod
    def _keep(cls, port):
        keeper = socket.socket(socket.AF_UNIX)
        try:
            keeper.bind('\0c2sd-test-port-%d' % port)
        except OSError:
            keeper.close()
            return False
        cls.kept.append(keeper)
        return True

    @staticmethod
    def _is_free(address, port):
        with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET) as s:
            try:
                s.bind((address, port))
            except OSError:
                return False
        return True


def free_port(address='127.0.0.1'):
    return Ports.take(address)


# Tests come from one address, thousands of times: what would keep them out is off where a test does not ask for it.
OPEN = {name.replace('-', '_'): 'unlimited' for name in ('connections', 'address-connections', 'network-connections',
                                       'address-connections-per-second', 'connections-per-second', 'login-failures',
                                       'rate-bytes')}
OPEN['login_pause_seconds'] = 'none'

# Whose session is gone is told at once, and not somewhere in a time.
TOGETHER = {'spread': 0}


class Daemon:
    """c2sd in the foreground in a folder of its own.

    link: None for the embedded session manager, else a dict of attributes for <link type="connect">.
    embedded: dict of attributes for <link type="embedded">, beside its name. Beside both: TOGETHER.
    limits: dict of attributes for <limits>, beside OPEN. extra: more XML. arguments: more command line.
    tls: of all listeners, or a list of one for each. Where any is not 'none' there is a certificate for each tuple of
    names in `certificates`. tls_options: dict of attributes for <tls>. sessiond_options: likewise for <sessiond>.
    """

    def __init__(self, hosts=('localhost',), workers=2, link=None, limits=None, registration=True,
                 listen=('127.0.0.1',), log='debug', user=None, extra='', arguments=(), environment=None,
                 tls='none', certificates=(('localhost',),), tls_options=None, embedded=None,
                 sessiond_options=None):
        self.folder = tempfile.mkdtemp(prefix='c2sd-test.')
        Guard.watch(self.folder)
        self.hosts = hosts
        self.workers = workers
        self.link = link
        self.embedded = embedded or {}
        self.sessiond_options = sessiond_options or {}
        self.limits = dict(OPEN, **{name.replace('-', '_'): value for name, value in (limits or {}).items()})
        self.registration = registration
        self.log_level = log
        self.extra = extra
        self.arguments = list(arguments)
        self.environment = environment
        self.log_attributes = {}
        self.prefix = []    # a command that executes the daemon
        self.worker_program = program('worker/c2sd-worker')
        self.sessiond_program = program('sessiond/c2sd-sessiond')
        self.user = user or (('nobody', 'nogroup') if os.getuid() == 0 else None)
        self.listeners = [(address, free_port(address)) for address in listen]
        self.tls = tls
        self.tls_options = tls_options
        self.certificates = []
        self.port = self.listeners[0][1]
        self.socket_path = os.path.join(self.folder, 'control')
        self.database = os.path.join(self.folder, 'accounts.db')
        self.process = None
        self.log = None
        self.may_lose_workers = False
        self.may_drop = False       # packets that can be neither delivered nor sent back
        self.may_not_answer = False     # on its control socket, at the end
        self.clock_jumps = False    # a question that was open in a jump is an old one behind it
        self._known = set()
        atexit.register(self.cleanup)
        if self.user:
            entry = pwd.getpwnam(self.user[0])
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        if tls != 'none':
            self.certificates = [make_certificate(self.folder, 'certificate%d.pem' % number, names)
                                 for number, names in enumerate(certificates)]

    def configuration(self):
        def element(name, /, **attributes):
            text = ''.join(' %s=%s' % (key.replace('_', '-'), quoteattr(str(value)))
                           for key, value in attributes.items() if value is not None)
            return '  <%s%s/>\n' % (name, text)

        text = '<c2sd>\n'
        kinds = [self.tls] * len(self.listeners) if isinstance(self.tls, str) else self.tls
        for (address, port), tls in zip(self.listeners, kinds):
            text += element('listen', address=address, port=port, tls=tls)
        for path in self.certificates:
            text += element('certificate', chain=path)
        if self.tls_options:
            text += element('tls', **self.tls_options)
        for host in self.hosts:
            text += '  <host>%s</host>\n' % escape(host)
        if self.user:
            text += element('user', name=self.user[0], group=self.user[1])
        text += element('workers', count=self.workers, program=self.worker_program)
        if self.link is None:
            text += element('link', **dict(TOGETHER, name='c2s.localhost', type='embedded', **self.embedded))
            text += element('sessiond', program=self.sessiond_program, database=self.database,
                            registration='yes' if self.registration else 'no', **self.sessiond_options)
        else:
            text += element('link', **dict(TOGETHER, type='connect', **self.link))
        text += element('control', socket=self.socket_path)
        if '<pid' not in self.extra:
            text += element('pid', file=os.path.join(self.folder, 'c2sd.pid'))
        # Both ways of writing a name; what the test says is behind OPEN, and counts.
        text += element('limits', **{key.replace('_', '-'): value for key, value in self.limits.items()})
        text += element('log', level=self.log_level, **self.log_attributes)
        return text + self.extra + '</c2sd>\n'

    def start(self, ready=True):
        path = os.path.join(self.folder, 'c2sd.xml')
        with open(path, 'w') as file:
            file.write(self.configuration())
        os.chmod(path, 0o644)
        self.process = subprocess.Popen(self.prefix + [program('master/c2sd'), '-f', '-c', path] + self.arguments,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        preexec_fn=_die_with_parent, env=self.environment)
        Guard.watch(self.folder, self.process.pid)
        self.log = Output(self.process.stderr, os.path.join(self.folder, 'log'))
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self):
        """Until the link is up and the workers are there."""
        deadline = Deadline()
        while self.ctl('wait', '10', check=False).returncode != 0:
            if wait_gone([self.process.pid], 0.05) == [] or deadline.left() == 0:
                raise AssertionError('the daemon did not become ready:\n' + '\n'.join(self.log.lines[-40:]))

    def ctl(self, *arguments, input=None, check=True):
        result = subprocess.run([program('ctl/c2sctl'), '-s', self.socket_path] + list(arguments), input=input or '',
                                capture_output=True, text=True, timeout=TIMEOUT + 10)
        if check and result.returncode != 0:
            raise AssertionError('c2sctl %s: exit status %d: %s%s' % (' '.join(arguments), result.returncode,
                                                                      result.stdout, result.stderr))
        return result

    def status(self):
        return json.loads(self.ctl('status', '--json').stdout)

    def wait_settled(self):
        """Until it is known of every packet what has become of it: that takes up to twice `settle-seconds`."""
        deadline = Deadline()
        while (packets := self.status()['packets'])['held'] > 0:
            if deadline.left() == 0:
                raise AssertionError('packets are held: %r' % packets)
            time.sleep(0.05)

    def add_user(self, name, password, host=None):
        self.ctl('user', 'add', '%s@%s' % (name, host or self.hosts[0]), input=password + '\n')

    def client(self, **arguments):
        return RawClient(self.listeners[0], **arguments)

    def login(self, user, password='secret', resource='home', **arguments):
        client = self.client(**arguments)
        client.open(to=self.hosts[0])
        client.login(user, password, resource)
        return client

    def children(self, name=None):
        """Pids of the daemon's helpers, or those of one program (`c2sd-worker`, `c2sd-sessiond`)."""
        pids = process_children(self.process.pid)
        self._known.update(pids)
        return [pid for pid in pids if name is None or process_name(pid) == name]

    def _known_still(self):
        """All that ever were its children and may be: by now a number may be somebody else's."""
        return {pid for pid in self._known if process_name(pid).startswith('c2sd')}

    def worker_pids(self):
        return self.children('c2sd-worker')

    def check_balance(self):
        """Nothing has vanished, whatever the test has done: c2sctl adds it up. Nor was anything thrown away."""
        if self.may_not_answer or not os.path.exists(self.socket_path):
            return
        result = self.ctl('status', '--json', check=False)
        if result.returncode == 3 and self._ends():     # what it has counted to its end stands in the log (check_health)
            return
        if result.returncode == 0:
            packets = json.loads(result.stdout)['packets']
        if result.returncode != 0 or (packets['dropped'] > 0 and not self.may_drop):
            raise AssertionError('c2sctl status: exit status %d: %s\n%s' % (result.returncode, result.stderr, result.stdout))

    def _ends(self):
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, status=0):
        """SIGTERM; it must end in time, with that exit status, and leave nobody behind."""
        self.check_balance()
        children = set(self.children()) | self._known_still()
        self.process.send_signal(signal.SIGTERM)
        try:
            found = self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            raise AssertionError('the daemon does not end:\n' + '\n'.join(self.log.lines[-40:])) from None
        left = wait_gone(children)
        if found != status or left:
            raise AssertionError('exit status %r, children left %r:\n%s' %
                                 (found, left, '\n'.join(self.log.lines[-40:])))

    def cleanup(self):
        """Whatever happened: no process, no file; and nothing has vanished."""
        try:
            if self.process and self.process.poll() is None:
                self.check_balance()
        finally:
            self._remove()
        self.check_health()

    def _remove(self):
        if self.process and self.process.poll() is None:
            self._known.update(process_children(self.process.pid))
            self.process.kill()
            self.process.wait()
        for pid in wait_gone(self._known_still(), 5):
            os.kill(pid, signal.SIGKILL)
        self._known.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.cleanup)

    def check_health(self):
        """What no test may pass by: sanitizer reports, breaches of the contract, workers that died by themselves."""
        if self.log is None:
            return
        self.log.join(TIMEOUT)
        bad = r'Sanitizer|runtime error:|broke-contract|(packets|link) unbalanced'
        if not self.clock_jumps:
            bad += '|unresponsive'
        if not self.may_lose_workers:
            bad += r'|worker \d+ (gone|died)'
        found = [number for number, line in enumerate(self.log.lines) if re.search(bad, line)]
        if found:
            raise AssertionError('the log of the daemon:\n' + '\n'.join(self.log.lines[found[0]:found[0] + 60]))


# ---- sockets that carry streams ----

class Peer:
    """One end of a connection that carries an XML stream; elements wait in `pending` until a test expects them."""

    def __init__(self, sock):
        self.socket = sock
        self.stream = XmlStream()
        self.received = bytearray()
        self.pending = []
        self.ended = False
        self.truncated = False  # ended by a reset, or below TLS only: without a close_notify
        sock.setblocking(False)

    def send(self, data):
        """Everything, or an exception when the other side does not take it in time."""
        data = data.encode() if isinstance(data, str) else data
        deadline = Deadline()
        while data:
            if not select.select([], [self.socket], [], deadline.left())[1]:
                raise AssertionError('the peer does not read')
            try:
                data = data[self.socket.send(data):]
            except ssl.SSLWantWriteError:
                pass

    def secure(self, context=None, name='localhost', session=None):
        """A TLS handshake; a new stream begins behind it."""
        self.socket.settimeout(TIMEOUT)
        self.socket = (context or tls_context()).wrap_socket(self.socket, server_hostname=name, session=session,
                                                                suppress_ragged_eofs=False)
        self.socket.setblocking(False)
        self.stream = XmlStream()
        self.pending = []
        return self

    def _read(self, deadline):
        """Read once; False when there is nothing more to come."""
        waits = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0
        if self.ended or not (waits or select.select([self.socket], [], [], deadline.left())[0]):
            return False
        try:
            data = self.socket.recv(65536)
        except ssl.SSLWantReadError:
            return True
        except (ConnectionResetError, ssl.SSLError) as error:
            if not isinstance(error, (ConnectionResetError, ssl.SSLEOFError)) and \
                    error.reason != 'UNEXPECTED_EOF_WHILE_READING':
                raise
            data = b''
            self.truncated = True
        if not data:
            self.ended = True
            return False
        self.received += data
        self.pending += self.stream.feed(data)
        return True

    def expect(self, wanted=None, seconds=None):
        """Take the first element that matches: a name, a predicate, or None for any. Others stay for later."""
        def matches(element):
            return wanted is None or (element.name == wanted if isinstance(wanted, str) else wanted(element))

        deadline = Deadline(seconds)
        while True:
            for element in self.pending:
                if matches(element):
                    self.pending.remove(element)
                    return element
            if not self._read(deadline):
                raise AssertionError('expected %s; %s; pending %r; the end of what came: %r' % (
                    wanted, 'the connection has ended' if self.ended else 'nothing more came', self.pending,
                    bytes(self.received[-600:])))

    def expect_header(self, seconds=None):
        deadline = Deadline(seconds)
        while self.stream.header is None:
            if not self._read(deadline):
                raise AssertionError('no stream header; what came: %r' % bytes(self.received))
        return self.stream.header

    def expect_close(self, seconds=None):
        """The other side ends the connection."""
        deadline = Deadline(seconds)
        while self._read(deadline):
            pass
        if not self.ended:
            raise AssertionError('still open; the end of what came: %r' % bytes(self.received[-600:]))

    def close(self):
        self.socket.close()
        self.ended = True

    def reset(self):
        """Close with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        self.close()


class RawClient(Peer):
    """An XMPP client in which nothing happens by itself."""

    count = 0

    def __init__(self, address, receive_buffer=None, source=None):
        sock = socket.socket(socket.AF_INET6 if ':' in address[0] else socket.AF_INET)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            sock.bind((source, 0))
        sock.settimeout(TIMEOUT)
        sock.connect(address)
        super().__init__(sock)
        self.features = None

    def open(self, to='localhost', version='1.0', xmlns='jabber:client', extra='', wait=True):
        """Send a stream header and wait for the answer: the header and, for 1.0, the features."""
        self.send("<?xml version='1.0'?><stream:stream xmlns='%s' xmlns:stream='%s'%s%s%s>" % (
            xmlns, STREAMS, " to='%s'" % to if to is not None else '',
            " version='%s'" % version if version else '', ' ' + extra if extra else ''))
        if wait:
            self.expect_header()
            if version:
                self.features = self.expect(lambda e: e.name == 'features' and e.namespace == STREAMS)
        return self

    def starttls(self, context=None, name='localhost', to='localhost', session=None):
        """STARTTLS in an open stream, and another stream in that."""
        self.send("<starttls xmlns='%s'/>" % TLS)
        self.expect(lambda e: e.name == 'proceed' and e.namespace == TLS)
        return self.secure(context, name, session).open(to)

    def iq(self, kind, payload, to=None, seconds=None):
        """Send an iq and return its answer, whatever it is."""
        RawClient.count += 1
        identity = 'q%d' % RawClient.count
        self.send("<iq type='%s' id='%s'%s>%s</iq>" % (kind, identity, " to='%s'" % to if to else '', payload))
        return self.expect(lambda e: e.name == 'iq' and e.get('id') == identity, seconds)

    def try_login(self, user, password, resource):
        return self.iq('set', "<query xmlns='jabber:iq:auth'><username>%s</username><password>%s</password>"
                       "<resource>%s</resource></query>" % (escape(user), escape(password), escape(resource)))

    def login(self, user, password='secret', resource='home'):
        answer = self.try_login(user, password, resource)
        if answer.get('type') != 'result':
            raise AssertionError('no login: %r' % answer)
        return self

    def register(self, user, password):
        return self.iq('set', "<query xmlns='jabber:iq:register'><username>%s</username><password>%s</password>"
                       "</query>" % (escape(user), escape(password)))

    def available(self, seconds=None):
        """Initial presence, until the session manager has sent our own back."""
        self.send('<presence/>')
        self.expect(lambda e: e.name == 'presence' and e.get('type') is None, seconds)
        return self

    def message(self, to, body, kind='chat'):
        self.send("<message to=%s type='%s'><body>%s</body></message>" % (quoteattr(to), kind, escape(body)))

    def expect_message(self, body, seconds=None):
        return self.expect(lambda e: e.name == 'message' and e.child_text('body') == body, seconds)

    def expect_presence(self, kind=None, sender=None, seconds=None):
        return self.expect(lambda e: e.name == 'presence' and e.get('type') == kind and
                           (sender is None or e.get('from') == sender or
                            (e.get('from') or '').startswith(sender + '/')), seconds)

    def settle(self):
        """A round trip to the session manager: whatever was on its way to us has come. Returns it, and forgets it."""
        self.iq('get', "<query xmlns='jabber:iq:roster'/>")
        pending, self.pending = self.pending, []
        return pending

    def expect_stream_error(self, condition, seconds=None):
        """The stream error, the end of the stream and the end of the connection, in this order."""
        error = self.expect(lambda e: e.name == 'error' and e.namespace == STREAMS, seconds)
        if error.child(condition, STREAM_ERRORS) is None:
            raise AssertionError('expected <%s/>: %r' % (condition, error))
        self.expect_end(seconds)
        return error

    def expect_end(self, seconds=None):
        """</stream:stream> and the end of the connection."""
        self.expect_close(seconds)
        if not self.stream.closed:
            raise AssertionError('no </stream:stream>: %r' % bytes(self.received[-300:]))

    def leave(self):
        """Say goodbye and wait for the answer."""
        self.send('</stream:stream>')
        self.expect_end()
        self.close()


def chat(one, other, one_address, other_address):
    """A message each way, each with a text that was never used before."""
    for source, target, address in ((one, other, other_address), (other, one, one_address)):
        text = 'chat ' + secrets.token_hex(4)
        source.message(address, text)
        target.expect_message(text)


# ---- tests ----

class DaemonCase(unittest.TestCase):
    """Test cases that start daemons and session managers and need not think of ending them."""

    def start(self, users=(), **arguments):
        daemon = Daemon(**arguments)
        self.addCleanup(daemon.cleanup)
        daemon.start()
        for user in users:
            daemon.add_user(user, 'secret')
        return daemon

    def manager(self, dialect='sfrom', **arguments):
        """A session manager that does what it is told (scripted.py)."""
        import scripted     # which is made of what is here
        manager = scripted.manager(dialect, **arguments)
        self.addCleanup(manager.close)
        return manager

    def server(self, dialect, **arguments):
        """One that real clients can live on (servers.py)."""
        import servers
        server = servers.server(dialect, **arguments)
        self.addCleanup(server.close)
        return server

    def start_with(self, manager, link=None, **arguments):
        """A daemon on the link of that session manager, up and ready."""
        daemon = Daemon(link=manager.attributes(**(link or {})), **arguments)
        self.addCleanup(daemon.cleanup)
        manager.listen()
        daemon.start(ready=False)
        manager.up()
        daemon.wait_ready()
        return daemon


class LineResult(unittest.TextTestResult):
    """One line a test: ok, not ok, skipped."""

    def _line(self, word, test, why=''):
        self.stream.writeln('%s %s%s' % (word, test.id().partition('.')[2], why))
        self.stream.flush()

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self._line('ok', test)

    def addError(self, test, err):
        unittest.TestResult.addError(self, test, err)
        self._line('not ok', test, ' (error)')

    def addFailure(self, test, err):
        unittest.TestResult.addFailure(self, test, err)
        self._line('not ok', test)

    def addSkip(self, test, reason):
        unittest.TestResult.addSkip(self, test, reason)
        self._line('ok', test, ' # skip ' + reason)

    def addSubTest(self, test, subtest, err):
        unittest.TestResult.addSubTest(self, test, subtest, err)
        if err:
            self._line('not ok', subtest)


def main():
    unittest.main(testRunner=unittest.TextTestRunner(stream=sys.stdout, resultclass=LineResult, verbosity=0))
