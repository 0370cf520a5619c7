#!/usr/bin/env python3
"""TLS in the real daemon, with clients of Python's ssl and with bytes that no client would send."""
import json
import os
import signal
import socket
import ssl
import unittest

import harness
from harness import STREAMS, TLS, DaemonCase, RawClient, chat, make_certificate, tls_context

STARTTLS = "<starttls xmlns='%s'/>" % TLS
HEADER = "<stream:stream xmlns='jabber:client' xmlns:stream='%s' to='localhost' version='1.0'>" % STREAMS


class Bio:
    """A TLS client whose records pass through our hands."""

    def __init__(self, peer, context=None, name='localhost'):
        self.peer = peer
        self.to_us, self.from_us = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or tls_context()).wrap_bio(self.to_us, self.from_us, server_hostname=name)
        peer.socket.settimeout(harness.TIMEOUT)

    def step(self, call, cut):
        """Until the call succeeds; what is to be sent goes out in the pieces that `cut` makes of it."""
        while True:
            try:
                result = call()
            except ssl.SSLWantReadError:
                result = None
            for piece in cut(self.from_us.read()):
                self.peer.socket.sendall(piece)
            if result is not None:
                return result
            data = self.peer.socket.recv(65536)
            if not data:
                self.to_us.write_eof()
            self.to_us.write(data)

    def shake(self, cut=lambda data: [data]):
        self.step(lambda: self.tls.do_handshake() or True, cut)

    def write(self, text, cut=lambda data: [data]):
        self.step(lambda: self.tls.write(text.encode()), cut)

    def read_until(self, end):
        text = b''
        while end.encode() not in text:
            text += self.step(lambda: self.tls.read(65536), lambda data: [data])
        return text.decode()


def bytewise(data):
    return [data[i:i + 1] for i in range(len(data))]


class TlsCase(DaemonCase):
    def ended(self, daemon, reason, since=0):
        """The text of the line about a client that has ended."""
        line, = daemon.log.wait(r' client ended reason=%s ' % reason, since)[-1:]
        return line


