#!/usr/bin/env python3
"""Behind proxies: headers of the PROXY protocol made by hand, by haproxy and by nginx; whose client it is then, everywhere."""
import json
import os
import re
import select
import shutil
import socket
import ssl
import struct
import subprocess

import harness
from harness import Daemon, DaemonCase, Deadline, Output, RawClient, chat, free_port, tls_context
from xmlstream import XmlStream

SIGNATURE = b'\r\n\r\n\0\r\nQUIT\n'
HERE = '127.0.0.1'
NOBODY = '127.0.0.9'    # no proxy of ours
HAPROXY = shutil.which('haproxy') or shutil.which('haproxy', path='/usr/sbin')
NGINX = shutil.which('nginx') or shutil.which('nginx', path='/usr/sbin')
NGINX_STREAM = '/usr/lib/nginx/modules/ngx_stream_module.so'


def line(address='192.0.2.7', port=12345, destination=None):
    """Version 1."""
    six = ':' in address
    return ('PROXY TCP%d %s %s %d 5222\r\n' % (6 if six else 4, address, destination or ('::1' if six else '192.0.2.1'),
                                               port)).encode()


def binary(address='192.0.2.7', port=12345, command=1, tlvs=b''):
    """Version 2."""
    family, code = (socket.AF_INET6, 0x21) if ':' in address else (socket.AF_INET, 0x11)
    body = socket.inet_pton(family, address) * 2 + struct.pack('>HH', port, 5222) + tlvs
    return SIGNATURE + bytes((0x20 | command, code)) + struct.pack('>H', len(body)) + body


LOCAL = SIGNATURE + b'\x20\0\0\0'
UNKNOWN = b'PROXY UNKNOWN\r\n'
STREAM = (b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
          b"to='localhost' version='1.0'>")


class Behind(RawClient):
    """A client whose bytes come through a proxy, which is us."""

    def __init__(self, address, header=b'', source=None):
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(harness.TIMEOUT)
        if source:
            sock.bind((source, 0))
        sock.connect(address)
        super(RawClient, self).__init__(sock)
        self.features = None
        if header:
            self.send(header)

    def greeted(self):
        self.expect_header()
        self.features = self.expect('features')
        return self


class Secure(Behind):
    """The same with TLS, whose bytes go where and when we say."""

    def secure(self, header=b'', step=None):
        """The handshake, with a header in front of the ClientHello, in the same segment or cut every `step` bytes."""
        self.stream = XmlStream()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = tls_context().wrap_bio(self.incoming, self.outgoing, server_hostname='localhost')
        while True:
            try:
                self.tls.do_handshake()
                self._send_raw(self.outgoing.read())
                return self
            except ssl.SSLWantReadError:
                data, header = header + self.outgoing.read(), b''
                for at in range(0, len(data), step or len(data)):
                    self._send_raw(data[at:at + (step or len(data))])
                if not self._receive(Deadline()):
                    raise AssertionError('the connection has ended') from None

    def _send_raw(self, data):
        super().send(data)

    def send(self, data):
        if not hasattr(self, 'tls'):
            super().send(data)
            return
        self.tls.write(data.encode() if isinstance(data, str) else data)
        self._send_raw(self.outgoing.read())

    def _receive(self, deadline):
        if not select.select([self.socket], [], [], deadline.left())[0]:
            return False
        data = self.socket.recv(65536)
        self.incoming.write(data)
        self.ended = not data
        return bool(data)

    def _read(self, deadline):
        if not hasattr(self, 'tls'):
            return super()._read(deadline)
        try:
            plain = self.tls.read(65536)
        except ssl.SSLWantReadError:
            return self._receive(deadline)
        except ssl.SSLError:
            plain = b''
        if plain:
            self.pending += self.stream.feed(plain)
        self.ended = not plain
        return bool(plain)


class ProxyDaemon(Daemon):
    """The first listener is for proxies at 127.0.0.1 only, the second for everybody."""

    def __init__(self, proxies=(HERE,), proxy='yes', **arguments):
        self.proxies = proxies
        self.proxy = proxy
        super().__init__(listen=(HERE, HERE), **arguments)

    def configuration(self):
        text = super().configuration()
        text = text.replace('port="%d"' % self.port, 'port="%d" proxy="%s"' % (self.port, self.proxy))
        return text.replace('</c2sd>', ''.join('  <proxy address="%s"/>\n' % one for one in self.proxies) + '</c2sd>')

    def reload(self):
        path = os.path.join(self.folder, 'c2sd.xml')
        with open(path + '.new', 'w') as file:
            file.write(self.configuration())
        os.chmod(path + '.new', 0o644)
        os.rename(path + '.new', path)
        return self.ctl('reload')

    def sessions(self, *filters):
        """Account -> (address, port)."""
        lines = self.ctl('sessions', '--json', *filters).stdout.splitlines()
        return {session['account']: (session['address'], session['port']) for session in map(json.loads, lines)}


