#!/usr/bin/python3
"""Certificates and ticket keys in the running service: renewed under connected clients, each bad file named while the old
one stays, sessions resumed at any worker, and keys where they are needed only."""
import base64
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
from xml.sax.saxutils import quoteattr

import harness
from harness import Daemon, DaemonCase, program


def openssl(*arguments):
    result = subprocess.run(('openssl',) + arguments, capture_output=True, text=True)
    if result.returncode != 0:
        raise AssertionError('openssl %s: %s' % (' '.join(arguments), result.stderr))
    return result.stdout


class CertificateCase(DaemonCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='c2sd-certificates.')
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        os.chmod(self.folder, 0o755)

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self, name, days=100, host='localhost', kind=('EC', 'ec_paramgen_curve:P-256')):
        """NAME.pem and NAME.key, as an operator should have them: readable for the service's group."""
        openssl('req', '-x509', '-newkey', kind[0], '-pkeyopt', kind[1], '-nodes', '-keyout', self.path(name + '.key'), '-out',
                self.path(name + '.pem'), '-days', str(days), '-subj', '/CN=' + name, '-addext', 'subjectAltName=DNS:' + host)
        self.protect(name + '.key')
        return self

    def protect(self, name, mode=0o640, group='nogroup'):
        os.chmod(self.path(name), mode)
        if os.getuid() == 0:
            shutil.chown(self.path(name), 'root', group)

    def put(self, source, target):
        """As those who renew certificates do it."""
        for end in ('.pem', '.key'):
            shutil.copy2(self.path(source + end), self.path('new'))
            if os.getuid() == 0:
                shutil.chown(self.path('new'), 'root', 'nogroup')
            os.rename(self.path('new'), self.path(target + end))

    def element(self, name, key=True):
        return '  <certificate chain=%s%s/>\n' % (
            quoteattr(self.path(name + '.pem')), ' key=' + quoteattr(self.path(name + '.key')) if key else '')

    def begin(self, *names, **arguments):
        extra = ''.join(self.element(name) for name in names) + arguments.pop('extra', '')
        return self.start(tls='direct', certificates=(), extra=extra, log='info', **arguments)

    def der(self, name):
        return ssl.PEM_cert_to_DER_cert(open(self.path(name + '.pem')).read())

    def connect(self, daemon, session=None, context=None, version=ssl.TLSVersion.TLSv1_3):
        if context is None:
            context = self.context(version)
        sock = socket.create_connection(('127.0.0.1', daemon.port), harness.TIMEOUT)
        self.addCleanup(sock.close)
        sock = context.wrap_socket(sock, server_hostname='localhost', session=session)
        self.addCleanup(sock.close)
        return sock

    def context(self, version):
        return harness.tls_context(minimum_version=version, maximum_version=version)

    def shown(self, daemon):
        """The certificate that somebody who connects now is shown."""
        return self.connect(daemon).getpeercert(binary_form=True)

    def talk(self, sock):
        """It is served."""
        sock.sendall(b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='localhost' version='1.0' "
                     b"xmlns:stream='http://etherx.jabber.org/streams'>")
        self.hear(sock, b'</stream:features>')
        return sock

    def ask(self, sock):
        """It still is."""
        sock.sendall(b"<iq type='get' id='x'><query xmlns='jabber:iq:auth'><username>u</username></query></iq>")
        self.hear(sock, b'</iq>')

    def hear(self, sock, wanted):
        text = b''
        while wanted not in text:
            piece = sock.recv(65536)
            self.assertTrue(piece, text)
            text += piece

    def reload(self, daemon):
        """The lines of the log about it, up to its end: the session manager's own may come behind that."""
        since = daemon.log.mark()
        daemon.process.send_signal(signal.SIGHUP)
        end = daemon.log.wait(r' reload (done|refused)', since)[0]
        lines = daemon.log.lines[since:]
        return lines[:lines.index(end) + 1]

    def kept(self, daemon, path, reason):
        """A reload that could not use this file, and has done all else."""
        lines = self.reload(daemon)
        self.assertTrue(any(' reload done' in line for line in lines), lines)
        said = [line for line in lines if ' certificate kept ' in line]
        self.assertEqual(1, len(said), lines)
        self.assertRegex(said[0], r'error="\S+c2sd\.xml:\d+: certificate (chain|key) %s: %s; ' % (re.escape(path), reason))
        return said[0]