class Ways(TlsCase):
    def test_starttls(self):
        daemon = self.start(users=('alice', 'bob'), tls='starttls')
        context = tls_context(daemon.certificates[0])
        clients = []
        for name in ('alice', 'bob'):
            client = daemon.client().open()
            self.assertEqual(['starttls'], [child.name for child in client.features.children])
            self.assertIsNotNone(client.features.child('starttls', TLS).child('required', TLS))
            before = client.stream.header.get('id')
            client.starttls(context)
            self.assertNotEqual(before, client.stream.header.get('id'))
            self.assertIsNone(client.features.child('starttls', TLS))
            self.assertEqual('TLSv1.3', client.socket.version())
            clients.append(client.login(name).available())
        chat(*clients, 'alice@localhost', 'bob@localhost')
        daemon.log.wait(' client logged-in account="alice@localhost/home" .* tls=TLSv1.3$')
        for client in clients:
            client.leave()
        self.assertIn(' tls=TLSv1.3 ', self.ended(daemon, 'closed'))

    def test_direct(self):
        daemon = self.start(users=('alice', 'bob'), tls='direct')
        alice = daemon.client().secure(tls_context(alpn=['xmpp-client'])).open().login('alice').available()
        self.assertEqual('xmpp-client', alice.socket.selected_alpn_protocol())
        bob = daemon.client().secure(tls_context(maximum_version=ssl.TLSVersion.TLSv1_2)).open().login('bob').available()
        self.assertEqual('TLSv1.2', bob.socket.version())
        self.assertIsNone(alice.features.child('starttls', TLS))
        chat(alice, bob, 'alice@localhost', 'bob@localhost')
        daemon.log.wait(' client secured tls=TLSv1.2 cipher=\\S+ sni="localhost" resumed=no$')
        # A stream that begins in clear text is none here.
        clear = daemon.client()
        clear.send(HEADER)
        clear.expect_close()
        self.assertEqual(b'', bytes(clear.received))
        self.assertIn('text="begins with no handshake"', self.ended(daemon, 'tls-failed'))

    def test_both_on_one_listener(self):
        daemon = self.start(users=('alice', 'bob'), tls='both')
        alice = daemon.client().secure().open().login('alice').available()
        bob = daemon.client().open()
        self.assertIsNotNone(bob.features.child('starttls', TLS))
        bob.starttls().login('bob').available()
        chat(alice, bob, 'alice@localhost', 'bob@localhost')

    def test_none(self):
        daemon = self.start(users=('alice',))
        client = daemon.client().open()
        self.assertIsNone(client.features.child('starttls', TLS))
        client.send(STARTTLS)
        client.expect(lambda e: e.name == 'failure' and e.namespace == TLS)
        client.expect_end()
        self.ended(daemon, 'tls-failed')
        daemon.client().open().login('alice').leave()

    def test_optional(self):
        daemon = self.start(users=('alice', 'bob'), tls='starttls', tls_options={'required': 'no'})
        alice, bob = daemon.client().open(), daemon.client().open()
        self.assertIsNone(alice.features.child('starttls', TLS).child('required', TLS))
        self.assertIsNotNone(alice.features.child('auth', 'http://jabber.org/features/iq-auth'))
        alice.login('alice').available()
        bob.starttls().login('bob').available()
        chat(alice, bob, 'alice@localhost', 'bob@localhost')
        daemon.client().open(version=None).login('alice', resource='old').leave()

    def test_resumption(self):
        """With a ticket of one worker at the other."""
        daemon = self.start(users=('alice',), tls='direct')
        context = tls_context(maximum_version=ssl.TLSVersion.TLSv1_2)
        first = daemon.client().secure(context).open()
        for _ in range(4):
            again = daemon.client().secure(context, session=first.socket.session).open()
            self.assertTrue(again.socket.session_reused)
        workers = daemon.status()['workers']
        self.assertEqual((5, 4), tuple(sum(worker[key] for worker in workers) for key in ('handshakes', 'resumed')))

    def test_certificates_by_name(self):
        daemon = self.start(hosts=('localhost', 'one.example', 'two.of.example'), tls='both',
                            certificates=(('localhost',), ('one.example',), ('*.of.example',)))
        for number, name in enumerate(('localhost', 'one.example', 'two.of.example')):
            context = tls_context(daemon.certificates[number])
            daemon.client().secure(context, name).open(name)
            # Without a name in the handshake, the stream's decides.
            context = tls_context()
            client = daemon.client().open(name)
            client.send(STARTTLS)
            client.expect('proceed')
            client.secure(context, None)
            with open(daemon.certificates[number]) as file:
                pem = file.read().partition('-----BEGIN PRIVATE')[0]
            self.assertEqual(ssl.PEM_cert_to_DER_cert(pem), client.socket.getpeercert(binary_form=True))


class Required(TlsCase):
    def test_nothing_else_before(self):
        daemon = self.start(users=('alice',), tls='starttls')
        for packet in ("<iq type='get' id='a'><query xmlns='jabber:iq:auth'/></iq>",
                       "<iq type='set' id='a'><query xmlns='jabber:iq:auth'><username>alice</username>"
                       "<password>secret</password><resource>r</resource></query></iq>",
                       "<iq type='get' id='a'><query xmlns='jabber:iq:register'/></iq>",
                       "<iq type='set' id='a'><query xmlns='jabber:iq:register'><username>eve</username>"
                       "<password>pw</password></query></iq>", '<presence/>', "<message to='alice@localhost'/>"):
            client = daemon.client().open()
            client.send(packet)
            error = client.expect_stream_error('policy-violation')
            self.assertEqual('TLS is required', error.child('text', harness.STREAM_ERRORS).text)
        self.assertNotIn('eve', daemon.ctl('user', 'list').stdout)

    def test_clients_of_before(self):
        daemon = self.start(users=('alice',), tls='starttls')
        client = daemon.client().open(version=None)
        error = client.expect(lambda e: e.name == 'error' and e.namespace == STREAMS)
        self.assertEqual('TLS is required', error.text)
        client.expect_end()