class ProxyCase(DaemonCase):
    def begin(self, users=('alice', 'bob'), **arguments):
        daemon = ProxyDaemon(**dict({'log': 'info'}, **arguments))
        self.addCleanup(daemon.cleanup)
        daemon.start()
        for user in users:
            daemon.add_user(user, 'secret')
        return daemon

    def behind(self, daemon, header=b'', **arguments):
        client = Behind(daemon.listeners[0], header, **arguments)
        self.addCleanup(client.close)
        return client

    def log_in(self, daemon, user, header, resource='home'):
        client = self.behind(daemon, header).open()
        return client.login(user, resource=resource)


class Headers(ProxyCase):
    def test_the_header_says_whose_client_it_is(self):
        daemon = self.begin()
        ways = {'one': (line(), '192.0.2.7', 12345),
                'six': (line('2001:db8::7', 1), '2001:db8::7', 1),
                'mapped': (line('::ffff:192.0.2.8', 65535), '192.0.2.8', 65535),
                'two': (binary('198.51.100.3', 23456), '198.51.100.3', 23456),
                'two-six': (binary('2001:db8::3', 7), '2001:db8::3', 7),
                'tlvs': (binary('198.51.100.4', 8, tlvs=b'\x02\0\x07foo.com\xe0\x0f\0' + 3840 * b'x'), '198.51.100.4', 8)}
        clients = {name: self.log_in(daemon, 'alice', header, name) for name, (header, _, _) in ways.items()}
        found = daemon.sessions()
        for name, (_, address, port) in ways.items():
            self.assertEqual((address, port), found['alice@localhost/' + name])
        self.assertEqual(['alice@localhost/two-six'], list(daemon.sessions('--address', '2001:db8::3')))
        for name, (_, address, port) in ways.items():
            clients[name].leave()
            for verb in ('logged-in', 'ended'):
                daemon.log.wait(r' client %s .*\baddress=%s port=%d\b.* ?account="alice@localhost/%s"' %
                                (verb, re.escape(address), port, name) if verb == 'ended' else
                                r' client logged-in account="alice@localhost/%s" address=%s port=%d\b' %
                                (name, re.escape(address), port))

    def test_what_says_nothing_leaves_the_proxy(self):
        daemon = self.begin()
        for number, header in enumerate((LOCAL, UNKNOWN, b'PROXY UNKNOWN and so on\r\n', binary(command=0),
                                         SIGNATURE + b'\x21\0\0\0', SIGNATURE + b'\x21\x31\0\xd8' + 216 * b'u')):
            client = self.behind(daemon, header)
            address = client.socket.getsockname()
            client.open().login('alice', resource='r%d' % number)
            self.assertEqual(address, daemon.sessions()['alice@localhost/r%d' % number])
            client.leave()

    def test_byte_by_byte(self):
        daemon = self.begin()
        for header in (line(), binary(tlvs=b'\x04\0\x02xx'), LOCAL, UNKNOWN):
            client = self.behind(daemon)
            for byte in header + STREAM:
                client.send(bytes((byte,)))
            client.greeted().login('alice').leave()

    def test_cut_anywhere_with_the_stream_behind_it(self):
        daemon = self.begin()
        for header in (line(), binary('2001:db8::7')):
            together = header + STREAM
            for cut in range(len(header) + 8):
                client = self.behind(daemon)
                if cut > 0:
                    client.send(together[:cut])
                client.send(together[cut:])
                client.greeted().close()

    def test_what_is_no_header(self):
        daemon = self.begin()
        for text, bad in {
                'no-header': (STREAM, b'\x16\x03\x01\0\x05\x01', b'GET / HTTP/1.0\r\n\r\n', b'\0', b'\r\n\r\n\r\n', b'PROXY\t'),
                'bad-line': (b'PROXY TCP4 192.0.2.7 192.0.2.1 012345 5222\r\n', b'PROXY TCP4 192.0.2.7\r\n', b'PROXY \n',
                             line('192.0.2.7', 12345, '::1')),
                'too-long': (b'PROXY UNKNOWN ' + 100 * b'x', SIGNATURE + b'\x21\x11\xff\xff'),
                'bad-version': (SIGNATURE + b'\x31',), 'bad-command': (SIGNATURE + b'\x22',),
                'bad-family': (SIGNATURE + b'\x21\x43',), 'too-short': (SIGNATURE + b'\x21\x11\0\x04',),
                'bad-tlv': (binary(tlvs=b'\x04\0'), binary(tlvs=b'\x04\0\x01')),
                'bad-checksum': (binary(tlvs=b'\x03\0\x04\0\0\0\0'),)}.items():
            for header in bad:
                with self.subTest(text, header=header):
                    since = daemon.log.mark()
                    client = self.behind(daemon, header)
                    client.expect_close()
                    self.assertEqual(b'', bytes(client.received))
                    client.close()
                    daemon.log.wait(r' client ended reason=proxy-failed text="%s" address=127\.0\.0\.1 port=\d+ in=0 out=0 '
                                    % text, since)
        self.log_in(daemon, 'alice', line()).leave()

    def test_a_header_takes_no_longer_than_a_handshake(self):
        daemon = self.begin(limits={'handshake_seconds': 1})
        for header in (b'', b'PROXY TCP4 192.', binary()[:20]):
            since = daemon.log.mark()
            self.behind(daemon, header).expect_close()
            daemon.log.wait(r' client ended reason=handshake-timeout .*text="no PROXY header" address=127\.0\.0\.1 ', since)

    def test_an_ordinary_listener_knows_no_header(self):
        daemon = self.begin()
        for header in (line(), binary()):
            client = Behind(daemon.listeners[1], header)
            self.addCleanup(client.close)
            client.expect_stream_error('not-well-formed')
        alice = Behind(daemon.listeners[1]).open().login('alice')
        self.assertEqual(alice.socket.getsockname(), daemon.sessions()['alice@localhost/home'])
        alice.leave()


