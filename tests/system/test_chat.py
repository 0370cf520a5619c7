#!/usr/bin/env python3
"""Two people and a daemon: log in, talk, see each other come and go, get what came while they were away."""
import re

import harness
from harness import DaemonCase, chat

IQ_AUTH = 'http://jabber.org/features/iq-auth'
SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
IQ_REGISTER = 'http://jabber.org/features/iq-register'


def error_code(answer):
    """The code of an error as old clients know it; what has none is named by its condition."""
    codes = {'not-authorized': '401', 'not-acceptable': '406', 'conflict': '409'}
    error = answer.child('error')
    if answer.get('type') != 'error' or error is None:
        return None
    return error.get('code') or next((codes[c.name] for c in error.children if c.name in codes), None)


class Login(DaemonCase):
    def setUp(self):
        self.daemon = self.start(users=('alice',))

    def test_features_name_what_there_is(self):
        client = self.daemon.client().open()
        self.assertIsNotNone(client.features.child('auth', IQ_AUTH))
        self.assertIsNotNone(client.features.child('register', IQ_REGISTER))
        mechanisms = client.features.child('mechanisms', SASL)
        self.assertEqual(['SCRAM-SHA-256', 'SCRAM-SHA-1'], [child.text for child in mechanisms.children])

    def test_header_is_answered(self):
        header = self.daemon.client().open().stream.header
        self.assertEqual(('stream', 'localhost', '1.0'), (header.name, header.get('from'), header.get('version')))
        self.assertTrue(header.get('id'))

    def test_every_stream_has_its_own_id(self):
        ids = {self.daemon.client().open().stream.header.get('id') for _ in range(20)}
        self.assertEqual(20, len(ids))

    def test_wrong_password_then_right(self):
        client = self.daemon.client().open()
        answer = client.try_login('alice', 'wrong', 'home')
        self.assertEqual('401', error_code(answer))
        client.login('alice')
        client.settle()

    def test_who_guesses_is_ended(self):
        client = self.daemon.client().open()
        for number in range(6):
            self.assertEqual('error', client.try_login('alice', 'guess %d' % number, 'home').get('type'))
        client.expect_stream_error('policy-violation')

    def test_unknown_user_looks_like_a_wrong_password(self):
        client = self.daemon.client().open()
        self.assertEqual('401', error_code(client.try_login('nobody', 'secret', 'home')))

    def test_names_are_prepared(self):
        client = self.daemon.client().open()
        client.login('ALICE', resource='Home')
        client.available()
        answer = client.iq('get', "<query xmlns='jabber:iq:roster'/>")
        self.assertEqual('result', answer.get('type'))
        self.assertIn(answer.get('to'), (None, 'alice@localhost/Home'))

    def test_name_that_cannot_be_prepared(self):
        client = self.daemon.client().open()
        self.assertEqual('406', error_code(client.try_login('al ice', 'secret', 'home')))
        client.login('alice')

    def test_get_offers_a_password_and_no_digest(self):
        client = self.daemon.client().open()
        answer = client.iq('get', "<query xmlns='jabber:iq:auth'><username>alice</username></query>")
        query = answer.child('query')
        self.assertEqual({'username', 'password', 'resource'}, {child.name for child in query.children})

    def test_stream_of_before_rfc_3920(self):
        client = self.daemon.client().open(version=None)
        self.assertIsNone(client.stream.header.get('version'))
        client.login('alice')
        self.assertFalse([e for e in client.settle() if e.name == 'features'])

    def test_reconnect(self):
        for _ in range(5):
            client = self.daemon.login('alice').available()
            client.leave()

    def test_second_login_on_one_stream_is_not_a_second_session(self):
        self.daemon.add_user('bob', 'secret')
        client = self.daemon.login('alice').available()
        client.try_login('bob', 'secret', 'home')
        client.message('alice@localhost', 'who am I')
        self.assertEqual('alice@localhost/home', client.expect_message('who am I').get('from'))


class Registration(DaemonCase):
    def test_register_and_log_in(self):
        daemon = self.start()
        client = daemon.client().open()
        form = client.iq('get', "<query xmlns='jabber:iq:register'/>").child('query')
        self.assertTrue({'username', 'password'} <= {child.name for child in form.children})
        self.assertEqual('result', client.register('carol', 'secret').get('type'))
        client.login('carol')
        again = daemon.client().open()
        self.assertEqual('409', error_code(again.register('carol', 'other')))
        self.assertEqual('401', error_code(again.try_login('carol', 'other', 'home')))

    def test_registration_switched_off(self):
        daemon = self.start(registration=False)
        client = daemon.client().open()
        self.assertIsNone(client.features.child('register', IQ_REGISTER))
        self.assertEqual('error', client.register('carol', 'secret').get('type'))