class Injection(TlsCase):
    """What is in clear text behind <starttls/> is not used, and ends the connection."""

    def setUp(self):
        self.daemon = self.start(users=('alice',), tls='starttls', tls_options={'required': 'no'})

    def test_in_one_write(self):
        for behind in (HEADER, "<iq type='get' id='a'><query xmlns='jabber:iq:auth'/></iq>", 'x', '<', ' \n<presence/>'):
            since = self.daemon.log.mark()
            client = self.daemon.client().open()
            client.send(STARTTLS + behind)
            client.expect_stream_error('policy-violation')
            self.assertIn('text="clear text behind <starttls/>"', self.ended(self.daemon, 'tls-failed', since))
            self.assertEqual(1, len([line for line in self.daemon.log.lines[since:] if 'clear text' in line]))

    def test_behind_proceed(self):
        since = self.daemon.log.mark()
        client = self.daemon.client().open()
        client.send(STARTTLS)
        client.expect('proceed')
        client.send("<iq type='get' id='a'><query xmlns='jabber:iq:auth'/></iq>")
        received = len(client.received)
        client.expect_close()
        self.assertEqual(received, len(client.received))
        self.assertIn('text="clear text behind <starttls/>"', self.ended(self.daemon, 'tls-failed', since))

    def test_white_space_is_forgiven(self):
        client = self.daemon.client().open()
        client.send(STARTTLS + ' \r\n')
        client.expect('proceed')
        client.send(' ' * 200)
        client.secure().open().login('alice').leave()

    def test_nothing_is_kept(self):
        """Neither what the header declared nor half an element."""
        client = self.daemon.client().open(extra="xmlns:x='urn:before' xml:lang='de'")
        client.starttls()
        client.login('alice').available()
        client.send("<message to='alice@localhost'><x:y/></message>")
        client.expect_stream_error('bad-namespace-prefix')

    def test_a_second_one(self):
        client = self.daemon.client().open().starttls()
        client.send(STARTTLS)
        client.expect_stream_error('policy-violation')
        client = self.daemon.client().open().starttls().login('alice')
        client.send(STARTTLS)
        client.expect_stream_error('policy-violation')


