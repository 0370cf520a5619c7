#!/usr/bin/env python3
"""SCRAM bound to the channel (RFC 5802, RFC 9266, RFC 5929, XEP-0440) through the whole daemon: what the client has of
its TLS connection is what the worker told the session manager of the other end of it."""
import base64
import socket
import ssl

import harness
from harness import TIMEOUT, Daemon, DaemonCase, RawClient
from scram import Scram
from xmlstream import SASL, XmlStream

try:
    from OpenSSL import SSL
except ImportError:
    harness.skip_file('pyOpenSSL is not installed (packages.txt)')

BIND = 'urn:ietf:params:xml:ns:xmpp-bind'
CHANNEL_BINDING = 'urn:xmpp:sasl-cb:0'
EXPORTER, END_POINT = 'tls-exporter', 'tls-server-end-point'
TYPES = [EXPORTER, END_POINT]
MECHANISMS = {'SCRAM-SHA-256': 'sha256', 'SCRAM-SHA-1': 'sha1'}
PLUS = [name + '-PLUS' for name in MECHANISMS]
VERSIONS = {'1.2': SSL.TLS1_2_VERSION, '1.3': SSL.TLS1_3_VERSION}
NO_EXTENDED_MASTER_SECRET = 1   # SSL_OP_NO_EXTENDED_MASTER_SECRET


def client_context(version='1.3', ciphers=None, options=0):
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(VERSIONS[version])
    context.set_max_proto_version(VERSIONS[version])
    context.set_options(options)
    if ciphers:
        context.set_cipher_list(ciphers)
    return context


def binding_data(connection, kind):
    """The client's view. Our certificates are signed with SHA-256."""
    if kind == EXPORTER:
        return connection.export_keying_material(b'EXPORTER-Channel-Binding', 32, b'')
    return bytes.fromhex(connection.get_peer_certificate().digest('sha256').decode().replace(':', ''))


class Secured:
    """A TLS connection of pyOpenSSL with what Peer wants of a socket of the module ssl."""

    def __init__(self, sock, context, session=None):
        sock.setblocking(True)  # pyOpenSSL knows no time limit; SO_RCVTIMEO does
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, int(TIMEOUT).to_bytes(8, 'little') + bytes(8))
        self.socket = sock
        self.connection = SSL.Connection(context, sock)
        self.connection.set_tlsext_host_name(b'localhost')
        if session:
            self.connection.set_session(session)
        self.connection.set_connect_state()
        self.connection.do_handshake()
        sock.setblocking(False)

    def fileno(self):
        return self.socket.fileno()

    def send(self, data):
        try:
            return self.connection.send(data)
        except SSL.WantWriteError:
            raise ssl.SSLWantWriteError from None

    def recv(self, size):
        try:
            return self.connection.recv(size)
        except SSL.WantReadError:
            raise ssl.SSLWantReadError from None
        except SSL.ZeroReturnError:
            return b''
        except SSL.SysCallError:
            raise ConnectionResetError from None

    def close(self):
        self.socket.close()


class Client(RawClient):
    """With what it takes to log in by SCRAM."""

    def secure(self, context=None, name='localhost', session=None):
        self.socket = Secured(self.socket, context or client_context(), session)
        self.stream = XmlStream()
        self.pending = []
        return self

    @property
    def tls(self):
        return self.socket.connection

    def offered(self):
        return [child.text for child in self.features.child('mechanisms', SASL).children]

    def types_offered(self):
        bindings = self.features.child('sasl-channel-binding', CHANNEL_BINDING)
        return bindings and [child.get('type') for child in bindings.children]

    def say(self, name, message, attributes=''):
        """The answer's element, and what it says."""
        self.send("<%s xmlns='%s'%s>%s</%s>" % (name, SASL, attributes, base64.b64encode(message).decode(), name))
        answer = self.expect(lambda e: e.namespace == SASL)
        return answer, base64.b64decode(answer.text)

    def scram(self, mechanism, kind=None, flag=b'n', binding=None, password='secret'):
        """kind: the channel binding's type; its data are those of this connection, or `binding`. The last answer."""
        if kind:
            flag = b'p=' + kind.encode()
            binding = binding_data(self.tls, kind) if binding is None else binding
        scram = Scram(MECHANISMS[mechanism.removesuffix('-PLUS')], 'alice', password, flag, binding or b'')
        answer, said = self.say('auth', scram.first(), " mechanism='%s'" % mechanism)
        if answer.name != 'challenge':
            return answer
        answer, said = self.say('response', scram.final(said))
        if answer.name == 'success' and not scram.is_servers(said):
            raise AssertionError('the server does not know the password: %r' % said)
        return answer

    def log_in(self, mechanism, kind=None, **arguments):
        answer = self.scram(mechanism, kind, **arguments)
        if answer.name != 'success':
            raise AssertionError('%s with %s: %r' % (mechanism, kind, answer))
        self.open()
        answer = self.iq('set', "<bind xmlns='%s'/>" % BIND)
        if answer.get('type') != 'result':
            raise AssertionError('not bound: %r' % answer)
        self.settle()
        return self


