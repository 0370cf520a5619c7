#!/usr/bin/env python3
"""TLS judged by others: testssl.sh and sslscan look for what is wrong with it; OpenSSL's s_client, GnuTLS's gnutls-cli,
Python's ssl, libstrophe, loudmouth and slixmpp use it. On STARTTLS and on direct TLS, 1.2 and 1.3, with ECDSA and RSA side
by side, with resumption and without, on both workers and across a reload."""
import json
import os
import re
import select
import shutil
import ssl
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

import harness
from harness import DaemonCase, Deadline, Guard, RawClient, program
import test_clients

# A judge looks for minutes; on a machine that is busy, for more of them.
JUDGE_TIMEOUT = 600
WORKERS = 2


def needs(name):
    return unittest.skipUnless(shutil.which(name), name + ' is not installed')


def run(*command, seconds=harness.TIMEOUT, **more):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds, **more)


class Authority:
    """Whom the clients here trust, and certificates that it has signed: made once for all tests."""

    one = None

    EXTENSIONS = ('subjectAltName=%s\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n'
                  'extendedKeyUsage=serverAuth\n')
    KEYS = {'ecdsa': ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], 'rsa': ['rsa:2048']}

    @classmethod
    def get(cls):
        if cls.one is None:
            cls.one = cls()
        return cls.one

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='c2sd-test.')
        Guard.watch(self.folder)
        os.chmod(self.folder, 0o755)
        self.file = self.path('ca.pem')
        self.openssl('req', '-x509', '-newkey', *self.KEYS['ecdsa'], '-nodes', '-keyout', self.path('ca.key'), '-out',
                     self.file, '-days', 90, '-subj', '/CN=Authority of the tests',
                     '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign')
        for kind in self.KEYS:
            self.make(kind, kind, 'localhost')

    def path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def openssl(*arguments):
        result = run('openssl', *arguments)
        if result.returncode != 0:
            raise AssertionError('openssl %s: %s' % (arguments[0], result.stderr))
        return result.stdout

    def make(self, name, kind, *hosts):
        """NAME.pem, with the authority's own behind it, and NAME.key."""
        with open(self.path('extensions'), 'w') as file:
            file.write(self.EXTENSIONS % ','.join('DNS:' + host for host in hosts))
        self.openssl('req', '-newkey', *self.KEYS[kind], '-nodes', '-keyout', self.path(name + '.key'), '-out',
                     self.path('request'), '-subj', '/CN=' + hosts[0])
        self.openssl('x509', '-req', '-in', self.path('request'), '-CA', self.file, '-CAkey', self.path('ca.key'),
                     '-CAcreateserial', '-days', 90, '-extfile', self.path('extensions'), '-out', self.path(name + '.crt'))
        with open(self.path(name + '.pem'), 'w') as chain:
            for part in (self.path(name + '.crt'), self.file):
                with open(part) as file:
                    chain.write(file.read())
        os.chmod(self.path(name + '.key'), 0o644)

    def element(self, name):
        return '<certificate chain="%s" key="%s"/>' % (self.path(name + '.pem'), self.path(name + '.key'))


class JudgedCase(DaemonCase):
    """A daemon that listens for STARTTLS, for TLS and for either."""

    users = ()

    def setUp(self):
        self.authority = Authority.get()
        self.ports = {}
        self.daemon = self.begin(''.join(self.authority.element(name) for name in ('ecdsa', 'rsa')))
        self.ports['starttls'] = self.daemon.port

    def begin(self, certificates):
        extra = certificates
        for mode in ('direct', 'both'):
            self.ports[mode] = harness.free_port()
            extra += '<listen address="127.0.0.1" port="%d" tls="%s"/>' % (self.ports[mode], mode)
        return self.start(users=self.users, tls='starttls', certificates=(), extra=extra, workers=WORKERS)

    def secured(self, mode, context, session=None):
        """A client of Python's ssl, in a stream behind its handshake."""
        client = RawClient(('127.0.0.1', self.ports[mode]))
        self.addCleanup(client.close)
        if mode == 'starttls':
            return client.open().starttls(context, session=session)
        return client.secure(context, session=session).open()

    def sessions(self):
        """Client's id -> its worker."""
        lines = self.daemon.ctl('sessions', '--json').stdout.splitlines()
        return {line['id']: line['worker'] for line in map(json.loads, lines) if 'id' in line}