class Wire(TlsCase):
    """Bytes as no client sends them: each costs its own connection, and the others do not notice."""

    def setUp(self):
        self.daemon = self.start(users=('alice', 'bob'), tls='both')
        self.witness = self.daemon.client().secure().open().login('alice').available()

    def tearDown(self):
        self.witness.settle()
        self.assertEqual(1, self.daemon.status()['clients'])

    def gone(self, client):
        client.close()
        self.daemon.log.wait(' client ended .* port=%d ' % client.port)

    def client(self):
        client = self.daemon.client()
        client.port = client.socket.getsockname()[1]
        return client

    def drain(self, client):
        """Alerts, which are no XML, and the end."""
        client.socket.settimeout(harness.TIMEOUT)
        try:
            while client.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass

    def test_byte_by_byte(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = self.client()
            bio = Bio(client, tls_context(maximum_version=version))
            bio.shake(bytewise)
            bio.write(HEADER, bytewise)
            self.assertIn('iq-auth', bio.read_until('</stream:features>'))
            self.gone(client)

    def hello(self):
        outgoing = ssl.MemoryBIO()
        try:
            tls_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname='localhost').do_handshake()
        except ssl.SSLWantReadError:
            return outgoing.read()

    def test_cut_off_in_the_handshake(self):
        hello = self.hello()
        for length in list(range(1, 16)) + list(range(16, len(hello), 37)):
            client = self.client()
            client.send(hello[:length])
            self.gone(client)

    def test_half_closed_in_the_handshake(self):
        hello = self.hello()
        for length in (1, 5, 9, len(hello) - 1, len(hello)):
            client = self.client()
            client.send(hello[:length])
            client.socket.shutdown(socket.SHUT_WR)
            self.drain(client)
            self.gone(client)

    def test_garbage(self):
        hello = self.hello()
        for data in (b'\x16', b'\x16\x03\x01', b'\x16' * 100, b'\x16\x03\x01\xff\xff' + b'x' * 70000,
                     b'\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00', b'\x16\x02\x00' + hello[3:], hello[:20] + b'\xff' * 200,
                     hello + b'garbage in clear text', hello + hello):
            client = self.client()
            client.send(data)
            client.socket.shutdown(socket.SHUT_WR)
            self.drain(client)
            self.gone(client)

    def test_wrong_version(self):
        client = self.client()
        context = tls_context()
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers('ALL:@SECLEVEL=0')
        with self.assertRaises(ssl.SSLError):
            client.secure(context)
        self.assertIn('text=', self.ended(self.daemon, 'tls-failed'))
        self.gone(client)

    def test_foreign_alpn(self):
        client = self.client()
        with self.assertRaises(ssl.SSLError):
            client.secure(tls_context(alpn=['h2', 'http/1.1']))
        self.ended(self.daemon, 'tls-failed')
        self.gone(client)

    def test_broken_record_in_a_session(self):
        client = self.client()
        bio = Bio(client)
        bio.shake()
        bio.write(HEADER)
        bio.read_until('</stream:features>')
        client.socket.sendall(b'\x17\x03\x03\x00\x20' + b'x' * 32)
        self.drain(client)
        self.ended(self.daemon, 'tls-failed')
        self.gone(client)

    def test_cut_off_in_a_record(self):
        for length in (1, 4, 5, 6, 20):
            client = self.client()
            bio = Bio(client)
            bio.shake()
            bio.write(HEADER)
            bio.read_until('</stream:features>')
            bio.tls.write(b"<iq type='get' id='a'><query xmlns='jabber:iq:auth'/></iq>")
            client.socket.sendall(bio.from_us.read()[:length])
            client.socket.shutdown(socket.SHUT_WR)
            self.drain(client)
            self.gone(client)


class Ends(TlsCase):
    def setUp(self):
        self.daemon = self.start(users=('alice', 'bob'), tls='direct')

    def begin(self, name='alice'):
        return self.daemon.client().secure(tls_context()).open().login(name).available()

    def kick(self, name):
        session = json.loads(self.daemon.ctl('sessions', '--json', '--account', name + '@localhost').stdout)
        self.daemon.ctl('kick', session['id'])

    def test_closed_by_the_client(self):
        client = self.begin()
        client.send('</stream:stream>')
        client.expect_end()
        self.assertFalse(client.truncated, 'no close_notify')
        self.ended(self.daemon, 'closed')

    def test_unwrapped_by_the_client(self):
        """close_notify, and no end of the stream before it."""
        client = self.begin()
        client.socket.settimeout(harness.TIMEOUT)
        try:
            client.socket.unwrap().close()
        except ssl.SSLError:    # what is told it comes before the answer
            client.close()
        self.ended(self.daemon, 'lost')

    def test_fin_without_close_notify(self):
        client = self.begin()
        raw = socket.socket(fileno=os.dup(client.socket.fileno()))
        raw.shutdown(socket.SHUT_WR)
        client.expect_end()
        self.ended(self.daemon, 'lost')
        raw.close()

    def test_reset(self):
        self.begin().reset()
        self.ended(self.daemon, 'lost')

    def test_closed_by_us(self):
        alice, bob = self.begin(), self.begin('bob')
        self.kick('alice')
        alice.expect_stream_error('policy-violation')
        self.daemon.process.send_signal(signal.SIGTERM)
        bob.expect_stream_error('system-shutdown')
        self.assertEqual((False, False), (alice.truncated, bob.truncated), 'no close_notify')
        self.assertEqual(0, self.daemon.process.wait(harness.TIMEOUT))

    def test_everything_is_flushed_first(self):
        """Megabytes for one that reads them late, and then the end."""
        alice = self.begin()
        bob = RawClient(self.daemon.listeners[0], receive_buffer=4096).secure().open().login('bob').available()
        body = 'x' * 20000
        for number in range(100):
            alice.message('bob@localhost', '%d %s' % (number, body))
        alice.settle()
        self.kick('bob')
        for number in range(100):
            bob.expect_message('%d %s' % (number, body))
        bob.expect_stream_error('policy-violation')