class Tls(ProxyCase):
    HEADERS = {'one': line(), 'two': binary(tlvs=b'\x20\0\x05\x01\0\0\0\0')}

    def begin(self, tls, **arguments):
        daemon = ProxyDaemon(tls=tls, log='info', **arguments)
        self.addCleanup(daemon.cleanup)
        path = os.path.join(daemon.folder, 'certificate.pem')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                        '-days', '30', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', path,
                        '-out', path + '.chain'], check=True, capture_output=True)
        for name in (path, path + '.chain'):
            os.chmod(name, 0o644)
        daemon.extra += '  <certificate chain="%s" key="%s"/>\n' % (path + '.chain', path)
        daemon.start()
        daemon.add_user('alice', 'secret')
        return daemon

    def connect(self, daemon, header=b''):
        client = Secure(daemon.listeners[0], header)
        self.addCleanup(client.close)
        return client

    def check(self, daemon, client):
        client.open().login('alice')
        self.assertEqual(('192.0.2.7', 12345), daemon.sessions()['alice@localhost/home'])
        client.leave()
        client.close()

    def test_direct(self):
        for tls in ('direct', 'both'):
            daemon = self.begin(tls)
            for name, header in self.HEADERS.items():
                with self.subTest(tls, name=name):
                    self.check(daemon, self.connect(daemon).secure(header))
                    self.check(daemon, self.connect(daemon, header).secure())
                    self.check(daemon, self.connect(daemon).secure(header, step=1))

    def test_in_the_stream(self):
        for tls in ('starttls', 'both'):
            daemon = self.begin(tls)
            for name, header in self.HEADERS.items():
                with self.subTest(tls, name=name):
                    client = self.connect(daemon, header + STREAM).greeted()
                    client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
                    client.expect('proceed')
                    self.check(daemon, client.secure())

    def test_no_header_behind_starttls(self):
        daemon = self.begin('starttls')
        client = self.connect(daemon, line() + STREAM).greeted()
        client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        client.expect('proceed')
        client.send(line('192.0.2.8'))
        client.expect_close()
        daemon.log.wait(r' client ended reason=tls-failed .*address=192\.0\.2\.7 port=12345 ')

    def test_tls_is_no_header(self):
        daemon = self.begin('direct')
        with self.assertRaises((AssertionError, ConnectionResetError)):
            self.connect(daemon).secure()
        daemon.log.wait(r' client ended reason=proxy-failed text="no-header" address=127\.0\.0\.1 ')

    def test_no_tls_behind_a_header(self):
        daemon = self.begin('direct')
        self.connect(daemon, line() + STREAM).expect_close()
        daemon.log.wait(r' client ended reason=tls-failed .*address=192\.0\.2\.7 port=12345 ')