class BindingCase(DaemonCase):
    def begin(self, tls='both', limits=None, **arguments):
        self.daemon = self.start(users=('alice',), tls=tls, limits=dict(limits or {}, login_attempts=50), **arguments)
        return self.daemon

    def client(self, way='direct', context=None, session=None):
        client = Client(self.daemon.listeners[0])
        self.addCleanup(client.close)
        if way == 'none':
            return client.open()
        if way == 'direct':
            return client.secure(context, session=session).open()
        return client.open().starttls(context, session=session)

    def resumed(self):
        return sum(worker['resumed'] for worker in self.daemon.status()['workers'])

    def assert_failure(self, answer, condition):
        self.assertEqual('failure', answer.name, answer)
        self.assertIsNotNone(answer.child(condition, SASL), answer)


class Bound(BindingCase):
    def test_everywhere(self):
        """Each way, version, mechanism and type; each with a ticket of the one before, but the first."""
        self.begin()
        resumed = 0
        for way in ('direct', 'starttls'):
            for version in VERSIONS:
                context, session = client_context(version), None
                for mechanism in PLUS:
                    for kind in TYPES:
                        for _ in range(1 if session else 2):
                            with self.subTest(way=way, version=version, mechanism=mechanism, kind=kind):
                                client = self.client(way, context, session)
                                resumed += session is not None
                                self.assertEqual([*PLUS, *MECHANISMS, 'PLAIN'], client.offered())
                                self.assertEqual(TYPES, client.types_offered())
                                client.log_in(mechanism, kind)
                                session = client.tls.get_session()
        self.assertEqual(resumed, self.resumed())

    def test_without_extended_master_secret(self):
        """Where others may have the same secret there is no exporter (RFC 9266 section 3)."""
        self.begin()
        client = self.client(context=client_context('1.2', options=NO_EXTENDED_MASTER_SECRET))
        self.assertEqual([END_POINT], client.types_offered())
        self.assertEqual(PLUS, client.offered()[:2])
        self.assert_failure(client.scram(PLUS[0], EXPORTER), 'malformed-request')
        client.log_in(PLUS[0], END_POINT)

    def test_certificates_of_two_kinds(self):
        """The end point is the one that was shown: to who resumes, in the handshake that made its ticket."""
        self.daemon = Daemon(tls='both', limits={'login_attempts': 50})
        self.addCleanup(self.daemon.cleanup)
        rsa = harness.make_certificate(self.daemon.folder, 'rsa.pem', ('localhost',), key='rsa')
        self.daemon.certificates.append(rsa)
        self.daemon.start()
        self.daemon.add_user('alice', 'secret')
        shown = set()
        for version, ciphers in (('1.2', b'ECDHE+ECDSA'), ('1.2', b'ECDHE+aRSA'), ('1.3', None)):
            context, session = client_context(version, ciphers), None
            for ticket in ('none', 'first', 'of a resumed one'):
                with self.subTest(version=version, ciphers=ciphers, ticket=ticket):
                    client = self.client('direct', context, session)
                    client.log_in(PLUS[0], END_POINT)
                    session = client.tls.get_session()
                    shown.add(binding_data(client.tls, END_POINT))
        self.assertEqual((2, 6), (len(shown), self.resumed()))