class Deadlines(TlsCase):
    def test_handshakes_that_never_end(self):
        daemon = self.start(tls=['both', 'starttls'], listen=('127.0.0.1', '127.0.0.2'), users=('alice',),
                            limits={'handshake_seconds': 1})
        silent, half = daemon.client(), daemon.client()
        half.send(b'\x16\x03\x01\x02\x00')
        asked = RawClient(daemon.listeners[1]).open()
        asked.send(STARTTLS)
        asked.expect('proceed')
        for client in (silent, half, asked):
            client.expect_close()
        self.assertEqual(3, len(daemon.log.wait(' client ended reason=handshake-timeout ', count=3)))
        self.assertEqual(3, sum(worker['handshakes_failed'] for worker in daemon.status()['workers']))
        daemon.client().secure().open().login('alice').leave()


class Many(TlsCase):
    def test_many_at_a_time(self):
        daemon = self.start(users=['user%d' % number for number in range(20)], tls='both', workers=2)
        clients = [daemon.client() for _ in range(60)]
        for number, client in enumerate(clients):
            client.secure().open().login('user%d' % (number % 20), resource='r%d' % number).available()
        for number, client in enumerate(clients):
            client.message('user%d@localhost/r%d' % ((number + 1) % 60 % 20, (number + 1) % 60), 'hello %d' % number)
        for number, client in enumerate(clients):
            client.expect_message('hello %d' % ((number - 1) % 60))
        sessions = [json.loads(line) for line in daemon.ctl('sessions', '--json').stdout.splitlines()]
        self.assertEqual(['TLSv1.3'] * 60, [session['tls'] for session in sessions])
        self.assertEqual(60, len(daemon.ctl('sessions', '--json', '--tls', 'TLSv1.3').stdout.splitlines()))
        self.assertEqual('', daemon.ctl('sessions', '--json', '--tls', 'none').stdout)
        self.assertIn('\ntls        60 handshakes, 0 resumed, 0 failed\n', daemon.ctl('status').stdout)

    def test_worker_is_killed(self):
        daemon = self.start(users=('alice', 'bob'), tls='direct', workers=2)
        daemon.may_lose_workers = True
        alice = daemon.client().secure().open().login('alice').available()
        bob = daemon.client().secure().open().login('bob').available()
        pid = daemon.status()['workers'][0]['pid']
        os.kill(pid, signal.SIGKILL)
        dead, alive = (alice, bob) if alice._read(harness.Deadline(1)) or alice.ended else (bob, alice)
        dead.expect_close()
        daemon.wait_ready()
        alive.settle()
        name = 'alice' if dead is alice else 'bob'
        daemon.log.wait(' worker 0 started', count=2)
        back = daemon.client().secure().open().login(name).available()
        chat(back, alive, name + '@localhost', ('bob' if dead is alice else 'alice') + '@localhost')

    def test_reload(self):
        """Connected clients stay, with the certificate that they know; others get the new one."""
        daemon = self.start(users=('alice', 'bob'), tls='starttls')
        context = tls_context(daemon.certificates[0])
        alice = daemon.client().open().starttls(context).login('alice').available()
        waiting = daemon.client().open()
        make_certificate(daemon.folder, os.path.basename(daemon.certificates[0]), ['localhost'])
        daemon.ctl('reload')
        waiting.send(STARTTLS)
        waiting.expect('proceed')
        with self.assertRaises(ssl.SSLError):
            waiting.secure(context)
        bob = daemon.client().open().starttls(tls_context(daemon.certificates[0])).login('bob').available()
        chat(alice, bob, 'alice@localhost', 'bob@localhost')


if __name__ == '__main__':
    harness.main()
