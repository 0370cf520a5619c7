#!/usr/bin/env python3
"""Rude clients: each gets the right stream error, costs its own connection and one line in the log, and nobody else
notices."""
import os
import re
import select
import socket

import harness
from harness import DaemonCase, RawClient, chat
from xmlstream import STREAM_ERRORS, STREAMS

HEADER = "<stream:stream xmlns='jabber:client' xmlns:stream='%s' to='localhost' version='1.0'>" % STREAMS
LOGIN = ("<iq type='set' id='l'><query xmlns='jabber:iq:auth'><username>carol</username><password>secret</password>"
         "<resource>r</resource></query></iq>")
BOMB = ("<!DOCTYPE b [<!ENTITY a 'aaaaaaaaaa'>" +
        ''.join("<!ENTITY %s '%s'>" % (b, ('&%s;' % a) * 10) for a, b in zip('abcdefgh', 'bcdefghi')) + ']>')


def stanza(content):
    return HEADER + '<message>' + content + '</message>'


# What is sent on a new connection, and the errors that may answer it (RFC 6120 leaves some of them open).
BEFORE_LOGIN = {
    'unknown host': (HEADER.replace('localhost', 'elsewhere.example'), 'host-unknown'),
    'namespace of the content': (HEADER.replace('jabber:client', 'jabber:server'), 'invalid-namespace'),
    'namespace of streams': (HEADER.replace(STREAMS, 'http://example.org/streams'), 'invalid-namespace'),
    'version': (HEADER.replace("'1.0'", "'one'"), 'unsupported-version'),
    'half a version': (HEADER.replace("'1.0'", "'1.'"), 'unsupported-version'),
    'root element': (HEADER.replace('<stream:stream', '<stream:flood'), 'bad-format invalid-xml invalid-namespace'),
    'no XML at all': ('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n', 'not-well-formed invalid-xml bad-format'),
    'TLS': (b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'\0' * 60, 'not-well-formed invalid-xml bad-format'),
    'undeclared prefix': (HEADER + '<x:iq/>', 'bad-namespace-prefix not-well-formed'),
    'end tag that does not match': (HEADER + '<iq></message>', 'not-well-formed'),
    'attribute twice': (HEADER + "<iq a='1' a='2'/>", 'not-well-formed'),
    'attribute twice by two prefixes': (HEADER + "<iq xmlns:a='u' xmlns:b='u' a:x='1' b:x='2'/>", 'not-well-formed'),
    'undeclared entity': (HEADER + '<iq>&nosuch;</iq>', 'restricted-xml not-well-formed'),
    'zero byte': (HEADER.encode() + b'<iq>\0</iq>', 'not-well-formed'),
    'control character': (HEADER + '<iq>\x01</iq>', 'not-well-formed'),
    'control character by number': (HEADER + '<iq>&#1;</iq>', 'not-well-formed'),
    'overlong UTF-8': (HEADER.encode() + b'<iq>\xc0\xaf</iq>', 'not-well-formed unsupported-encoding'),
    'surrogate in UTF-8': (HEADER.encode() + b'<iq>\xed\xa0\x80</iq>', 'not-well-formed unsupported-encoding'),
    'half a character': (HEADER.encode() + b'<iq>\xe2\x82</iq>', 'not-well-formed unsupported-encoding'),
    'Latin-1': (HEADER.encode() + b'<iq>\xe4</iq>', 'not-well-formed unsupported-encoding'),
    'UTF-16': (('\ufeff' + HEADER).encode('utf-16-le'), 'unsupported-encoding not-well-formed'),
    'encoding declared': ("<?xml version='1.0' encoding='ISO-8859-1'?>" + HEADER, 'unsupported-encoding'),
    'comment': (HEADER + '<!-- x --><iq/>', 'restricted-xml'),
    'comment in a stanza': (stanza('<!-- x -->'), 'restricted-xml'),
    'processing instruction': (HEADER + '<?x y?>', 'restricted-xml'),
    'processing instruction in a stanza': (stanza('<?x y?>'), 'restricted-xml'),
    'DTD': ('<!DOCTYPE stream>' + HEADER, 'restricted-xml'),
    'DTD behind the header': (HEADER + '<!DOCTYPE x><iq/>', 'restricted-xml not-well-formed'),
    'entity bomb': (BOMB + HEADER + '<iq>&i;</iq>', 'restricted-xml'),
    'external entity': ("<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>" + HEADER + '<iq>&e;</iq>',
                        'restricted-xml'),
    'text between elements': (HEADER + 'hello', 'bad-format not-well-formed invalid-xml'),
    'message before login': (HEADER + "<message to='bob@localhost'><body>x</body></message>", 'not-authorized'),
    'presence before login': (HEADER + '<presence/>', 'not-authorized'),
    'roster before login': (HEADER + "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>", 'not-authorized'),
    'route': (HEADER + "<route xmlns='jabber:client' to='x'/>", 'not-authorized unsupported-stanza-type '
              'policy-violation invalid-namespace'),
    'framing': (HEADER + "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>", 'not-authorized policy-violation '
                'unsupported-stanza-type invalid-namespace'),
    'too big': (HEADER + '<iq>' + 'x' * 200000, 'policy-violation'),
    'too deep': (HEADER + '<iq>' + '<a>' * 5000, 'policy-violation'),
    'too many attributes': (HEADER + '<iq %s/>' % ' '.join("a%d=''" % i for i in range(1500)), 'policy-violation'),
    'too many elements': (HEADER + '<iq>' + '<a/>' * 2400, 'policy-violation'),
    'a name that never ends': (HEADER + '<' + 'n' * 200000, 'policy-violation'),
    'an attribute that never ends': (HEADER + "<iq a='" + 'v' * 200000, 'policy-violation'),
    'a header that never ends': (HEADER[:-1] + " a='" + 'v' * 200000, 'policy-violation'),
    'white space that never begins a header': (' ' * 200000 + HEADER, 'policy-violation not-well-formed'),
    'very many namespaces': (HEADER + '<iq %s/>' % ' '.join("xmlns:n%d='u%d'" % (i, i) for i in range(1500)),
                             'policy-violation'),
    'stream error of its own': (HEADER + "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                                "</stream:error><message/>", ''),
}

# Behind a login the limits are higher; they still hold.
AFTER_LOGIN = {
    'too big': ('<message><body>' + 'x' * 5000000, 'policy-violation'),
    'too deep': ('<message>' + '<a>' * 100000, 'policy-violation'),
    'too many attributes': ('<message %s/>' % ' '.join("a%d=''" % i for i in range(20000)), 'policy-violation'),
    'too many elements': ('<message>' + '<a/>' * 300000, 'policy-violation'),
    'not well-formed': ('<message></presence>', 'not-well-formed'),
    'overlong UTF-8': (b'<message><body>\xf0\x80\x80\xaf</body></message>', 'not-well-formed unsupported-encoding'),
    'comment': ('<message><!----></message>', 'restricted-xml'),
    'CDATA that never ends': ('<message><body><![CDATA[' + 'x' * 5000000, 'policy-violation'),
    'route': ("<route to='bob@localhost'/>", 'unsupported-stanza-type policy-violation invalid-namespace'),
    'our own namespace': ("<x xmlns='urn:x-c2sd:connection:0'/>", 'unsupported-stanza-type policy-violation '
                          'invalid-namespace'),
    'framing': ("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>", 'unsupported-stanza-type policy-violation '
                'invalid-namespace'),
}


class Rude(DaemonCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = harness.Daemon(log='info')
        cls.addClassCleanup(cls.daemon.cleanup)
        cls.daemon.start()
        for user in ('alice', 'bob', 'carol'):
            cls.daemon.add_user(user, 'secret')
        cls.alice = cls.daemon.login('alice').available()
        cls.bob = cls.daemon.login('bob').available()

    def send_rudely(self, client, data):
        """The daemon may hang up before it has read everything."""
        try:
            client.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def check_end(self, client, conditions):
        """One of the stream errors, or with none given just an orderly end."""
        conditions = conditions.split()
        client.expect_close()
        errors = [e for e in client.pending if e.name == 'error' and e.namespace == STREAMS]
        if not conditions:
            self.assertFalse(errors)
            return
        self.assertEqual(1, len(errors), 'errors in %r' % bytes(client.received[-600:]))
        names = [child.name for child in errors[0].children if child.namespace == STREAM_ERRORS]
        self.assertTrue(names and names[0] in conditions, errors)
        self.assertTrue(client.stream.closed)

    def check_log(self, port):
        """One line says that this client is gone, and why; besides the one that said that it had logged in."""
        self.daemon.log.wait('client ended .* port=%d ' % port)
        lines = [line for line in self.daemon.log.lines
                 if ' port=%d ' % port in line and 'client logged-in' not in line]
        self.assertEqual(1, len(lines), lines)

    def check_bystanders(self):
        chat(self.alice, self.bob, 'alice@localhost', 'bob@localhost')

    def test_before_login(self):
        for name, (data, conditions) in BEFORE_LOGIN.items():
            with self.subTest(name):
                client = self.daemon.client()
                port = client.socket.getsockname()[1]
                self.send_rudely(client, data)
                self.check_end(client, conditions)
                self.check_bystanders()
                self.check_log(port)

    def test_after_login(self):
        for name, (data, conditions) in AFTER_LOGIN.items():
            with self.subTest(name):
                client = self.daemon.login('carol')
                port = client.socket.getsockname()[1]
                self.send_rudely(client, data)
                self.check_end(client, conditions)
                self.check_bystanders()
                self.check_log(port)

    def test_error_comes_with_a_header(self):
        client = self.daemon.client()
        client.send('<x>')
        client.expect_header()
        self.assertEqual('stream', client.stream.header.name)
        client.expect_close()

    def test_limits_before_login_are_small(self):
        client = self.daemon.client().open()
        self.send_rudely(client, '<iq>' + 'x' * 11000)
        client.expect_stream_error('policy-violation')

    def test_a_message_of_a_decent_size_is_fine(self):
        self.alice.message('bob@localhost', 'x' * 20000)
        self.bob.expect_message('x' * 20000)

    def test_nothing_leaks(self):
        """After all the floods a worker is as small as it was before, in descriptors."""
        before = {pid: len(self.descriptors(pid)) for pid in self.daemon.worker_pids()}
        for _ in range(50):
            client = self.daemon.client()
            self.send_rudely(client, '<stream:stream')
            client.reset()
        for _ in range(2):
            client = self.daemon.client().open()
            client.leave()
        self.daemon.status()
        self.assertEqual(before, {pid: len(self.descriptors(pid)) for pid in before})

    def descriptors(self, pid):
        return os.listdir('/proc/%d/fd' % pid)


class Polite(DaemonCase):
    def setUp(self):
        self.daemon = self.start(users=('alice', 'bob', 'carol'))

    def test_goodbye_is_answered(self):
        self.daemon.login('alice').leave()
        self.daemon.client().open().leave()

    def test_higher_version_is_answered_with_ours(self):
        """RFC 6120 4.7.5: whichever is lower."""
        self.assertEqual('1.0', self.daemon.client().open(version='2.0').stream.header.get('version'))

    def test_half_closed_connection(self):
        client = self.daemon.login('alice')
        client.socket.shutdown(socket.SHUT_WR)
        client.expect_close()

    def test_white_space_keeps_alive(self):
        alice, bob = self.daemon.login('alice').available(), self.daemon.login('bob').available()
        for space in (' ', '\n', ' \t\r\n' * 1000):
            alice.send(space)
            chat(alice, bob, 'alice@localhost', 'bob@localhost')

    def test_cdata_and_character_references(self):
        alice, bob = self.daemon.login('alice').available(), self.daemon.login('bob').available()
        alice.send("<message to='bob@localhost'><body><![CDATA[<a&b>]]>&#x263a;&amp;&quot;</body></message>")
        self.assertEqual('<a&b>\u263a&"', bob.expect('message').child_text('body'))

    def test_prefixes_of_the_header(self):
        client = self.daemon.client()
        client.send("<s:stream xmlns:s='%s' xmlns='jabber:client' xmlns:x='urn:x' to='localhost' version='1.0'>"
                    % STREAMS)
        client.expect_header()
        client.expect('features')
        client.login('alice').available()
        client.send("<message to='alice@localhost'><x:y x:a='1'/><body>mine</body></message>")
        message = client.expect_message('mine')
        self.assertEqual('1', message.child('y', 'urn:x').get('urn:x a'))

    def test_language_of_the_header(self):
        alice = self.daemon.client()
        alice.open(extra="xml:lang='de'")
        alice.login('alice').available()
        alice.message('alice@localhost', 'Guten Tag')
        self.assertEqual('de', alice.expect_message('Guten Tag').get('http://www.w3.org/XML/1998/namespace lang'))

    def test_prefixed_stanzas(self):
        client = self.daemon.client()
        client.send("<s:stream xmlns:s='%s' xmlns:c='jabber:client' xmlns='jabber:client' to='localhost' "
                    "version='1.0'>" % STREAMS)
        client.expect('features')
        client.login('alice').available()
        client.send("<c:message to='alice@localhost'><c:body>prefixed</c:body></c:message>")
        self.assertEqual('jabber:client', client.expect_message('prefixed').namespace)

    def test_conversation_cut_at_every_byte(self):
        """A connection that breaks off anywhere is harmless; one that comes in pieces is as good as one that does
        not."""
        # What came of a session that had been replaced comes back in a 510, to nobody.
        self.daemon.may_drop = True
        text = (HEADER + LOGIN + '<presence/>' + "<message to='carol@localhost'><body>&lt;\u00e4</body></message>" +
                '</stream:stream>').encode()
        for cut in range(0, len(text) + 1):
            client = self.daemon.client()
            client.send(text[:cut])
            client.reset() if cut % 2 else client.close()
        # With a resource of its own: a cut connection's login may be on its way yet, and would replace it.
        text = text.replace(b'<resource>r<', b'<resource>whole<').replace(b'carol@localhost', b'carol@localhost/whole')
        client = self.daemon.client()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        login_end = text.index(b'<presence')
        for byte in text[:login_end]:
            client.send(bytes([byte]))
        client.expect('iq')
        for byte in text[login_end:text.index(b'</stream')]:
            client.send(bytes([byte]))
        client.expect_message('<\u00e4')
        client.leave()
        chat(self.daemon.login('alice').available(), self.daemon.login('bob').available(), 'alice@localhost',
             'bob@localhost')


class Deaf(DaemonCase):
    def test_a_client_that_never_reads(self):
        """It fills its own bound and is ended; the one who writes to it never waits."""
        daemon = self.start(users=('alice', 'bob'), limits={'unsent_bytes': 65536})
        deaf = RawClient(daemon.listeners[0], receive_buffer=4096)
        deaf.open().login('bob').available()
        alice = daemon.login('alice').available()
        since = daemon.log.mark()
        for _ in range(1000):
            alice.message('bob@localhost/home', 'x' * 30000)
            if [line for line in daemon.log.lines[since:] if 'client ended' in line]:
                break
        daemon.log.wait('client ended', since)
        chat(alice, alice, 'alice@localhost', 'alice@localhost')

    def test_a_client_that_reads_nothing_for_long(self):
        """Less than the bound, but for too long."""
        daemon = self.start(users=('alice', 'bob'), limits={'stall_seconds': 1})
        deaf = RawClient(daemon.listeners[0], receive_buffer=4096)
        deaf.open().login('bob').available()
        alice = daemon.login('alice').available()
        since = daemon.log.mark()
        for _ in range(100):
            alice.message('bob@localhost/home', 'x' * 30000)
        daemon.log.wait('client ended', since)
        alice.settle()


class Deadlines(DaemonCase):
    def test_login_takes_too_long(self):
        daemon = self.start(limits={'login_seconds': 1}, users=('alice',))
        silent = daemon.client()
        opened = daemon.client().open()
        dripping = daemon.client()
        dripping.send('<stream:stream')
        alice = daemon.login('alice').available()
        for client in (silent, opened, dripping):
            client.expect_stream_error('connection-timeout')
        alice.settle()

    def test_idle_takes_too_long(self):
        daemon = self.start(limits={'idle_seconds': 2}, users=('alice', 'bob'))
        idle, busy = daemon.login('alice'), daemon.login('bob')
        deadline = harness.Deadline()
        while not idle.ended and deadline.left():
            busy.send(' ')
            busy.settle()
            select.select([idle.socket], [], [], 0.3)
            idle._read(harness.Deadline(0))
        idle.expect_stream_error('connection-timeout', 0)
        busy.settle()


class Listeners(DaemonCase):
    def test_several_addresses(self):
        addresses = ['127.0.0.1', '127.0.0.2'] + (['::1'] if has_ipv6() else [])
        daemon = self.start(listen=addresses, users=('alice',))
        for listener in daemon.listeners:
            client = RawClient(listener)
            client.open().login('alice', resource=re.sub(r'\W', '-', listener[0])).available()
            client.leave()

    def test_header_without_a_host(self):
        """It means the only one there is; where there are several it means none."""
        daemon = self.start(users=('alice',))
        client = daemon.client().open(to=None)
        self.assertEqual('localhost', client.stream.header.get('from'))
        client.login('alice')
        daemon = self.start(hosts=('localhost', 'example.net'))
        daemon.client().open(to=None, wait=False).expect_stream_error('host-unknown')

    def test_several_hosts(self):
        daemon = self.start(hosts=('localhost', 'example.net'), users=('alice',))
        daemon.add_user('alice', 'other', host='example.net')
        client = daemon.client().open(to='example.net')
        self.assertEqual('example.net', client.stream.header.get('from'))
        self.assertEqual('error', client.try_login('alice', 'secret', 'home').get('type'))
        client.login('alice', 'other').available()
        client.message('alice@localhost', 'from next door')
        daemon.login('alice').available().expect_message('from next door')


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(('::1', 0))
        return True
    except OSError:
        return False


if __name__ == '__main__':
    harness.main()
