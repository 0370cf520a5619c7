#!/usr/bin/env python3
"""Clients of today, as they are when nobody has told them anything: over TLS, by SASL, on every dialect. What each of them
must do, its user's day, is in Today; the drivers around their libraries, and profanity on its terminal, in drivers.py.

One daemon serves all of them, for each dialect of the embedded session manager and for each session manager of servers.py;
every test has accounts that no other has used."""
import itertools
import os
import re
import subprocess
import unittest

import drivers
import harness
import servers
from harness import Daemon, Output, RawClient, tls_context

TEXT = '<&> \u00e4 \u20ac'


class Service:
    """A daemon and a session manager, until the end of this file."""
    running = {}
    numbers = itertools.count()

    def __init__(self, daemon):
        self.daemon = daemon
        self.folder = daemon.folder
        self.address = daemon.listeners[0]
        self.port = self.address[1]

    @classmethod
    def of(cls, name):
        if name not in cls.running:
            cls.running[name] = SERVICES[name]()
        return cls.running[name]

    @property
    def authority(self):
        return self.daemon.certificates[0]

    def close(self):
        self.daemon.stop()
        self.daemon.cleanup()


class Embedded(Service):
    def __init__(self, dialect):
        super().__init__(Daemon(tls='both', embedded={'dialect': dialect}))
        self.daemon.start()

    def add_user(self, name):
        self.daemon.add_user(name, 'secret')


class Connected(Service):
    """With one of servers.py."""

    def __init__(self, dialect, **arguments):
        self.server = servers.server(dialect, **arguments)
        super().__init__(Daemon(tls='both', link=self.server.attributes()))
        self.server.listen()
        self.daemon.start(ready=False)
        self.server.up()
        self.daemon.wait_ready()

    def add_user(self, name):
        with self.server.lock:
            self.server.service.users[name] = 'secret'

    def close(self):
        super().close()
        self.server.close()


SERVICES = {
    'Xmpp': lambda: Embedded('xmpp'),
    'Sfrom': lambda: Embedded('sfrom'),
    'Digest': lambda: Connected('sfrom', digest=True),
    'Route': lambda: Connected('route'),
}


def tearDownModule():
    for service in Service.running.values():
        service.close()


class ServiceCase(unittest.TestCase):
    kind = None
    chooses = True  # the client its resource

    def setUp(self):
        self.service = Service.of(self.kind)
        number = next(Service.numbers)
        self.alice, self.bob = ('%s%d' % (name, number) for name in ('alice', 'bob'))
        for name in (self.alice, self.bob):
            self.service.add_user(name)

    def raw(self, user, resource='home'):
        """A client of ours, which logs in by jabber:iq:auth."""
        client = RawClient(self.service.address)
        self.addCleanup(client.close)
        client.open().starttls(tls_context(self.service.authority))
        return client.login(user, resource=resource).available()