# ---- s_client ----

class Client:
    """A program that speaks TLS, as it runs. What it says need not end with a line."""

    def __init__(self, case, *command):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, preexec_fn=harness._die_with_parent)
        self.said = b''
        self.ended = False
        case.addCleanup(self.close)

    def read(self, deadline):
        if self.ended or not select.select([self.process.stdout], [], [], deadline.left())[0]:
            return False
        data = os.read(self.process.stdout.fileno(), 65536)
        self.said += data
        self.ended = not data
        return not self.ended

    def text(self):
        return self.said.decode('utf-8', 'replace')

    def expect(self, pattern):
        deadline = Deadline()
        while True:
            found = re.search(pattern, self.text(), re.M)
            if found:
                return found.group(0)
            if not self.read(deadline):
                raise AssertionError('%r was not said, but: %s' % (pattern, self.text()[-3000:]))

    def expect_end(self):
        """Its exit status."""
        self.process.stdin.close()
        deadline = Deadline()
        while self.read(deadline):
            pass
        return self.process.wait(harness.TIMEOUT)

    def say(self, line):
        self.process.stdin.write(line.encode() + b'\n')
        self.process.stdin.flush()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


HEADER = ("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' "
          "version='1.0'>")

VERSIONS = {'-tls1_2': 'TLSv1.2', '-tls1_3': 'TLSv1.3'}


