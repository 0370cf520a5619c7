#!/usr/bin/env python3
"""What bounds a client, through the real daemon: one below, at it, and one above, cut in any way, before and after login;
what it is told, what is logged and counted; and who sends too much, who is not read for a while, and loses nothing."""
import re
import select

import harness
from harness import DaemonCase, RawClient, chat
from test_reload import Configuration
from xmlstream import STREAMS

LIMITS = 'urn:xmpp:stream-limits:0'
ERRORS = 'urn:xmpp:errors'
HEADER = "<stream:stream xmlns='jabber:client' xmlns:stream='%s' to='localhost' version='1.0'>" % STREAMS
GET = "<iq type='get' id='g'><query xmlns='jabber:iq:register'/></iq>"


def header(length):
    return HEADER[:-1] + " a='%s'>" % ('x' * (length - len(HEADER) - len(" a=''")))


def login(length, elements=0):
    """A question of before login, of so many bytes and elements."""
    text = "<iq type='get' id='l'><query xmlns='jabber:iq:register'>%s~</query></iq>" % ('<x/>' * max(0, elements - 2))
    return text.replace('~', 'x' * max(0, length - len(text) + 1))


def stanza(length):
    text = "<message to='bob@localhost' id='s'><body>~</body></message>"
    return text.replace('~', 'x' * (length - len(text) + 1))


def nested(depth):
    return "<message to='bob@localhost' id='s'>%s%s</message>" % ('<x>' * (depth - 1), '</x>' * (depth - 1))


def attributed(count):
    return "<message to='bob@localhost' id='s' %s/>" % ' '.join("a%d=''" % i for i in range(count - 2))


def filled(elements):
    return "<message to='bob@localhost' id='s'>%s</message>" % ('<x/>' * (elements - 1))


# limit: its value here, what is sent (of a size) and whether that is after login, and what the client is told beside
# policy-violation.
CASES = {
    'header-bytes': (300, header, False, None),
    'login-bytes': (400, login, False, 'stanza-too-big'),
    'login-elements': (8, lambda count: login(0, count), False, None),
    'stanza-bytes': (10000, stanza, True, 'stanza-too-big'),
    'elements': (20, filled, True, None),
    'depth': (10, nested, True, None),
    'attributes': (9, attributed, True, None),
}


class Limits(DaemonCase):
    @classmethod
    def setUpClass(cls):
        limits = {name: case[0] for name, case in CASES.items()}
        cls.daemon = harness.Daemon(log='info', limits=dict(limits, **{'login-total-bytes': 2000}))
        cls.addClassCleanup(cls.daemon.cleanup)
        cls.daemon.start()
        for user in ('alice', 'bob'):
            cls.daemon.add_user(user, 'secret')
        cls.bob = cls.daemon.login('bob').available()

    def say(self, client, data, piece):
        for i in range(0, len(data), piece):
            try:
                client.send(data[i:i + piece])
            except (BrokenPipeError, ConnectionResetError):
                return

    def meet(self, after, data, piece):
        """A client that has sent that."""
        client = RawClient(('127.0.0.1', self.daemon.port))
        if after:
            client.open().login('alice')
        elif not data.startswith('<stream'):
            client.open()
        self.say(client, data, piece)
        return client

    def check_taken(self, name, after, data, piece):
        client = self.meet(after, data, piece)
        if after:
            self.bob.expect(lambda e: e.name == 'message' and e.get('id') == 's')
        elif name == 'header-bytes':
            client.expect_header()
        else:
            client.expect(lambda e: e.name == 'iq' and e.get('id') == 'l')
        client.leave()

    def check_refused(self, name, after, data, piece, detail):
        before = self.daemon.status()['ended']['limits'].get(name, 0)
        client = self.meet(after, data, piece)
        port = client.socket.getsockname()[1]
        error = client.expect_stream_error('policy-violation')
        self.assertEqual(detail, next((c.name for c in error.children if c.namespace == ERRORS), None))
        client.close()
        line = self.daemon.log.wait('client ended reason=stream-error limit=%s condition=policy-violation .*port=%d '
                                    % (name, port))
        self.assertTrue(line)
        lines = [line for line in self.daemon.log.lines if ' port=%d ' % port in line and 'client ended' in line]
        self.assertEqual(1, len(lines), lines)
        self.assertEqual(before + 1, self.daemon.status()['ended']['limits'][name])

    def test_each(self):
        for name, (limit, make, after, detail) in CASES.items():
            for piece in (1, 97, 100000) if limit < 1000 else (1000, 100000):
                with self.subTest(name, piece=piece):
                    for size in (limit - 1, limit):
                        self.check_taken(name, after, make(size), piece)
                    self.check_refused(name, after, make(limit + 1), piece, detail)
        chat(self.bob, self.daemon.login('alice').available(), 'bob@localhost', 'alice@localhost')

    def test_all_before_login(self):
        """White space and questions that are right, each: together they are too much."""
        for what in (' ' * 3000, GET * 40):
            for piece in (1, 97, 100000):
                with self.subTest(what[:10], piece=piece):
                    self.check_refused('login-total-bytes', False, what, piece, None)

    def test_times(self):
        daemon = self.start(['alice'], limits={'login_seconds': 1, 'idle_seconds': 1})
        for client, reason, limit in ((daemon.client(), 'login-timeout', 'login-seconds'),
                                      (daemon.login('alice'), 'idle-timeout', 'idle-seconds')):
            if client.stream.header is None:
                client.open()
            client.expect_stream_error('connection-timeout')
            client.close()
            daemon.log.wait('client ended reason=%s limit=%s ' % (reason, limit))
            ended = daemon.status()['ended']
            self.assertEqual((1, 1), (ended['reasons'][reason], ended['limits'][limit]))
        self.assertEqual(2, daemon.status()['ended']['errors']['connection-timeout'])
        daemon.stop()

    def test_features(self):
        daemon = self.start(['alice'])
        configuration = Configuration(daemon)
        for limits, expected in (({}, ('262144', None)), ({'stanza_bytes': 20000}, ('20000', None)),
                                 ({'idle_seconds': 70}, ('262144', '70'))):
            configuration.limits = limits
            configuration.write()
            daemon.ctl('reload')
            found = RawClient(('127.0.0.1', daemon.port)).open().features.child('limits', LIMITS)
            self.assertEqual(expected, (found.child_text('max-bytes'), found.child_text('idle-seconds')))
        # It is what holds.
        client = RawClient(('127.0.0.1', daemon.port)).open().login('alice')
        client.send(stanza(262144))
        client.settle()
        client.leave()
        daemon.stop()