class Trust(ProxyCase):
    def test_who_is_no_proxy_is_refused(self):
        daemon = self.begin()
        for header in (b'', line(), STREAM):
            client = self.behind(daemon, header, source=NOBODY)
            client.expect_close()
            self.assertEqual(b'', bytes(client.received))
        daemon.log.wait(r' warning: address 127\.0\.0\.9 refused reason=untrusted$')
        self.log_in(daemon, 'alice', line()).leave()
        self.assertEqual(1, len(daemon.log.wait('reason=untrusted')))
        self.assertFalse([text for text in daemon.log.lines if ' client ended ' in text and NOBODY in text])

    def test_a_reload_changes_who_is_trusted(self):
        daemon = self.begin()
        alice = self.log_in(daemon, 'alice', line())
        daemon.proxies = ('192.0.2.0/24', '127.0.0.8/29')
        daemon.reload()
        self.behind(daemon, line()).expect_close()
        bob = self.behind(daemon, binary(), source=NOBODY).open().login('bob')
        chat(alice, bob, 'alice@localhost/home', 'bob@localhost/home')
        self.assertEqual({'alice@localhost/home': ('192.0.2.7', 12345), 'bob@localhost/home': ('192.0.2.7', 12345)},
                         daemon.sessions())
        daemon.proxies, daemon.proxy = (), 'no'
        daemon.reload()
        carol = self.behind(daemon).open().login('alice', resource='direct')
        self.assertEqual(carol.socket.getsockname(), daemon.sessions()['alice@localhost/direct'])
        for client in (alice, bob, carol):
            client.leave()

    def test_a_listener_needs_proxies(self):
        daemon = self.begin()
        daemon.proxies = ()
        path = os.path.join(daemon.folder, 'other.xml')
        with open(path, 'w') as file:
            file.write(daemon.configuration())
        result = subprocess.run([harness.program('master/c2sd'), '-t', '-c', path], capture_output=True, text=True)
        self.assertEqual(1, result.returncode)
        self.assertIn('other.xml:2: listen proxy: needs a <proxy address="..."/>', result.stderr)

    def test_limits_of_an_address_are_those_of_the_client(self):
        daemon = self.begin(limits={'address_connections': 2})
        first = [self.behind(daemon, line(port=port)).open() for port in (1, 2)]
        other = self.behind(daemon, line('192.0.2.8')).open()
        third = self.behind(daemon, binary(port=3))
        third.expect_close()
        daemon.log.wait(r' warning: address 192\.0\.2\.7 refused reason=address$')
        first[0].leave()
        # Its worker is done with it before the master has counted that.
        deadline = Deadline()
        while daemon.status()['clients'] != 2:
            self.assertGreater(deadline.left(), 0)
        self.behind(daemon, line(port=4)).open().login('alice').leave()
        # Those of the proxy itself are nobody's.
        checks = [self.behind(daemon, LOCAL).open() for _ in range(4)]
        for client in checks + [other, first[1]]:
            client.leave()

    def test_denied_is_the_client(self):
        daemon = self.begin(extra='<deny address="192.0.2.0/24"/>')
        self.behind(daemon, line()).expect_close()
        daemon.log.wait(r' warning: address 192\.0\.2\.7 refused reason=denied$')
        daemon.log.wait(r' client ended reason=refused .*address=192\.0\.2\.7 port=12345 ')
        self.behind(daemon, line('198.51.100.7')).open().login('alice').leave()

    def test_failed_logins_name_the_client(self):
        daemon = self.begin()
        client = self.behind(daemon, line()).open()
        self.assertEqual('error', client.try_login('alice', 'wrong', 'home').get('type'))
        daemon.log.wait(r' client login-failed address=192\.0\.2\.7 port=12345 account="alice@localhost" ')
        client.leave()