@needs('openssl')
class Openssl(JudgedCase):
    def command(self, port, *arguments, starttls):
        return ['openssl', 's_client', '-connect', '127.0.0.1:%d' % port, '-CAfile', self.authority.file,
                '-verify_return_error', '-verify_hostname', 'localhost', '-servername', 'localhost',
                *(['-starttls', 'xmpp', '-xmpphost', 'localhost'] if starttls else []), *arguments]

    def connect(self, mode, *arguments, starttls=None):
        starttls = mode == 'starttls' if starttls is None else starttls
        return Client(self, *self.command(self.ports[mode], *arguments, starttls=starttls))

    def chat(self, client):
        """What is behind the handshake is a stream, without an offer of what is there already."""
        client.say(HEADER)
        self.assertNotIn('xmpp-tls', client.expect('<stream:features.*</stream:features>'))
        client.say('</stream:stream>')
        client.expect('</stream:stream>')

    def test_both_ways_and_versions(self):
        for mode, starttls in (('starttls', True), ('direct', False), ('both', True), ('both', False)):
            for option, version in VERSIONS.items():
                with self.subTest(mode=mode, starttls=starttls, version=version):
                    client = self.connect(mode, option, '-alpn', 'xmpp-client', starttls=starttls)
                    client.expect('^New, %s, Cipher is ' % re.escape(version))
                    client.expect('Verify return code: 0 ')
                    self.assertRegex(client.text(), '(?m)^ALPN protocol: xmpp-client$')
                    self.assertRegex(client.text(), '(?m)^Secure Renegotiation IS supported$|TLSv1.3')
                    self.chat(client)

    def test_certificate_that_the_client_can_check(self):
        for arguments, kind in ((['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-GCM-SHA256'], 'ECDSA'),
                                (['-tls1_2', '-cipher', 'ECDHE-RSA-AES128-GCM-SHA256'], 'RSA'),
                                (['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256'],
                                 'ECDSA'),
                                (['-tls1_3', '-sigalgs', 'ecdsa_secp256r1_sha256'], 'ECDSA'),
                                (['-tls1_3', '-sigalgs', 'rsa_pss_rsae_sha256:rsa_pkcs1_sha256:ecdsa_secp384r1_sha384'],
                                 'RSA'),
                                (['-tls1_3'], 'ECDSA')):
            for mode in ('starttls', 'direct'):
                with self.subTest(mode=mode, arguments=arguments):
                    # The chain of ours is ECDSA, which who knows RSA only cannot check: the leaf is trusted instead.
                    client = self.connect(mode, *arguments, '-CAfile', self.authority.path(kind.lower() + '.crt'),
                                          '-partial_chain')
                    client.expect('^New, TLSv1')
                    self.assertRegex(client.text(), '(?m)^Peer signature type: %s' % kind)
                    client.expect('Verify return code: 0 ')

    def refused(self, *arguments, says):
        for mode in ('starttls', 'direct', 'both'):
            with self.subTest(mode=mode, arguments=arguments):
                client = self.connect(mode, *arguments)
                self.assertNotEqual(0, client.expect_end())
                self.assertRegex(client.text(), says)

    def test_foreign_alpn_is_refused(self):
        self.refused('-alpn', 'h2,http/1.1', says='alert no application protocol')
        self.refused('-alpn', 'xmpp-server', says='alert no application protocol')

    def test_old_versions_are_refused(self):
        for option in ('-tls1', '-tls1_1'):
            self.refused(option, '-cipher', 'ALL:@SECLEVEL=0', says='alert protocol version|unsupported protocol')

    def test_weak_ciphers_are_refused(self):
        for ciphers in ('AES128-SHA', 'AES256-GCM-SHA384', 'ECDHE-RSA-AES128-SHA', 'ECDHE-ECDSA-AES256-SHA384',
                        'aNULL', 'eNULL'):
            self.refused('-tls1_2', '-cipher', ciphers + ':@SECLEVEL=0', says='alert handshake failure')

    def test_renegotiation_is_refused(self):
        for mode in ('starttls', 'direct'):
            client = self.connect(mode, '-tls1_2')
            client.expect('Verify return code: 0 ')
            client.say('R')
            client.expect('no renegotiation|unexpected message|errno')

    # -- resumption --

    def resume(self, mode, option, file):
        """One more client, which stays, with a ticket or without one: its worker, and what s_client says it was."""
        before = self.sessions()
        client = self.connect(mode, option, *(('-sess_in', file) if os.path.exists(file) else ('-sess_out', file)))
        said = client.expect('^(New|Reused), TLSv1')
        client.expect('Verify return code: 0 ')
        client.say(HEADER)
        # The ticket has come before this.
        client.expect('</stream:features>')
        new = {worker for identity, worker in self.sessions().items() if identity not in before}
        self.assertEqual(1, len(new))
        return new.pop(), said.partition(',')[0]

    def check_resumption(self, mode, option):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, 'session')
            self.assertEqual('New', self.resume(mode, option, file)[1])
            answered = set()
            deadline = Deadline()
            # Clients go where the fewest are, and these stay: so it is each worker's turn.
            while len(answered) < WORKERS:
                self.assertGreater(deadline.left(), 0, answered)
                worker, said = self.resume(mode, option, file)
                self.assertEqual('Reused', said, 'worker %d' % worker)
                answered.add(worker)
            self.daemon.ctl('reload')
            self.assertEqual('Reused', self.resume(mode, option, file)[1], 'after a reload')

    def test_resumption_on_all_workers_and_across_a_reload(self):
        for mode in ('starttls', 'direct'):
            for option in VERSIONS:
                with self.subTest(mode=mode, option=option):
                    self.check_resumption(mode, option)


# ---- gnutls-cli ----