class Reload(CertificateCase):
    def test_renewed_under_connected_clients(self):
        self.make('a').make('b')
        daemon = self.begin('a')
        clients = [self.talk(self.connect(daemon)) for _ in range(4)]
        self.assertEqual(self.der('a'), self.shown(daemon))
        old = self.der('a')
        # Nothing has changed, and nothing is said.
        lines = self.reload(daemon)
        self.assertFalse([line for line in lines if ' certificate ' in line], lines)
        self.assertEqual(old, self.shown(daemon))
        self.put('b', 'a')
        lines = self.reload(daemon)
        self.assertTrue([line for line in lines if ' certificate loaded ' in line and 'a.pem' in line], lines)
        for _ in range(4):
            self.assertEqual(self.der('b'), self.shown(daemon))
        for client in clients:
            self.ask(client)
        daemon.stop()

    def test_bad_files_leave_the_old_one(self):
        self.make('a').make('other')
        shutil.copy2(self.path('a.pem'), self.path('good.pem'))
        shutil.copy2(self.path('a.key'), self.path('good.key'))
        daemon = self.begin('a')
        client = self.talk(self.connect(daemon))
        old = self.der('a')
        pem, key = self.path('a.pem'), self.path('a.key')

        def damage(path, text):
            with open(path, 'w') as file:
                file.write(text)

        openssl('pkcs8', '-topk8', '-in', key, '-out', self.path('encrypted.key'), '-passout', 'pass:x')
        self.protect('encrypted.key')
        bad = [(lambda: os.unlink(pem), pem, 'No such file or directory'),
               (lambda: os.unlink(key), key, 'No such file or directory'),
               (lambda: damage(pem, ''), pem, 'empty'),
               (lambda: damage(pem, 'x\n'), pem, 'no certificate in it'),
               (lambda: damage(key, 'x\n'), key, 'no key in it'),
               (lambda: damage(key, '-----BEGIN PRIVATE KEY-----\nx'), key, 'the key in it has no end, or is damaged'),
               (lambda: shutil.copy(self.path('other.key'), key), key, 'the key in it does not match the certificate'),
               (lambda: shutil.copy(self.path('other.pem'), pem), key, 'the key in it does not match the certificate'),
               (lambda: shutil.copy(self.path('encrypted.key'), key), key, 'the key in it is encrypted: .*'),
               (lambda: os.rename(pem, self.path('moved')) or os.mkdir(pem), pem, 'not a file')]
        for spoil, path, reason in bad:
            spoil()
            self.kept(daemon, path, reason)
            self.assertEqual(old, self.shown(daemon))
            shown = daemon.status()['certificates'][0]
            self.assertRegex(shown['kept'], r'%s: %s' % (re.escape(path), reason))
            self.assertIn('not renewed', daemon.ctl('status').stdout)
            if os.path.isdir(pem):
                os.rmdir(pem)
            for end in ('.pem', '.key'):
                shutil.copy2(self.path('good' + end), self.path('a' + end))
            self.protect('a.key')
        lines = self.reload(daemon)
        self.assertFalse([line for line in lines if ' certificate ' in line], lines)
        self.assertIsNone(daemon.status()['certificates'][0]['kept'])
        self.ask(client)
        daemon.stop()

    def test_what_only_root_can_read(self):
        if os.getuid() != 0:
            self.skipTest('not root')
        self.make('a').make('b')
        self.protect('a.key', 0o600)
        daemon = self.begin('a')
        old = self.der('a')
        self.put('b', 'a')
        self.protect('a.key', 0o600)
        self.kept(daemon, self.path('a.key'), 'Permission denied')
        self.assertEqual(old, self.shown(daemon))
        self.protect('a.key', 0o640)
        self.reload(daemon)
        self.assertEqual(self.der('b'), self.shown(daemon))
        daemon.stop()

    def test_one_that_is_new_must_be_right(self):
        self.make('a').make('b')
        daemon = self.begin('a')
        path = os.path.join(daemon.folder, 'c2sd.xml')
        old = open(path).read()
        os.unlink(self.path('b.key'))
        with open(path, 'w') as file:
            file.write(old.replace('</c2sd>', self.element('b') + '</c2sd>'))
        lines = self.reload(daemon)
        self.assertIn(' reload refused', lines[-1])
        self.assertTrue([line for line in lines if 'b.key: No such file or directory' in line], lines)
        self.assertEqual(1, len(daemon.status()['certificates']))
        self.make('b', host='other.example')
        lines = self.reload(daemon)
        self.assertIn(' reload done', lines[-1])
        self.assertEqual([['localhost'], ['other.example']], [c['names'] for c in daemon.status()['certificates']])
        self.assertEqual(self.der('a'), self.shown(daemon))
        daemon.stop()

    def test_workers_that_are_started_later(self):
        self.make('a').make('b')
        daemon = self.begin('a', workers=1)
        self.put('b', 'a')
        self.reload(daemon)
        daemon.may_lose_workers = True
        since = daemon.log.mark()
        os.kill(daemon.worker_pids()[0], signal.SIGKILL)
        daemon.log.wait(r'worker 0 started', since)
        daemon.wait_ready()
        self.assertEqual(self.der('b'), self.shown(daemon))
        daemon.stop()


