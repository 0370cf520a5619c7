#!/usr/bin/env python3
"""Acknowledgement on the link (XEP-0198; doc/link.md): links that break anywhere lose nothing and double nothing."""
import base64
import ctypes
import hashlib
import hmac
import os
import random
import re
import shutil
import socket
import tempfile
import unittest

import harness
from bridge import Bridge
from harness import Daemon, DaemonCase
from xmlstream import XmlStream

SM = 'urn:xmpp:sm:3'
SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
BIND = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"


class Chain:
    """Two clients that write to each other; each message has a number, and comes once and in order."""

    def __init__(self, one, other, names):
        self.clients = [one, other]
        self.addresses = ['%s@localhost/home' % name for name in names]
        self.said = [0, 0]
        self.heard = [0, 0]

    def say(self, count, padding=0):
        for _ in range(count):
            for side in 0, 1:
                self.clients[side].message(self.addresses[1 - side], '%d %s' % (self.said[side], 'x' * padding))
                self.said[side] += 1

    def hear(self, side):
        message = self.clients[side].expect('message')
        body = message.child_text('body')
        if message.get('type') == 'error' or body is None:
            raise AssertionError('%r' % message)
        number = int(body.split()[0])
        if number != self.heard[side]:
            raise AssertionError('message %d, not %d' % (number, self.heard[side]))
        self.heard[side] += 1

    def hear_all(self):
        for side in 0, 1:
            while self.heard[side] < self.said[1 - side]:
                self.hear(side)


class AcknowledgeCase(DaemonCase):
    def balance(self, daemon):
        status = daemon.status()
        self.assertTrue(status['packets']['balanced'], status)
        self.assertEqual(status['packets']['dropped'], 0)
        return status

    def assert_all_arrived(self, daemon):
        """Nothing is kept for anybody any more."""
        deadline = harness.Deadline()
        while True:
            status = self.balance(daemon)
            link = status['link']
            if (link['state'], link['queued_bytes'], link['unacknowledged'], status['packets']['held']) == ('up', 0, 0, 0):
                return status
            if deadline.left() == 0:
                self.fail(status)


class BridgeCase(AcknowledgeCase):
    def bridge_up(self, dialect='sfrom', acknowledge='yes', **arguments):
        folder = tempfile.mkdtemp(prefix='c2sd-test.')
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        self.bridge = Bridge(folder, acknowledge, dialect)
        self.addCleanup(self.bridge.close)
        self.daemon = Daemon(link=self.bridge.attributes(dialect=dialect), **arguments)
        self.addCleanup(self.daemon.cleanup)
        self.daemon.start()

    def client(self, user, resource='home'):
        client = self.daemon.client()
        client.open()
        client.register(user, 'secret')
        return client.login(user, 'secret', resource).available()

    def chain(self, one='alice', other='bob'):
        return Chain(self.client(one), self.client(other), (one, other))

    def cut(self):
        """Now; and the link is up again."""
        count = len(self.bridge.links)
        self.bridge.links[-1].cut()
        self.bridge.wait_links(count + 1)
        self.daemon.wait_ready()


    def kill(self):
        """kill -9; and the link to another one is up."""
        count = len(self.bridge.links)
        self.bridge.kill()
        self.bridge.wait_links(count + 1)
        self.daemon.wait_ready()