class Chat(DaemonCase):
    def setUp(self):
        self.daemon = self.start(users=('alice', 'bob'))

    def both(self):
        return self.daemon.login('alice').available(), self.daemon.login('bob', resource='work').available()

    def test_a_message_each_way(self):
        alice, bob = self.both()
        chat(alice, bob, 'alice@localhost', 'bob@localhost/work')
        chat(alice, bob, 'alice@localhost/home', 'bob@localhost')

    def test_sender_cannot_be_forged(self):
        alice, bob = self.both()
        alice.send("<message to='bob@localhost' from='eve@localhost/x'><body>forged</body></message>")
        message = bob.expect_message('forged')
        self.assertEqual('alice@localhost/home', message.get('from'))
        self.assertIsNone(message.get('sto') or message.get('sfrom'))

    def test_order_is_kept(self):
        alice, bob = self.both()
        for number in range(500):
            alice.message('bob@localhost', 'number %d' % number)
        for number in range(500):
            self.assertEqual('number %d' % number, bob.expect('message').child_text('body'))

    def test_text_arrives_as_it_was_sent(self):
        alice, bob = self.both()
        text = '<>&\'"]]> \u00e4\u4e2d\U0001f600\t\n' + 'x' * 5000
        alice.message('bob@localhost', text)
        self.assertEqual(text, bob.expect('message').child_text('body'))

    def test_message_to_nobody_comes_back_as_an_error(self):
        alice, _ = self.both()
        alice.message('nobody@localhost', 'hello?')
        answer = alice.expect('message')
        self.assertEqual(('error', 'nobody@localhost'), (answer.get('type'), answer.get('from')))

    def test_subscription_and_presence(self):
        alice, bob = self.both()
        alice.send("<presence to='bob@localhost' type='subscribe'/>")
        bob.expect_presence('subscribe', 'alice@localhost')
        bob.send("<presence to='alice@localhost' type='subscribed'/>")
        alice.expect_presence('subscribed', 'bob@localhost')
        alice.expect_presence(None, 'bob@localhost/work')
        bob.send("<presence><show>away</show></presence>")
        away = alice.expect(lambda e: e.name == 'presence' and e.child('show') is not None)
        self.assertEqual(('bob@localhost/work', 'away'), (away.get('from'), away.child_text('show')))
        bob.leave()
        alice.expect_presence('unavailable', 'bob@localhost/work')
        bob = self.daemon.login('bob', resource='work').available()
        alice.expect_presence(None, 'bob@localhost/work')
        bob.reset()
        alice.expect_presence('unavailable', 'bob@localhost/work')

    def test_offline_message_comes_with_the_next_login(self):
        alice = self.daemon.login('alice').available()
        alice.message('bob@localhost', 'while you were out')
        alice.settle()
        bob = self.daemon.login('bob').available()
        message = bob.expect_message('while you were out')
        delay = message.child('delay', 'urn:xmpp:delay')
        self.assertIsNotNone(delay, message)
        self.assertTrue(re.match(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$', delay.get('stamp')), delay.get('stamp'))
        bob.leave()
        bob = self.daemon.login('bob').available()
        self.assertFalse([e for e in bob.settle() if e.name == 'message'], 'delivered twice')

    def test_offline_messages_survive_a_restart(self):
        alice = self.daemon.login('alice').available()
        alice.message('bob@localhost', 'keep this')
        alice.settle()
        self.daemon.stop()
        self.daemon.start()
        self.daemon.login('bob').available().expect_message('keep this')

    def test_priorities(self):
        alice = self.daemon.login('alice').available()
        low = self.daemon.login('bob', resource='low')
        low.send('<presence><priority>1</priority></presence>')
        high = self.daemon.login('bob', resource='high')
        high.send('<presence><priority>5</priority></presence>')
        low.settle()
        high.settle()
        alice.message('bob@localhost', 'to the higher')
        high.expect_message('to the higher')
        self.assertFalse([e for e in low.settle() if e.name == 'message'])


class Replaced(DaemonCase):
    def setUp(self):
        self.daemon = self.start(users=('alice',))

    def test_stream_of_today_gets_conflict(self):
        old = self.daemon.login('alice').available()
        new = self.daemon.login('alice').available()
        old.expect_stream_error('conflict')
        new.settle()

    def test_old_stream_gets_words(self):
        """Of before RFC 3920: it knows no elements in a stream error."""
        old = self.daemon.client().open(version=None).login('alice').available()
        new = self.daemon.login('alice').available()
        error = old.expect('error')
        self.assertEqual(('Disconnected', []), (error.text, error.children))
        old.expect_end()
        new.settle()

    def test_old_stream_gets_the_text(self):
        """From a session manager that says nothing but 510."""
        self.daemon.stop()
        daemon = self.start(users=('alice',), embedded={'dialect': 'sfrom'})
        old = daemon.client().open(version=None).login('alice').available()
        new = daemon.login('alice').available()
        error = old.expect('error')
        self.assertEqual('Disconnected', error.text)
        old.expect_end()
        new.settle()

    def test_the_new_session_is_not_ended_by_the_end_of_the_old(self):
        clients = [self.daemon.login('alice').available() for _ in range(10)]
        for old in clients[:-1]:
            old.expect_stream_error('conflict')
        clients[-1].message('alice@localhost', 'still here')
        clients[-1].expect_message('still here')
        self.assertEqual(1, len(self.daemon.ctl('sessions').stdout.split('alice@localhost/home')) - 1)


if __name__ == '__main__':
    harness.main()