class Check(CertificateCase):
    """c2sd -t, and the start."""

    def check(self, daemon):
        path = os.path.join(self.folder, 'c2sd.xml')
        with open(path, 'w') as file:
            file.write(daemon.configuration())
        result = subprocess.run([program('master/c2sd'), '-t', '-c', path], capture_output=True, text=True)
        for line in result.stderr.splitlines():
            self.assertRegex(line, '^%s:[1-9][0-9]*: ' % re.escape(path))
        return result.returncode, result.stderr

    def daemon(self, extra, **arguments):
        daemon = Daemon(extra=extra, tls='direct', certificates=(), **arguments)
        self.addCleanup(daemon.cleanup)
        return daemon

    def test_right(self):
        self.make('a')
        self.assertEqual((0, ''), self.check(self.daemon(self.element('a'))))

    def test_wrong(self):
        self.make('a').make('b')
        shutil.copy(self.path('b.key'), self.path('a.key'))
        status, said = self.check(self.daemon(self.element('a') + self.element('none') + self.element('b', key=False)))
        self.assertEqual(1, status)
        self.assertIn('a.key: the key in it does not match the certificate', said)
        self.assertIn('none.pem: No such file or directory', said)
        self.assertIn('b.pem: no key in it', said)
        self.assertEqual(3, len(said.splitlines()))

    def test_doubtful(self):
        self.make('a', days=3)
        self.protect('a.key', 0o644)
        status, said = self.check(self.daemon(self.element('a'), hosts=('localhost', 'other.example')))
        self.assertEqual(0, status)
        self.assertIn('a.pem: the certificate in it expires soon', said)
        self.assertIn('a.pem: everybody on this machine can read its key', said)
        self.assertIn('host other.example: no certificate is for it', said)

    def test_names(self):
        self.make('a')
        status, said = self.check(self.daemon(self.element('a') + "<tls ciphers='AES128-SHA' ciphersuites='TLS_NULL' "
                                              "groups='P-256:nonsense'/>"))
        self.assertEqual(1, status)
        for text in ('tls ciphers: AES128-SHA: ', 'tls ciphersuites: TLS_NULL: ', 'tls groups: nonsense: '):
            self.assertIn(text, said)

    def test_none_where_one_is_needed(self):
        daemon = self.daemon('')
        status, said = self.check(daemon)
        self.assertEqual(1, status)
        self.assertRegex(said, r'c2sd\.xml:2: listen tls: there is no <certificate/>: make one \(c2sctl cert\)')
        daemon.tls = 'none'
        self.assertEqual((0, ''), self.check(daemon))

    def test_the_start_is_refused(self):
        self.make('a')
        os.unlink(self.path('a.key'))
        daemon = self.daemon(self.element('a'))
        daemon.start(ready=False)
        self.assertEqual(1, daemon.process.wait(harness.TIMEOUT))
        daemon.log.join(harness.TIMEOUT)
        self.assertTrue([line for line in daemon.log.lines if 'a.key: No such file or directory' in line], daemon.log.lines)