class Cut(BridgeCase):
    def test_is_resumed(self):
        self.bridge_up()
        self.daemon.log.wait('link up name=foo-sockets dialect=sfrom acknowledged=yes')
        chain = self.chain()
        for _ in range(3):
            chain.say(3)
            self.cut()
            chain.hear_all()
        self.daemon.log.wait(r'link resumed acknowledged=\d+ again=\d+')
        status = self.assert_all_arrived(self.daemon)
        self.assertEqual(status['link']['resumptions'], 3)
        self.assertTrue(status['link']['acknowledged'])
        self.assertEqual((status['packets']['bounced'], status['sessions']), (0, 2))
        self.assertIn('0 packets not acknowledged', self.daemon.ctl('status').stdout)
        self.daemon.stop()

    def test_cut_anywhere_under_load(self):
        self.cut_anywhere('sfrom')

    def test_cut_anywhere_in_todays_dialect(self):
        self.cut_anywhere('xmpp')

    def cut_anywhere(self, dialect):
        self.bridge_up(dialect, workers=3)
        chains = [self.chain('alice', 'bob'), self.chain('carol', 'dave')]
        dice = random.Random(6)
        self.bridge.cuts = [(dice.choice((None, dice.randrange(500, 6000))), dice.randrange(600, 6000)) for _ in range(25)]
        self.bridge.links[-1].cut()
        while self.bridge.cuts:
            for chain in chains:
                chain.say(dice.randrange(1, 8), dice.choice((0, 10, 1000)))
            for chain in chains:
                chain.hear_all()
        for chain in chains:
            chain.say(5)
            chain.hear_all()
        status = self.assert_all_arrived(self.daemon)
        self.assertEqual((status['packets']['bounced'], status['clients']), (0, 4))
        for chain in chains:
            for client in chain.clients:
                self.assertEqual(client.settle(), [])
        self.assertGreater(status['link']['resumptions'], 10)
        self.daemon.stop()

    def test_what_waits_meanwhile(self):
        """Clients write while there is no link: it comes when there is one, behind what was on its way."""
        self.bridge_up()
        chain = self.chain()
        self.bridge.cuts = [(0, 0)] * 2
        self.bridge.links[-1].cut()
        chain.say(50, 2000)
        self.bridge.wait_links(4)
        chain.hear_all()
        self.assert_all_arrived(self.daemon)

    def test_login_on_its_way_goes_on(self):
        self.bridge_up()
        self.client('alice').leave()
        client = self.daemon.client().open()
        link = self.bridge.links[-1]
        # Its answer comes as far as here, and no further.
        link.left[link.manager_end] = 10
        client.send("<iq type='set' id='login'><query xmlns='jabber:iq:auth'><username>alice</username>"
                    '<password>secret</password><resource>home</resource></query></iq>')
        self.assertTrue(link.over.wait(harness.TIMEOUT))
        client.expect(lambda e: e.get('id') == 'login' and e.get('type') == 'result')
        client.available()
        self.assertEqual(self.assert_all_arrived(self.daemon)['link']['resumptions'], 1)

    def test_offline_messages_are_deleted_when_they_have_arrived(self):
        self.bridge_up()
        alice, bob = self.client('alice'), self.client('bob')
        bob.leave()
        for number in range(250):
            alice.message('bob@localhost', 'offline %d' % number)
        alice.settle()
        self.bridge.links[-1].left[self.bridge.links[-1].manager_end] = 30000
        bob = self.daemon.login('bob')
        bob.send('<presence/>')
        for number in range(250):
            bob.expect_message('offline %d' % number)
        self.assert_all_arrived(self.daemon)
        bob.leave()
        bob = self.daemon.login('bob').available()
        self.assertEqual([element for element in bob.settle() if element.name == 'message'], [])


class Killed(BridgeCase):
    """The session manager does not know the stream any more."""

    def test_what_was_not_acknowledged_comes_again(self):
        self.bridge_up()
        alice = self.client('alice')
        bob = self.client('bob')
        bob.leave()
        # What it is sent from here on it never reads.
        self.bridge.links[-1].left[self.bridge.links[-1].daemon_end] = 1
        alice.message('bob@localhost', 'in vain')
        self.assertTrue(self.bridge.links[-1].over.wait(harness.TIMEOUT))
        self.bridge.kill()
        # The new one has no session of hers: her message comes back with its end.
        self.daemon.log.wait(r'link not-resumed again=\d+')
        alice.expect_stream_error('remote-connection-failed')
        self.assert_all_arrived(self.daemon)
        self.client('alice', 'again').leave()
        self.daemon.stop()

    def test_login_on_its_way_is_ended(self):
        self.bridge_up()
        client = self.daemon.client().open()
        self.bridge.links[-1].left[self.bridge.links[-1].daemon_end] = 1
        client.send("<iq type='set' id='login'><query xmlns='jabber:iq:auth'><username>alice</username>"
                    '<password>secret</password><resource>home</resource></query></iq>')
        self.assertTrue(self.bridge.links[-1].over.wait(harness.TIMEOUT))
        self.bridge.kill()
        client.expect_stream_error('remote-connection-failed')
        self.assert_all_arrived(self.daemon)

    def test_everything_dies_again_and_again(self):
        self.bridge_up()
        for number in range(4):
            chain = self.chain('alice%d' % number, 'bob')
            chain.say(5)
            chain.hear_all()
            self.kill()
            for client in chain.clients:
                client.expect_stream_error('remote-connection-failed')
        self.assert_all_arrived(self.daemon)


