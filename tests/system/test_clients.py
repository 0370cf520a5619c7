#!/usr/bin/env python3
"""Clients that we did not write: each logs in, chats with a raw client both ways, sees presence, gets what came while
it was away, and comes back. The drivers around their libraries and the command language: clients/driver.h."""
import harness
from drivers import DRIVERS, Driver, present, skip_where_missing
from harness import DaemonCase


class Clients:
    """What every client must do; one class a client below."""

    name = None
    dialect = 'xmpp'

    def setUp(self):
        self.daemon = self.start(users=('alice', 'bob'), embedded={'dialect': self.dialect})

    def driver(self, user='bob', **arguments):
        driver = Driver(self.name, self.daemon, user, **arguments)
        self.addCleanup(driver.close)
        return driver

    def online(self, **arguments):
        driver = self.driver(**arguments)
        driver.expect(r'^online bob@localhost/real$')
        driver.say('presence')
        driver.expect(r'^presence bob@localhost/real available$')
        return driver

    def test_chat_both_ways(self):
        alice = self.daemon.login('alice').available()
        bob = self.online()
        alice.message('bob@localhost', 'to a real client: <&> \u00e4')
        bob.expect(r'^message alice@localhost/home to a real client: <&> \u00e4$')
        bob.say('message alice@localhost from a real client <&> \u00e4')
        message = alice.expect_message('from a real client <&> \u00e4')
        self.assertEqual('bob@localhost/real', message.get('from'))
        bob.quit()

    def test_presence(self):
        alice = self.daemon.login('alice').available()
        bob = self.online()
        bob.say('presence subscribe alice@localhost')
        alice.expect_presence('subscribe', 'bob@localhost')
        alice.send("<presence to='bob@localhost' type='subscribed'/><presence to='bob@localhost' type='subscribe'/>")
        bob.expect(r'^presence alice@localhost/home available$')
        bob.say('presence subscribed alice@localhost')
        alice.expect_presence(None, 'bob@localhost/real')
        alice.leave()
        bob.expect(r'^presence alice@localhost/home unavailable$')
        alice = self.daemon.login('alice').available()
        bob.expect(r'^presence alice@localhost/home available$')
        bob.quit()
        alice.expect_presence('unavailable', 'bob@localhost/real')

    def test_offline_message_and_reconnect(self):
        self.online().quit()
        alice = self.daemon.login('alice').available()
        alice.message('bob@localhost', 'while you were out')
        alice.settle()
        bob = self.online()
        bob.expect(r'^delayed alice@localhost/home while you were out$')
        # Some of them reset their connection as soon as they have said goodbye: what they have just got would come again.
        self.daemon.wait_settled()
        bob.quit()
        bob = self.online()
        alice.message('bob@localhost', 'third time')
        self.assertRegex(bob.expect(r'^(message|delayed) alice@localhost/home'), r'^message .* third time$')
        bob.quit()

    def test_wrong_password(self):
        bob = self.driver(password='wrong')
        bob.expect(r'^closed not logged in$')
        self.assertEqual(1, bob.process.wait(harness.TIMEOUT))

    def test_replaced_by_another_login(self):
        bob = self.online()
        other = self.daemon.login('bob', resource='real').available()
        bob.expect(r'^closed (?!quit)')
        other.settle()

    def test_shutdown_of_the_daemon(self):
        bob = self.online()
        self.daemon.stop()
        bob.expect(r'^closed (?!quit)')

    def test_two_of_a_kind(self):
        bob = self.online()
        alice = self.driver('alice')
        alice.expect('^online ')
        alice.say('presence')
        alice.expect(r'^presence alice@localhost/real available$')
        for number in range(50):
            alice.say('message bob@localhost number %d' % number)
        for number in range(50):
            self.assertTrue(bob.expect('^message ').endswith(' number %d' % number))
        alice.quit()
        bob.quit()


class Strophe(Clients, DaemonCase):
    name = 'strophe'


class Loudmouth(Clients, DaemonCase):
    """Where it is offered SASL it takes nothing else, and it knows no SCRAM: without TLS there must be no mechanisms."""
    name = 'loudmouth'
    dialect = 'sfrom'


class Purple(Clients, DaemonCase):
    name = 'purple'


class NetXmpp(Clients, DaemonCase):
    """As Loudmouth."""
    name = 'net_xmpp'
    dialect = 'sfrom'


class Slixmpp(Clients, DaemonCase):
    name = 'slixmpp'


class PlainInTheClear(DaemonCase):
    """Who knows no SCRAM and does not encrypt gets in where PLAIN is offered to everybody."""

    def log_in(self, name):
        if not present(name):
            self.skipTest('it or its library is not installed')
        driver = Driver(name, self.start(users=('bob',), extra='<sasl plain="always"/>'), 'bob')
        self.addCleanup(driver.close)
        driver.expect('^online bob@localhost/real$')
        driver.quit()

    def test_loudmouth(self):
        self.log_in('loudmouth')

    def test_net_xmpp(self):
        self.log_in('net_xmpp')


for CASE in [Strophe, Loudmouth, Purple, NetXmpp, Slixmpp]:
    skip_where_missing(CASE)
del CASE  # or its tests would be found twice

if __name__ == '__main__':
    if not any(present(name) for name in DRIVERS):
        harness.skip_file('no client library is installed (packages.txt)')
    harness.main()