class Refused(BindingCase):
    def setUp(self):
        self.begin(tls_options={'required': 'no'})

    def test_other_data(self):
        """The stream lives on, and what is right is taken."""
        for kind in TYPES:
            client = self.client()
            data = binding_data(client.tls, kind)
            for wrong in (b'', bytes(32), data[:-1], data + b'\0', bytes([data[0] ^ 1]) + data[1:]):
                for mechanism in PLUS:
                    with self.subTest(kind=kind, mechanism=mechanism, length=len(wrong)):
                        self.assert_failure(client.scram(mechanism, kind, binding=wrong), 'not-authorized')
            self.assert_failure(client.scram(PLUS[0], kind, password='wrong'), 'not-authorized')
            client.log_in(PLUS[0], kind)

    def test_data_of_another_connection(self):
        """Of the same client: a connection beside it, and the one that its ticket is of."""
        for version in VERSIONS:
            with self.subTest(version=version):
                context = client_context(version)
                one = self.client(context=context)
                two = self.client(context=context)
                again = self.client(context=context, session=one.tls.get_session())
                data = [binding_data(client.tls, EXPORTER) for client in (one, two, again)]
                self.assertEqual(3, len(set(data)))
                for client, other in ((one, 1), (two, 0), (again, 0)):
                    self.assert_failure(client.scram(PLUS[0], EXPORTER, binding=data[other]), 'not-authorized')
                    client.log_in(PLUS[0], EXPORTER)
        self.assertEqual(len(VERSIONS), self.resumed())

    def test_data_of_the_other_type(self):
        client = self.client()
        for kind, other in zip(TYPES, reversed(TYPES)):
            self.assert_failure(client.scram(PLUS[0], kind, binding=binding_data(client.tls, other)), 'not-authorized')
        client.log_in(PLUS[0], END_POINT)

    def test_flag_and_mechanism(self):
        """y: the client could, and believes that we cannot. Somebody has told it so."""
        client = self.client('starttls')
        for mechanism in MECHANISMS:
            self.assert_failure(client.scram(mechanism, flag=b'y'), 'mechanism-too-weak')
            self.assert_failure(client.scram(mechanism, EXPORTER), 'malformed-request')
            for flag in (b'y', b'n'):
                self.assert_failure(client.scram(mechanism + '-PLUS', flag=flag), 'malformed-request')
        client.log_in('SCRAM-SHA-1', flag=b'n')

    def test_man_in_the_middle(self):
        """He has a certificate that the client believes, and carries what both say from one connection to the other."""
        outer = self.outer()
        inner = self.client()
        for kind in TYPES:
            for mechanism in PLUS:
                data = binding_data(outer, kind)
                self.assertNotEqual(binding_data(inner.tls, kind), data)
                self.assert_failure(inner.scram(mechanism, kind, binding=data), 'not-authorized')

    def outer(self):
        """The client's end of a connection that ends at him."""
        path = harness.make_certificate(self.daemon.folder, 'his.pem', ('localhost',))
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_file(path)
        context.use_privatekey_file(path)
        ends = SSL.Connection(client_context(), None), SSL.Connection(context, None)
        ends[0].set_connect_state()
        ends[1].set_accept_state()
        for _ in range(3):
            for end, other in (ends, ends[::-1]):
                try:
                    end.do_handshake()
                except SSL.WantReadError:
                    pass
                try:
                    other.bio_write(end.bio_read(65536))
                except SSL.WantReadError:
                    pass
        return ends[0]


class Unknown(BindingCase):
    def test_types_that_nobody_offers(self):
        """No password was judged: the address has not failed, until one was."""
        self.begin(limits={'login_failures': 1})
        client = self.client(context=client_context('1.2'))
        for kind in ('tls-unique', 'TLS-EXPORTER', 'x'):
            self.assert_failure(client.scram(PLUS[0], kind, binding=client.tls.get_finished()), 'malformed-request')
        client.log_in(PLUS[0], EXPORTER)
        client = self.client()
        self.assert_failure(client.scram(PLUS[0], EXPORTER, binding=bytes(32)), 'not-authorized')
        client.expect_stream_error('policy-violation')


class Without(BindingCase):
    def assert_not_offered(self, client):
        self.assertEqual(list(MECHANISMS), client.offered())
        self.assertIsNone(client.types_offered())

    def test_without_tls(self):
        """There y is no lie."""
        self.begin(tls='none')
        client = self.client('none')
        self.assert_not_offered(client)
        self.assert_failure(client.scram(PLUS[0], EXPORTER, binding=bytes(32)), 'invalid-mechanism')
        client.log_in('SCRAM-SHA-256', flag=b'y')

    def test_optional_tls(self):
        """Not in the first stream; in the second, and a login by SCRAM without it would have done as well."""
        self.begin(tls='starttls', tls_options={'required': 'no'})
        client = self.client('none')
        self.assert_not_offered(client)
        self.assert_failure(client.scram(PLUS[0], END_POINT, binding=bytes(32)), 'invalid-mechanism')
        client.starttls(client_context())
        self.assertEqual(PLUS, client.offered()[:2])
        self.assertEqual(TYPES, client.types_offered())
        self.assert_failure(client.scram('SCRAM-SHA-1', flag=b'y'), 'mechanism-too-weak')
        client.log_in(PLUS[0], EXPORTER)
        self.client('none').log_in('SCRAM-SHA-1', flag=b'y')

    def test_sfrom(self):
        """c2sd's own SASL knows PLAIN only."""
        self.begin(embedded={'dialect': 'sfrom'})
        client = self.client()
        self.assertEqual(['PLAIN'], client.offered())
        self.assertIsNone(client.types_offered())
        for mechanism in (PLUS[0], 'SCRAM-SHA-1'):
            self.assert_failure(client.scram(mechanism), 'invalid-mechanism')


if __name__ == '__main__':
    harness.main()