class Clock(CertificateCase):
    """Hours and days go by at once."""

    def begin(self, *names, **arguments):
        self.clock = self.path('clock')
        with open(self.clock, 'wb') as file:
            file.write(bytes(8))
        os.chmod(self.clock, 0o644)
        environment = dict(os.environ, C2SD_CLOCK=self.clock, C2SD_CLOCK_ALL='1',
                           LD_PRELOAD=program('tests/system/libclock_shim.so'), ASAN_OPTIONS='verify_asan_link_order=0')
        daemon = super().begin(*names, environment=environment, **arguments)
        daemon.clock_jumps = daemon.may_lose_workers = True
        return daemon

    def jump(self, hours):
        with open(self.clock, 'r+b') as file:
            now = struct.unpack('q', file.read(8))[0]
            file.seek(0)
            file.write(struct.pack('q', now + hours * 3600))

    def test_expiry_is_said_each_day(self):
        self.make('a', days=20)
        daemon = self.begin('a')
        self.assertFalse([line for line in daemon.log.lines if ' certificate doubtful ' in line])
        self.assertEqual([], daemon.status()['certificates'][0]['doubts'])
        since = daemon.log.mark()
        self.jump(7 * 24)
        daemon.log.wait(r'warning: certificate doubtful file="\S+a\.pem" reason=expires-soon days=12', since)
        shown = daemon.status()['certificates'][0]
        self.assertEqual((['expires-soon'], 12), (shown['doubts'], shown['days_left']))
        self.assertRegex(daemon.ctl('status').stdout, r'certificate \S+a\.pem until \S+, 12 days: localhost  expires-soon')
        since = daemon.log.mark()
        self.jump(24)
        daemon.log.wait(r'certificate doubtful .* reason=expires-soon days=11', since)
        since = daemon.log.mark()
        self.jump(12 * 24)
        daemon.log.wait(r'certificate doubtful .* reason=expired days=-1', since)
        daemon.stop()

    def resume(self, daemon, session, context):
        sock = self.connect(daemon, session, context)
        self.talk(sock)
        return sock.session_reused

    def test_tickets(self):
        """At every worker, after a reload, after a rotation; not after two."""
        self.make('a')
        daemon = self.begin('a', workers=3, extra="<tls ticket-hours='2'/>")
        context = self.context(ssl.TLSVersion.TLSv1_2)
        first = self.connect(daemon, context=context)
        session = first.session
        self.assertFalse(first.session_reused)
        # They stay connected, and go to the worker with the fewest.
        for _ in range(6):
            self.assertTrue(self.resume(daemon, session, context))
        self.assertGreater(min(worker['clients'] for worker in daemon.status()['workers']), 0)
        self.reload(daemon)
        for _ in range(3):
            self.assertTrue(self.resume(daemon, session, context))
        for wanted in (True, False):
            since = daemon.log.mark()
            self.jump(2)
            daemon.log.wait(r' tickets rotated', since)
            daemon.ctl('status')    # the workers have answered, behind the keys
            for _ in range(3):
                self.assertEqual(wanted, self.resume(daemon, session, context))
        daemon.stop()

    def test_tickets_of_tls_1_3(self):
        self.make('a')
        daemon = self.begin('a', workers=2)
        context = self.context(ssl.TLSVersion.TLSv1_3)
        session = self.talk(self.connect(daemon, context=context)).session
        for _ in range(4):
            sock = self.talk(self.connect(daemon, session, context))
            self.assertTrue(sock.session_reused)
            session = sock.session
        daemon.stop()