def descriptors_of(pid, number):
    """A copy of a descriptor of another process: what is done to it is done to the one that it is a copy of."""
    pidfd = os.pidfd_open(pid)
    fd = ctypes.CDLL(None, use_errno=True).syscall(438, pidfd, number, 0)    # pidfd_getfd(2)
    os.close(pidfd)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd


class EmbeddedCase(AcknowledgeCase):
    """The real thing: the socketpair between master and session manager is shut down."""

    def shut(self, daemon):
        pid, = daemon.children('c2sd-sessiond')
        links = [fd for fd in os.listdir('/proc/%d/fd' % pid) if fd != '4' and
                 os.readlink('/proc/%d/fd/%s' % (pid, fd)).startswith('socket:')]
        self.assertEqual(len(links), 1, links)
        try:
            fd = descriptors_of(pid, int(links[0]))
        except PermissionError:
            raise unittest.SkipTest('needs CAP_SYS_PTRACE') from None
        with socket.socket(fileno=fd) as link:
            link.shutdown(socket.SHUT_RDWR)
        return pid

    def wait_other(self, daemon, pid):
        """Another process has taken the place of that one, and works."""
        deadline = harness.Deadline()
        while daemon.children('c2sd-sessiond') in ([], [pid]) and deadline.left() > 0:
            harness.wait_gone([pid], 0.05)
        self.assertNotEqual(daemon.children('c2sd-sessiond'), [pid])
        daemon.wait_ready()


class Embedded(EmbeddedCase):
    def test_lives_on_with_another_link(self):
        daemon = self.start(users=['alice', 'bob'])
        chain = Chain(daemon.login('alice').available(), daemon.login('bob').available(), ('alice', 'bob'))
        pids = set()
        for number in range(5):
            chain.say(20, 100)
            pids.add(self.shut(daemon))
            chain.say(20, 100)
            chain.hear_all()
            self.assertEqual(self.assert_all_arrived(daemon)['link']['resumptions'], number + 1)
        self.assertEqual(len(pids), 1)
        status = self.assert_all_arrived(daemon)
        self.assertEqual((status['packets']['bounced'], status['sessions']), (0, 2))
        daemon.stop()

    def test_is_started_anew_when_it_is_dead(self):
        daemon = self.start(users=['alice'])
        alice = daemon.login('alice').available()
        pid, = daemon.children('c2sd-sessiond')
        os.kill(pid, 9)
        self.wait_other(daemon, pid)
        alice.message('alice@localhost', 'still here')
        alice.expect_message('still here')
        self.shut(daemon)
        daemon.log.wait('link resumed')
        daemon.wait_ready()
        daemon.login('alice').available().leave()
        self.assert_all_arrived(daemon)
        daemon.stop()

    def test_one_that_does_not_answer_is_killed(self):
        daemon = self.start(users=['alice'], embedded={'timeout': 1})
        pid, = daemon.children('c2sd-sessiond')
        alice = daemon.login('alice').available()
        os.kill(pid, 19)
        self.shut(daemon)
        daemon.log.wait('sessiond died pid=%d signal=9' % pid)
        self.wait_other(daemon, pid)
        alice.message('alice@localhost', 'still here')
        alice.expect_message('still here')

    def test_switched_off(self):
        daemon = self.start(users=['alice'], embedded={'acknowledge': 'no'})
        daemon.log.wait('link up .*acknowledged=no')
        pid = self.shut(daemon)
        self.assertEqual(harness.wait_gone([pid]), [])
        self.wait_other(daemon, pid)
        daemon.login('alice').available().leave()