@needs('gnutls-cli')
class Gnutls(JudgedCase):
    PRIORITIES = {'1.2': 'NORMAL:-VERS-ALL:+VERS-TLS1.2', '1.3': 'NORMAL:-VERS-ALL:+VERS-TLS1.3'}

    def say(self, mode, *arguments):
        """What gnutls-cli says about a connection that it makes and ends."""
        starttls = ['--starttls-proto=xmpp'] if mode == 'starttls' else ['--alpn=xmpp-client']
        result = run('gnutls-cli', '--port', self.ports[mode], '--x509cafile', self.authority.file, *starttls, *arguments,
                     'localhost', stdin=subprocess.DEVNULL)
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)
        return result.stdout

    def test_both_ways_and_versions(self):
        for mode in ('starttls', 'direct'):
            for version, priority in self.PRIORITIES.items():
                with self.subTest(mode=mode, version=version):
                    said = self.say(mode, '--priority', priority)
                    self.assertIn('- Status: The certificate is trusted', said)
                    self.assertRegex(said, r'- Description: \(TLS%s-X\.509\)-.*\(ECDSA' % re.escape(version))
                    if mode == 'direct':
                        self.assertIn('- Application protocol: xmpp-client', said)

    def test_certificate_that_the_client_can_check(self):
        for mode in ('starttls', 'direct'):
            for priority in ('NORMAL:-VERS-ALL:+VERS-TLS1.2:-ECDHE-ECDSA',
                             'NORMAL:-VERS-ALL:+VERS-TLS1.3:-SIGN-ECDSA-SHA256:-SIGN-ECDSA-SECP256R1-SHA256'):
                with self.subTest(mode=mode, priority=priority):
                    self.assertRegex(self.say(mode, '--insecure', '--priority', priority), r'- Description: .*\(RSA')

    def test_resumption(self):
        for mode in ('starttls', 'direct'):
            for version, priority in self.PRIORITIES.items():
                with self.subTest(mode=mode, version=version):
                    said = self.say(mode, '--priority', priority, '--resume', '--waitresumption')
                    self.assertIn('*** This is a resumed session', said)


# ---- Python's ssl ----

class Python(JudgedCase):
    users = ('alice', 'bob')

    VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)

    def context(self, version):
        context = ssl.create_default_context(cafile=self.authority.file)
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(['xmpp-client'])
        return context

    def connect(self, mode, context, user, session=None):
        client = self.secured(mode, context, session).login(user).available()
        self.assertNotIn('starttls', repr(client.features))
        return client

    def worker_of(self, client):
        lines = self.daemon.ctl('sessions', '--json').stdout.splitlines()
        port = client.socket.getsockname()[1]
        return [line['worker'] for line in map(json.loads, lines) if line.get('port') == port]

    def test_chat_and_resumption(self):
        for mode in ('starttls', 'direct'):
            for version in self.VERSIONS:
                with self.subTest(mode=mode, version=version):
                    context = self.context(version)
                    alice = self.connect(mode, context, 'alice')
                    self.assertEqual('xmpp-client', alice.socket.selected_alpn_protocol())
                    self.assertFalse(alice.socket.session_reused)
                    bob = self.connect(mode, context, 'bob', session=alice.socket.session)
                    self.assertTrue(bob.socket.session_reused)
                    self.assertNotEqual(self.worker_of(alice), self.worker_of(bob))
                    harness.chat(alice, bob, 'alice@localhost', 'bob@localhost')
                    alice.leave()
                    self.daemon.ctl('reload')
                    alice = self.connect(mode, context, 'alice', session=bob.socket.session)
                    self.assertTrue(alice.socket.session_reused)
                    harness.chat(alice, bob, 'alice@localhost', 'bob@localhost')
                    alice.leave()
                    bob.leave()


# ---- client libraries ----

class Libraries:
    """What each client library has to do; one class for each below. It checks certificate and name by itself."""

    users = ('alice', 'bob')
    name = None
    ways = ('starttls', 'direct', 'both')

    def driver(self, mode, **environment):
        driver = test_clients.Driver(self.name, self.daemon, 'bob', port=self.ports[mode],
                                     CLIENT_TLS='direct' if mode == 'direct' else 'starttls', **environment)
        self.addCleanup(driver.close)
        return driver

    def test_chat(self):
        context = ssl.create_default_context(cafile=self.authority.file)
        alice = self.secured('starttls', context).login('alice').available()
        for mode in self.ways:
            with self.subTest(mode=mode):
                bob = self.driver(mode, CLIENT_CA=self.authority.file)
                bob.expect('^online bob@localhost/real$')
                bob.say('presence')
                bob.expect('^presence bob@localhost/real available$')
                alice.message('bob@localhost', 'through ' + mode)
                bob.expect('^message alice@localhost/home through %s$' % mode)
                bob.say('message alice@localhost back through ' + mode)
                self.assertEqual('bob@localhost/real', alice.expect_message('back through ' + mode).get('from'))
                bob.quit()

    def test_certificate_that_nobody_knows(self):
        """It is the client that refuses; and that is no trouble of ours."""
        strangers = os.path.join(self.daemon.folder, 'strangers.pem')
        Authority.openssl('req', '-x509', '-newkey', *Authority.KEYS['ecdsa'], '-nodes', '-keyout', os.devnull, '-out',
                          strangers, '-days', 90, '-subj', '/CN=Somebody')
        for mode in self.ways:
            with self.subTest(mode=mode):
                self.driver(mode, CLIENT_CA=strangers).expect('^closed ')
        self.daemon.status()