class Checks(ProxyCase):
    def test_health_checks_are_no_news(self):
        daemon = self.begin(log='debug')
        since = daemon.log.mark()
        for number in range(12):
            client = self.behind(daemon, (b'', LOCAL)[number % 2])
            if number % 4 < 2:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            client.close()
        # And version 1's way, in which the proxy names itself.
        client = self.behind(daemon)
        client.send(line(HERE, client.socket.getsockname()[1]))
        client.close()
        daemon.log.wait(r' client checked address=127\.0\.0\.1 port=\d+$', since, count=13)
        self.log_in(daemon, 'alice', line()).leave()
        daemon.log.wait(' client ended reason=closed ', since)
        self.assertEqual([], [text for text in daemon.log.lines[since:] if '127.0.0.1' in text and ' checked ' not in text])
        # Half a header is no check.
        self.behind(daemon, line()[:9]).close()
        daemon.log.wait(' client ended reason=lost address=127', since)


class RealProxy(ProxyCase):
    """A client on 127.0.0.5 through the real thing on 127.0.0.1."""

    def run_proxy(self, command, ready):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   preexec_fn=harness._die_with_parent)

        def end():
            process.kill()
            process.wait()

        self.addCleanup(end)
        process.output = Output(process.stderr)
        deadline = Deadline()
        while True:
            if process.poll() is not None or deadline.left() == 0:
                raise AssertionError('%s: %s' % (command[0], '\n'.join(process.output.lines)))
            try:
                socket.create_connection(ready, 1, ('127.0.0.7', 0)).close()
                return process
            except OSError:
                pass

    def through(self, port, source='127.0.0.5'):
        client = Behind((HERE, port), source=source)
        self.addCleanup(client.close)
        return client

    def check(self, daemon, port):
        alice = self.through(port).open().login('alice')
        bob = self.through(port, '127.0.0.6').open().login('bob')
        self.assertEqual({'alice@localhost/home': alice.socket.getsockname(),
                          'bob@localhost/home': bob.socket.getsockname()}, daemon.sessions())
        chat(alice, bob, 'alice@localhost/home', 'bob@localhost/home')
        # Two connections for each address, whatever is the proxy's.
        self.through(port).open()
        self.through(port).expect_close()
        daemon.log.wait(r' address 127\.0\.0\.5 refused reason=address$')
        for client in (alice, bob):
            client.leave()
        daemon.log.wait(r' client ended reason=closed address=127\.0\.0\.6 ')

    def configured(self, daemon, name, text):
        path = os.path.join(daemon.folder, name)
        with open(path, 'w') as file:
            file.write(text)
        return path

    @harness.unittest.skipUnless(HAPROXY, 'haproxy is not installed')
    def test_haproxy(self):
        for option in ('send-proxy', 'send-proxy-v2', 'send-proxy-v2 proxy-v2-options crc32c,unique-id,authority'):
            with self.subTest(option):
                daemon = self.begin(limits={'address_connections': 2}, log='debug')
                since = daemon.log.mark()
                port = free_port()
                path = self.configured(daemon, 'haproxy.cfg', (
                    'defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n'
                    'listen xmpp\n  bind 127.0.0.1:%d\n  server c2sd 127.0.0.1:%d %s check inter 20ms\n') %
                    (port, daemon.port, option))
                process = self.run_proxy([HAPROXY, '-db', '-f', path], (HERE, port))
                daemon.log.wait(r' client checked address=127\.0\.0\.1 ', since, count=5)
                self.check(daemon, port)
                self.assertFalse([text for text in process.output.lines if 'DOWN' in text])
                self.assertFalse([text for text in daemon.log.lines[since:] if ' ended ' in text and 'address=127.0.0.1 ' in text])

    @harness.unittest.skipUnless(NGINX and os.path.exists(NGINX_STREAM), 'nginx, or its module stream, is not installed')
    def test_nginx(self):
        daemon = self.begin(limits={'address_connections': 2})
        port = free_port()
        path = self.configured(daemon, 'nginx.conf', (
            'load_module %s;\ndaemon off;\npid %s/nginx.pid;\nerror_log stderr;\nworker_processes 1;\nevents {}\n'
            'stream { server { listen 127.0.0.1:%d; proxy_pass 127.0.0.1:%d; proxy_protocol on; } }\n') %
            (NGINX_STREAM, daemon.folder, port, daemon.port))
        self.run_proxy([NGINX, '-e', 'stderr', '-p', daemon.folder, '-c', path], (HERE, port))
        self.check(daemon, port)


if __name__ == '__main__':
    harness.main()