class Logins(EmbeddedCase):
    """Clients as far as each step of a login with SCRAM-SHA-1 when the link, or the session manager, is lost."""

    def asked(self, client, said):
        text = base64.b64encode(b'n,,' + said).decode()
        client.send("<auth xmlns='%s' mechanism='SCRAM-SHA-1'>%s</auth>" % (SASL, text))
        return base64.b64decode(client.expect('challenge').text)

    def answer(self, client, said, heard):
        fields = dict(field.split('=', 1) for field in heard.decode().split(','))
        salted = hashlib.pbkdf2_hmac('sha1', b'secret', base64.b64decode(fields['s']), int(fields['i']))
        key = hmac.digest(salted, b'Client Key', 'sha1')
        final = b'c=biws,r=' + fields['r'].encode()
        signature = hmac.digest(hashlib.sha1(key).digest(), b','.join((said, heard, final)), 'sha1')
        proof = base64.b64encode(bytes(one ^ other for one, other in zip(key, signature)))
        client.send("<response xmlns='%s'>%s</response>" % (SASL, base64.b64encode(final + b',p=' + proof).decode()))
        client.expect('success')
        client.stream = XmlStream()

    def bind(self, client):
        self.assertEqual(client.iq('set', BIND).get('type'), 'result')

    def clients(self, daemon):
        said = b'n=alice,r=abc'
        clients = [daemon.client().open() for _ in range(5)]
        for client in clients:
            self.addCleanup(client.close)
        heard = [self.asked(client, said) for client in clients[1:]]
        for client, challenge in zip(clients[2:], heard[1:]):
            self.answer(client, said, challenge)
        for client in clients[3:]:
            client.open()
        self.bind(clients[4])
        return clients, lambda: self.answer(clients[1], said, heard[0])

    def assert_go_on(self, daemon, clients, answer):
        opened, asked, passed, anew, bound = clients
        opened.login('alice', resource='old')
        answer()
        for client in asked, passed:
            client.open()
        for client in asked, passed, anew:
            self.bind(client)
        for client in opened, asked, passed, anew, bound:
            self.assertEqual(client.iq('get', "<query xmlns='jabber:iq:roster'/>").get('type'), 'result')
        self.assertEqual(self.assert_all_arrived(daemon)['sessions'], 5)

    def test_go_on_over_another_link(self):
        daemon = self.start(users=['alice'])
        clients = self.clients(daemon)
        pid = self.shut(daemon)
        daemon.log.wait('link resumed')
        self.assert_go_on(daemon, *clients)
        self.assertEqual(daemon.children('c2sd-sessiond'), [pid])
        daemon.stop()

    def test_go_on_when_it_is_killed(self):
        daemon = self.start(users=['alice'])
        clients = self.clients(daemon)
        pid, = daemon.children('c2sd-sessiond')
        os.kill(pid, 9)
        self.wait_other(daemon, pid)
        self.assert_go_on(daemon, *clients)
        daemon.stop()