class Strophe(Libraries, JudgedCase):
    name = 'strophe'


class Slixmpp(Libraries, JudgedCase):
    name = 'slixmpp'


class Loudmouth(Libraries, JudgedCase):
    name = 'loudmouth'
    ways = ('starttls',)    # with direct TLS it wants a certificate for what it connects to, and not for the JID's domain


for CASE in [Strophe, Slixmpp, Loudmouth]:
    if not test_clients.present(CASE.name):
        CASE.__unittest_skip__ = True
        CASE.__unittest_skip_why__ = 'its library is not installed'
del CASE


# ---- judges ----

class Judgement:
    """testssl.sh, as it runs."""

    # What it looks for; not -c: its clients are browsers, which offer ALPN for HTTP only, and are refused for it.
    LOOK = ['--protocols', '--std', '--pfs', '--server-preference', '--server-defaults', '--vulnerable']
    # It finds something to say about each of these, or it has not looked.
    IDS = {'SSLv2', 'SSLv3', 'TLS1', 'TLS1_1', 'TLS1_2', 'TLS1_3', 'cipherlist_aNULL', 'cipherlist_STRONG', 'PFS',
           'cipher_order', 'cert_trust', 'cert_chain_of_trust', 'heartbleed', 'CCS', 'ROBOT', 'secure_renego',
           'secure_client_renego', 'CRIME_TLS', 'POODLE_SSL', 'fallback_SCSV', 'SWEET32', 'FREAK', 'DROWN', 'LOGJAM',
           'BEAST', 'LUCKY13', 'RC4'}
    BAD = {'MEDIUM', 'HIGH', 'CRITICAL', 'FATAL', 'WARN'}
    # What it may find, and why that is no finding about c2sd.
    EXCEPTIONS = {
        'cert_revocation': 'the authority of the tests publishes no CRL and has no OCSP responder',
        'engine_problem': 'about the openssl that testssl.sh itself uses: it has no GOST',
        'sessionresumption_ticket': 'its s_client has nothing to say and leaves, on a busy machine before the ticket of TLS '
                                    '1.3 is there: resumption is tested above',
    }
    SELF_SIGNED = {
        'cert_chain_of_trust': 'nobody else has signed it: that is what it is',
        'cert_extlifeSpan': 'authorities that browsers trust may not sign for more than 398 days; nobody signs here',
        'cert_revocation': 'who would revoke it?',
        'engine_problem': EXCEPTIONS['engine_problem'],
        'sessionresumption_ticket': EXCEPTIONS['sessionresumption_ticket'],
    }

    def __init__(self, case, port, starttls, look=None, authority=True):
        self.case = case
        self.file = os.path.join(case.daemon.folder, 'judgement-%d.json' % port)
        self.output = open(self.file + '.log', 'w+')
        case.addCleanup(self.output.close)
        self.process = subprocess.Popen(
            ['testssl', '--quiet', '--color', '0', '--warnings', 'off', '--nodns', 'none', '--ip', '127.0.0.1',
             '--connect-timeout', '10', '--openssl-timeout', '10', '--jsonfile', self.file] +
            (['--add-ca', case.authority.file] if authority else []) +
            (['--starttls', 'xmpp', '--xmpphost', 'localhost'] if starttls else []) +
            (look or self.LOOK) + ['localhost:%d' % port],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=harness._die_with_parent)
        case.addCleanup(self.end)

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, harness.signal.SIGKILL)
            self.process.wait()

    def findings(self):
        """(id, severity, finding) of each; where there are several certificates their number stands behind the id."""
        self.process.wait(JUDGE_TIMEOUT)
        self.output.seek(0)
        try:
            with open(self.file) as file:
                found = json.load(file)
        except ValueError:
            raise AssertionError('testssl.sh did not come to an end:\n' + self.output.read()[-3000:]) from None
        return [(entry['id'].partition(' ')[0], entry['severity'], entry['finding']) for entry in found]

    def check(self, ids, exceptions):
        found = self.findings()
        self.case.assertEqual(set(), ids - {identity for identity, _, _ in found})
        self.case.assertEqual([], [entry for entry in found
                                   if entry[1] in self.BAD and entry[0] not in exceptions])
        return found