class Today(ServiceCase):
    """With a driver's command language."""

    def driver(self, user=None, tls='starttls', **arguments):
        driver = drivers.Driver(self.name, self.service, user or self.bob, CLIENT_TLS=tls, CLIENT_LOGIN='default',
                                CLIENT_CA=self.service.authority, NODE_EXTRA_CA_CERTS=self.service.authority, **arguments)
        self.addCleanup(driver.close)
        return driver

    def online(self, driver, user=None, resource='real'):
        """Until it has its address; returns that."""
        address = driver.expect('^online ').partition(' ')[2]
        self.assertRegex(address, '^%s@localhost/%s$' % (user or self.bob, resource if self.chooses else '.+'))
        return address

    def available(self, driver, user=None, resource='real'):
        address = self.online(driver, user, resource)
        driver.say('presence')
        driver.expect('^presence %s available$' % address)
        return address

    def test_roster_presence_and_messages(self):
        bob = self.driver()
        alice = self.raw(self.alice)
        friend = self.alice + '@localhost'
        address = self.available(bob)
        bob.say('roster')
        bob.expect('^roster complete$')
        bob.say('roster %s Alice %s' % (friend, TEXT))
        bob.expect('^roster %s none Alice %s$' % (friend, TEXT))
        bob.expect('^roster pushed$')
        bob.say('presence subscribe ' + friend)
        alice.expect_presence('subscribe', self.bob + '@localhost')
        alice.send("<presence to='{0}@localhost' type='subscribed'/><presence to='{0}@localhost' type='subscribe'/>".format(
            self.bob))
        bob.expect('^presence %s/home available$' % friend)
        bob.say('presence subscribed ' + friend)
        bob.expect('^roster %s both Alice %s$' % (friend, TEXT))
        alice.expect_presence(None, address)
        alice.message(self.bob + '@localhost', 'to a client of today ' + TEXT)
        bob.expect('^message %s/home to a client of today %s$' % (friend, TEXT))
        bob.say('message %s from a client of today %s' % (friend, TEXT))
        self.assertEqual(address, alice.expect_message('from a client of today ' + TEXT).get('from'))
        alice.leave()
        bob.expect('^presence %s/home unavailable$' % friend)
        alice = self.raw(self.alice)
        bob.expect('^presence %s/home available$' % friend)
        bob.quit()
        alice.expect_presence('unavailable', address)

    def test_offline_message_and_reconnect(self):
        bob = self.driver()
        alice = self.raw(self.alice)
        self.available(bob)
        bob.quit()
        alice.message(self.bob + '@localhost', 'while you were out')
        alice.settle()
        bob = self.driver()
        self.available(bob)
        bob.expect('^delayed %s@localhost/home while you were out$' % self.alice)
        bob.quit()

    def test_wrong_password(self):
        """It is told so, and once it has the right one it is let in."""
        wrong = self.driver(password='wrong')
        right = self.driver()
        wrong.expect('^closed %s$' % self.refused)
        self.assertEqual(1, wrong.process.wait(harness.TIMEOUT))
        self.available(right)
        right.quit()

    def test_two_resources_and_one_that_is_replaced(self):
        one, two = (self.driver(resource=resource) for resource in ('one', 'two'))
        other = self.driver(self.alice)
        addresses = [self.available(one, resource='one'), self.online(two, resource='two')]
        two.say('presence')
        one.expect('^presence %s available$' % addresses[1])
        two.expect('^presence %s available$' % addresses[0])
        sender = self.available(other, self.alice)
        for number in range(4):
            other.say('message %s number %d' % (addresses[number % 2], number))
        for number in range(4):
            (one, two)[number % 2].expect('^message %s number %d$' % (sender, number))
        again = self.again(addresses[0])
        one.expect('^closed %s$' % self.conflict)
        other.say('message %s you are the one' % addresses[0])
        again(sender, 'you are the one')
        for client in (two, other):
            client.quit()

    def again(self, address):
        """Another one with the same address: by itself, or else by jabber:iq:auth. Returns what waits for a message."""
        if self.chooses:
            again = self.driver(resource=address.partition('/')[2])
            self.assertEqual(address, self.available(again, resource=address.partition('/')[2]))
            return lambda sender, text: again.expect('^message %s %s$' % (sender, text))
        again = self.raw(self.bob, address.partition('/')[2])
        return lambda _sender, text: again.expect_message(text)

    def test_directly(self):
        bob = self.driver(tls='direct')
        address = self.available(bob)
        bob.say('message %s@localhost to myself' % self.bob)
        bob.expect('^message %s to myself$' % address)
        bob.quit()


class Slixmpp(Today):
    name = 'slixmpp'
    refused = 'refused not-authorized'
    conflict = 'stream error conflict'


class Strophe(Today):
    name = 'strophe'
    refused = 'not logged in'
    conflict = 'stream error 2.*'   # XMPP_SE_CONFLICT


class XmppJs(Today):
    name = 'xmpp_js'
    refused = 'refused not-authorized'
    conflict = 'stream error conflict'


class GoSendxmpp(ServiceCase):
    """A program of one purpose: it sends what it is given, or shows what comes. It chooses its resource by chance and
    knows no roster, so that nobody can replace it."""
    name = 'go-sendxmpp'

    def command(self, *arguments, user=None, password='secret'):
        return [self.name, '-j', 'localhost:%d' % self.service.port, '-u', (user or self.bob) + '@localhost', '-p',
                password, *arguments]

    def environment(self):
        return dict(os.environ, SSL_CERT_FILE=self.service.authority, HOME=self.service.folder)

    def run_it(self, text, *arguments, **options):
        return subprocess.run(self.command(*arguments, **options), input=text, capture_output=True, text=True,
                              env=self.environment(), timeout=harness.TIMEOUT)

    def listen(self):
        process = subprocess.Popen(self.command('-l'), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, env=self.environment(),
                                   preexec_fn=harness._die_with_parent)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_send(self):
        alice = self.raw(self.alice)
        for arguments in ((), ('-t',)):
            sent = self.run_it(TEXT, *arguments, self.alice + '@localhost')
            self.assertEqual(0, sent.returncode, sent.stderr)
            message = alice.expect_message(TEXT)
            self.assertRegex(message.get('from'), '^%s@localhost/%s' % (self.bob, 'go-sendxmpp' if self.chooses else '.'))

    def test_send_to_one_who_is_away(self):
        sent = self.run_it(TEXT, self.alice + '@localhost')
        self.assertEqual(0, sent.returncode, sent.stderr)
        message = self.raw(self.alice).expect_message(TEXT)
        self.assertTrue(message.child('delay') or message.child('x', 'jabber:x:delay'))

    def test_listen(self):
        """Twice, with what was said before it came."""
        alice = self.raw(self.alice)
        for text in ('the first ' + TEXT, 'the second ' + TEXT):
            alice.message(self.bob + '@localhost', text)
            alice.settle()
            process = self.listen()
            Output(process.stdout).wait(re.escape(text))
            process.kill()
            process.wait()

    def test_wrong_password(self):
        sent = self.run_it('hello', self.alice + '@localhost', password='wrong')
        self.assertEqual(1, sent.returncode)
        self.assertRegex(sent.stderr, 'auth failure: .*\\w')