class Flood(DaemonCase):
    COUNT = 300

    def flood(self):
        """Three hundred kilobytes; what does not go out is returned."""
        data = ''.join("<message to='carol@localhost' id='%d'><body>%s</body></message>" % (number, 'x' * 1000)
                       for number in range(self.COUNT)).encode()
        return data

    def push(self, client, data):
        """As much as the connection takes."""
        while data and select.select([], [client.socket], [], 0)[1]:
            data = data[client.socket.send(data):]
        return data

    def throttled(self, daemon):
        answer = daemon.ctl('--json', 'sessions', '--throttled').stdout
        return re.findall(r'"account": ?"([^"]+)"', answer)

    def wait_throttled(self, daemon, client, data, wanted):
        deadline = harness.Deadline()
        while self.throttled(daemon) != wanted:
            data = self.push(client, data)
            self.assertGreater(deadline.left(), 0, 'never throttled')
        return data

    def test_flooder_beside_a_chat(self):
        """The flooder waits, those beside it do not; all that it sent comes at last, in order, when it may."""
        limits = {'rate_bytes': 1024, 'burst_bytes': 65536, 'stanza_bytes': 10000}
        daemon = self.start(['alice', 'bob', 'carol', 'flooder'], limits=limits, log='info', workers=1)
        configuration = Configuration(daemon)
        alice, bob, carol = (daemon.login(name).available() for name in ('alice', 'bob', 'carol'))
        flooder = daemon.login('flooder')
        rest = self.wait_throttled(daemon, flooder, self.flood(), ['flooder@localhost/home'])
        for _ in range(20):
            chat(alice, bob, 'alice@localhost', 'bob@localhost')
        self.assertEqual(['flooder@localhost/home'], self.throttled(daemon))
        status = daemon.status()
        self.assertEqual(1, status['throttled'])
        self.assertGreaterEqual(status['throttles'], 1)
        self.assertEqual(1, len([line for line in daemon.log.lines if 'client throttled' in line]))
        self.assertIn('throttled  1, ', daemon.ctl('status').stdout)
        # A reload lets go of it at once.
        configuration.limits = {'rate_bytes': 'unlimited'}
        configuration.write()
        daemon.ctl('reload')
        flooder.send(rest)
        for number in range(self.COUNT):
            self.assertEqual(str(number), carol.expect('message').get('id'))
        self.assertEqual([], self.throttled(daemon))
        self.assertEqual(0, daemon.status()['throttled'])
        flooder.leave()
        daemon.stop()

    def leave(self, tls):
        """It has said everything and closed its connection: what it said comes first, then its end."""
        daemon = self.start(['carol', 'flooder'], limits={'rate_bytes': 65536, 'burst_bytes': 262144}, workers=1, tls=tls,
                            tls_options={'required': 'no'})
        carol = daemon.login('carol').available()
        flooder = daemon.client().open()
        if tls != 'none':
            flooder.starttls()
        flooder.login('flooder', 'secret', 'home')
        flooder.send(self.flood())
        flooder.close()
        for number in range(self.COUNT):
            self.assertEqual(str(number), carol.expect('message').get('id'))
        daemon.log.wait('client throttled')
        daemon.log.wait('client ended reason=lost .*account="flooder@localhost/home"')
        self.assertEqual(0, daemon.status()['throttled'])
        daemon.stop()

    def test_flooder_leaves(self):
        self.leave('none')

    def test_flooder_leaves_behind_tls(self):
        self.leave('starttls')


if __name__ == '__main__':
    harness.main()