class Foreign(AcknowledgeCase):
    """Session managers of others: asked only where the configuration says so, and no worse off when they know nothing of it."""

    def connect(self, **link):
        self.sm = self.manager()
        self.daemon = Daemon(link=self.sm.attributes(**link))
        self.addCleanup(self.daemon.cleanup)
        self.sm.listen()
        self.daemon.start(ready=False)
        self.sm.up()

    def assert_works(self, acknowledged):
        self.daemon.wait_ready()
        client = self.daemon.client()
        identity = self.sm.let_in(client, 'alice')
        client.message('bob@localhost', 'up')
        self.assertEqual(self.sm.expect('message').child_text('body'), 'up')
        self.sm.send("<message sto='%s' sfrom='bob@localhost'><body>down</body></message>" % identity)
        client.expect_message('down')
        self.assertEqual(self.balance(self.daemon)['link']['acknowledged'], acknowledged)

    def test_is_not_asked(self):
        self.connect()
        self.assert_works(False)
        self.assertNotIn(SM, self.sm.link.received.decode())

    def test_refuses(self):
        self.connect(acknowledge='yes')
        self.sm.expect('enable')
        self.sm.send("<failed xmlns='%s'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>" % SM)
        self.daemon.log.wait('link not-acknowledged reason="refused"')
        self.assert_works(False)

    def test_says_nothing(self):
        self.connect(acknowledge='yes', timeout=1)
        self.sm.expect('enable')
        self.daemon.log.wait('link not-acknowledged reason="no answer in time"')
        self.assert_works(False)

    def test_ends_the_link(self):
        """As Prosody does, without its module for stream management."""
        self.connect(acknowledge='yes')
        self.sm.expect('enable')
        self.sm.send("<stream:error><unsupported-stanza-type xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
                     '</stream:stream>')
        self.sm.up()
        self.daemon.log.wait('link not-acknowledged reason="it ended the link when it was asked"')
        self.assert_works(False)

    def test_knows_it(self):
        self.connect(acknowledge='yes')
        self.sm.expect('enable')
        self.sm.send("<enabled xmlns='%s' id='one' resume='true'/>" % SM)
        self.assert_works(True)
        self.sm.send("<r xmlns='%s'/>" % SM)
        self.assertEqual(self.sm.expect('a').get('h'), '2')
        # It acknowledges the login, and the message comes again.
        self.sm.drop()
        self.sm.up()
        asked = self.sm.expect('resume')
        self.assertEqual((asked.get('previd'), asked.get('h')), ('one', '2'))
        self.sm.send("<resumed xmlns='%s' previd='one' h='1'/>" % SM)
        self.assertEqual(self.sm.expect('message').child_text('body'), 'up')
        # One that lies is believed no more.
        self.sm.send("<a xmlns='%s' h='77'/>" % SM)
        self.daemon.log.wait('acknowledges what was not sent')
        self.sm.up()
        self.sm.expect('enable')

    def resumed(self, handled):
        """It has died, and is back with everything that it had handled."""
        self.sm.drop()
        self.sm.up()
        self.assertEqual(self.sm.expect('resume').get('previd'), 'one')
        self.sm.send("<resumed xmlns='%s' previd='one' h='%d'/>" % (SM, handled))

    def test_dies_of_a_packet_and_resumes(self):
        """Each time: the packet is given up, its client is told by its end, and nobody else loses anything."""
        self.connect(acknowledge='yes')
        self.sm.expect('enable')
        self.sm.send("<enabled xmlns='%s' id='one' resume='true'/>" % SM)
        self.daemon.wait_ready()
        alice, bob = self.daemon.client(), self.daemon.client()
        self.sm.let_in(alice, 'alice')
        self.sm.let_in(bob, 'bob')
        alice.message('carol@localhost', 'poison')
        self.assertEqual(self.sm.expect('message').child_text('body'), 'poison')
        bob.message('carol@localhost', 'medicine')
        self.assertEqual(self.sm.expect('message').child_text('body'), 'medicine')
        for _ in range(3):
            self.resumed(2)
            self.assertEqual(self.sm.expect('message').child_text('body'), 'poison')
            self.daemon.wait_ready()
            self.assertEqual(self.daemon.status()['link']['given_up'], 0)
        self.resumed(2)
        alice.expect_stream_error('internal-server-error')
        # One by one at first.
        self.assertEqual(self.sm.expect('message').child_text('body'), 'medicine')
        self.sm.send("<a xmlns='%s' h='3'/>" % SM)
        self.assertTrue(self.sm.is_end(self.sm.expect('message')))
        self.sm.send("<a xmlns='%s' h='4'/>" % SM)
        bob.message('carol@localhost', 'still here')
        self.assertEqual(self.sm.expect('message').child_text('body'), 'still here')
        self.sm.send("<a xmlns='%s' h='5'/>" % SM)
        self.daemon.log.wait('client ended reason=given-up')
        self.daemon.log.wait(r'link packet-given-up bytes=\d+ breaks=3')
        self.assertEqual(self.assert_all_arrived(self.daemon)['link']['given_up'], 1)

    def test_dies_again_and_again_and_works_in_between(self):
        """Is not waited for as somebody who only dies is."""
        self.connect(acknowledge='yes')
        self.sm.expect('enable')
        self.sm.send("<enabled xmlns='%s' id='one' resume='true'/>" % SM)
        self.daemon.wait_ready()
        client = self.daemon.client()
        self.sm.let_in(client, 'alice')
        for number in range(50):
            client.message('bob@localhost', '%d' % number)
            self.assertEqual(self.sm.expect('message').child_text('body'), '%d' % number)
            self.sm.send("<a xmlns='%s' h='%d'/>" % (SM, number + 2))
            self.resumed(number + 2)
            self.daemon.wait_ready()
        self.assertEqual(self.assert_all_arrived(self.daemon)['link']['resumptions'], 50)

    def test_acknowledges_nothing(self):
        """Clients are not read, and go on when it does."""
        self.connect(acknowledge='yes', queue_bytes=65536)
        self.sm.expect('enable')
        self.sm.send("<enabled xmlns='%s' id='one' resume='true'/>" % SM)
        self.daemon.wait_ready()
        client = self.daemon.client()
        self.sm.let_in(client, 'alice')
        for number in range(100):
            client.message('bob@localhost', '%d %s' % (number, 'x' * 2000))
        heard = 0
        acknowledged = 0
        while heard < 100 or not acknowledged:
            element = self.sm.expect(lambda e: e.name in ('message', 'r'))
            if element.name == 'message':
                self.assertEqual(int(element.child_text('body').split()[0]), heard)
                heard += 1
            elif heard >= 20:
                acknowledged = heard
                self.sm.send("<a xmlns='%s' h='%d'/>" % (SM, 1 + heard))
            else:
                self.sm.send("<a xmlns='%s' h='0'/>" % SM)
        self.sm.send("<a xmlns='%s' h='101'/>" % SM)
        self.assert_all_arrived(self.daemon)


if __name__ == '__main__':
    harness.main()