class Secrecy(CertificateCase):
    PAGE = 4096
    # A sanitizer's shadow has terabytes.
    REGION_MAX = 1 << 32

    def memory(self, pid):
        """All that a process can write, and has: the kernel tells which pages there are."""
        found = []
        with open('/proc/%d/maps' % pid) as maps, open('/proc/%d/mem' % pid, 'rb', 0) as mem, \
                open('/proc/%d/pagemap' % pid, 'rb', 0) as pagemap:
            for line in maps:
                addresses, rights = line.split()[:2]
                start, end = (int(address, 16) for address in addresses.split('-'))
                if not rights.startswith('rw') or end - start > self.REGION_MAX:
                    continue
                pagemap.seek(start // self.PAGE * 8)
                pages = struct.unpack('%dQ' % ((end - start) // self.PAGE), pagemap.read((end - start) // self.PAGE * 8))
                region = b''
                for number, page in enumerate(pages):
                    if page >> 62:    # in memory, or swapped out
                        mem.seek(start + number * self.PAGE)
                        region += mem.read(self.PAGE)
                found.append(region)
        return found

    def count(self, pid, secret):
        return sum(region.count(secret) for region in self.memory(pid))

    def number(self, name):
        """The secret number of a key with P-256, as DER has it."""
        der = subprocess.run(['openssl', 'pkcs8', '-topk8', '-nocrypt', '-in', self.path(name + '.key'), '-outform', 'DER'],
                             capture_output=True).stdout
        at = der.index(b'\x02\x01\x01\x04\x20') + 5
        return der[at:at + 32]

    def text(self, name):
        """The same as it stands in the file."""
        return open(self.path(name + '.key'), 'rb').read().split(b'\n')[1][40:]

    def test_keys_are_where_they_are_needed(self):
        if os.getuid() != 0:
            self.skipTest('not root')
        self.make('a').make('b')
        daemon = self.begin('a')
        number, text = self.number('a'), self.text('a')
        for _ in range(4):
            self.talk(self.connect(daemon)).close()
        master, workers, sessiond = daemon.process.pid, daemon.worker_pids(), daemon.children('c2sd-sessiond')
        # Once, for the workers to come.
        self.assertEqual(1, self.count(master, number))
        self.assertEqual(0, self.count(master, number[::-1]))
        for pid in workers:
            self.assertEqual(0, self.count(pid, number), 'DER has been left')
            self.assertGreater(self.count(pid, number[::-1]), 0, "OpenSSL's number is found")
        for pid in [master] + workers + sessiond:
            self.assertEqual(0, self.count(pid, text))
        for pid in sessiond:
            self.assertEqual(0, self.count(pid, number) + self.count(pid, number[::-1]))
        self.assertNotIn(text.decode(), daemon.ctl('config').stdout)
        self.assertNotIn(base64.b64encode(number).decode()[:-2], daemon.ctl('config').stdout + daemon.ctl('status').stdout)
        # When it was renewed, and nobody is there who was shown it.
        self.put('b', 'a')
        self.reload(daemon)
        new = self.number('b')
        self.assertEqual(1, self.count(master, new))
        for pid in [master] + workers:
            self.assertEqual(0, self.count(pid, number) + self.count(pid, number[::-1]), pid)
        daemon.stop()

    def test_not_in_a_core(self):
        if os.getuid() != 0:
            self.skipTest('not root')
        self.make('a')
        daemon = self.begin('a')
        number = self.number('a')
        with open('/proc/%d/smaps' % daemon.process.pid) as smaps:
            text = smaps.read()
        flags, place = {}, None
        for line in text.splitlines():
            if re.match(r'[0-9a-f]+-[0-9a-f]+ ', line):
                place = tuple(int(a, 16) for a in line.split()[0].split('-'))
            elif line.startswith('VmFlags:'):
                flags[place] = line.split()
        found = []
        with open('/proc/%d/mem' % daemon.process.pid, 'rb', 0) as mem:
            for (start, end), words in flags.items():
                if 'wr' not in words or end - start >= 1 << 30:
                    continue
                mem.seek(start)
                if number in mem.read(end - start):
                    found.append('dd' in words)
        self.assertEqual([True], found, 'it would be in a core dump, or was not looked for where it is')
        for pid in [daemon.process.pid] + daemon.worker_pids():
            with open('/proc/%d/limits' % pid) as limits:
                self.assertRegex(limits.read(), r'Max core file size +0 +0 ')
        daemon.stop()


if __name__ == '__main__':
    harness.main()