@needs('testssl')
class Testssl(JudgedCase):
    def test_nothing_of_medium_severity_or_above(self):
        judgements = {'starttls': Judgement(self, self.ports['starttls'], True),
                      'direct': Judgement(self, self.ports['direct'], False)}
        for mode, judgement in judgements.items():
            with self.subTest(mode=mode):
                found = judgement.check(Judgement.IDS, Judgement.EXCEPTIONS)
                said = {identity: finding for identity, _, finding in found}
                self.assertIn('not offered', said['TLS1_1'])
                self.assertIn('offered', said['TLS1_2'])
                self.assertIn('offered', said['TLS1_3'])
        self.daemon.status()

    def test_certificate_of_our_own_making(self):
        folder = os.path.join(self.daemon.folder, 'tls')
        # Named by the place, not by the daemon's user: he has no group of his own here.
        run(program('ctl/c2sctl'), 'cert', '-c', os.path.join(self.daemon.folder, 'c2sd.xml'), '--folder', folder,
            check=True)
        self.daemon.stop()
        self.daemon = self.begin('<certificate chain="%s/cert.pem" key="%s/key.pem"/>' % (folder, folder))
        Judgement(self, self.ports['direct'], False, ['--server-defaults'], authority=False).check(
            {'cert_trust', 'cert_keySize', 'cert_signatureAlgorithm'}, Judgement.SELF_SIGNED)


@needs('sslscan')
class Sslscan(JudgedCase):
    def scan(self, mode):
        result = run('sslscan', '--ipv4', '--no-colour', '--show-sigs', '--xml=-', '--sni-name=localhost',
                     *(['--starttls-xmpp'] if mode == 'starttls' else []), 'localhost:%d' % self.ports[mode],
                     seconds=JUDGE_TIMEOUT)
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)
        return xml.etree.ElementTree.fromstring(result.stdout).find('ssltest')

    @staticmethod
    def weak(scan):
        """Ciphers that it knows better ones than. "acceptable" is what it has for those of TLS 1.3."""
        return [entry.get('cipher') for entry in scan.findall('cipher') if entry.get('strength') != (
            'strong' if entry.get('sslversion') == 'TLSv1.2' else 'acceptable')]

    def test_what_is_weak_is_found(self):
        self.daemon.stop()
        self.daemon = self.begin(self.authority.element('ecdsa') + '<tls ciphers="ECDHE-ECDSA-AES128-GCM-SHA256:'
                                 'ECDHE-ECDSA-AES128-SHA"/>')
        self.assertEqual(['ECDHE-ECDSA-AES128-SHA'], self.weak(self.scan('direct')))

    def test_scan(self):
        for mode in ('starttls', 'direct'):
            with self.subTest(mode=mode):
                scan = self.scan(mode)
                self.assertEqual({('tls', '1.2'), ('tls', '1.3')},
                                 {(entry.get('type'), entry.get('version')) for entry in scan.findall('protocol')
                                  if entry.get('enabled') == '1'})
                ciphers = scan.findall('cipher')
                self.assertGreater(len(ciphers), 4)
                self.assertEqual([], self.weak(scan))
                self.assertNotIn('1', [entry.get('supported') for entry in scan.findall('compression')])
                self.assertNotIn('0', [entry.get('supported') for entry in scan.findall('fallback')])
                self.assertEqual({'0'}, {entry.get('vulnerable') for entry in scan.findall('heartbleed')})
                self.assertTrue(all(int(entry.get('bits')) >= 128 for entry in scan.findall('group')))
                self.assertEqual([], [entry.get('name') for entry in scan.findall('connection-signature-algorithm')
                                      if re.search('sha1|md5|any', entry.get('name'), re.I)])


if __name__ == '__main__':
    if not shutil.which('openssl'):
        harness.skip_file('openssl is not installed')
    harness.main()