class Profanity(ServiceCase):
    name = 'profanity'

    def profanity(self, user=None, **arguments):
        client = drivers.Profanity(self.service, user or self.bob, authority=self.service.authority, **arguments)
        self.addCleanup(client.close)
        return client

    def online(self, **arguments):
        client = self.profanity(**arguments)
        client.expect('logged in successfully')
        return client

    def test_roster_presence_and_messages(self):
        bob = self.profanity()
        alice = self.raw(self.alice)
        friend = self.alice + '@localhost'
        bob.expect('logged in successfully')
        bob.expect(r'\[TLS\] +\[online\]')
        bob.say('/roster add %s "Alice L"' % friend)
        bob.expect(' Alice L\n')
        bob.say('/roster')
        bob.expect(r'%s \(Alice L\) - none' % friend)
        bob.say('/sub request ' + friend)
        alice.expect_presence('subscribe', self.bob + '@localhost')
        alice.send("<presence to='{0}@localhost' type='subscribed'/><presence to='{0}@localhost' type='subscribe'/>".format(
            self.bob))
        bob.expect(r'Received authorization request from ' + friend)
        bob.say('/sub allow ' + friend)
        address = alice.expect_presence(None, self.bob + '@localhost').get('from')
        self.assertRegex(address, '/real$' if self.chooses else '/.')
        alice.message(self.bob + '@localhost', 'to a terminal ' + TEXT)
        bob.say('/msg %s from a terminal %s' % (friend, TEXT))
        bob.expect('to a terminal ' + TEXT)
        self.assertEqual(address, alice.expect_message('from a terminal ' + TEXT).get('from'))
        bob.quit()
        alice.expect_presence('unavailable', address)

    def test_offline_message_and_reconnect(self):
        bob = self.online()
        alice = self.raw(self.alice)
        bob.say('/disconnect')
        bob.expect('logged out successfully')
        alice.message(self.bob + '@localhost', 'while you were out')
        alice.settle()
        bob.say('/connect %s@localhost' % self.bob)
        bob.expect('<< chat message: %s@localhost/home' % self.alice)
        bob.say('/win 2')
        bob.expect('while you were out')
        bob.quit()

    def test_wrong_password(self):
        bob = self.profanity(password='wrong')
        bob.expect('Login failed')
        bob.quit()

    def test_two_resources_and_one_that_is_replaced(self):
        if not self.chooses:
            self.skipTest('it cannot tell its resource, so that no test can replace it')
        one, two = (self.profanity(resource=resource) for resource in ('one', 'two'))
        for client in (one, two):
            client.expect('logged in successfully')
        other = self.raw(self.alice)
        for resource in ('one', 'two'):
            other.message('%s@localhost/%s' % (self.bob, resource), 'to ' + resource)
        for client, text in ((one, 'to one'), (two, 'to two')):
            client.expect('<< chat message: %s@localhost/home' % self.alice)
            client.say('/win 2')
            client.expect(text)
        one.say('/win 1')
        one.say('/account')
        one.expect(r'two \(0\), online')
        again = self.online(resource='one')
        one.expect('Lost connection')
        other.message('%s@localhost/one' % self.bob, 'you are the one')
        again.expect('<< chat message: %s@localhost/home' % self.alice)
        for client in (one, two, again):
            client.quit()


for CASE in (Slixmpp, Strophe, XmppJs, GoSendxmpp, Profanity):
    drivers.skip_where_missing(CASE)
    for KIND in SERVICES:
        # On sfrom the login is the session, before the client has said what it wants to be called.
        globals()[CASE.__name__ + KIND] = type(CASE.__name__ + KIND, (CASE,), {
            'kind': KIND, 'chooses': KIND not in ('Sfrom', 'Digest')})
del ServiceCase, Today, Slixmpp, Strophe, XmppJs, GoSendxmpp, Profanity, CASE   # which unittest would find, too

if __name__ == '__main__':
    harness.main()
