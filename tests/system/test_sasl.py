#!/usr/bin/env python3
"""SASL where the session manager only knows jabber:iq:auth: c2sd's own PLAIN and binding, over TLS and raw, on the dialect
sfrom."""
import base64
import re
import unittest

import harness
import scripted
from harness import DaemonCase, chat
from xmlstream import XmlStream

SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
BIND = 'urn:ietf:params:xml:ns:xmpp-bind'
SESSION = 'urn:ietf:params:xml:ns:xmpp-session'


def plain(user, password, authzid=''):
    return base64.b64encode(('%s\0%s\0%s' % (authzid, user, password)).encode()).decode()


class SaslCase(DaemonCase):
    def begin(self, tls='starttls', **arguments):
        arguments.setdefault('embedded', {'dialect': 'sfrom'})
        self.daemon = self.start(users=('alice', 'bob'), tls=tls, **arguments)
        return self.daemon

    def client(self, tls=True):
        client = self.daemon.client().open()
        self.addCleanup(client.close)
        return client.starttls(harness.tls_context()) if tls else client

    def offered(self, client):
        mechanisms = client.features.child('mechanisms', SASL)
        return mechanisms and [child.text for child in mechanisms.children]

    def auth(self, client, text, mechanism='PLAIN'):
        """The answer: <success/>, behind which the stream begins anew, or what else there is."""
        client.send("<auth xmlns='%s' mechanism='%s'>%s</auth>" % (SASL, mechanism, text))
        return self.answer(client)

    def answer(self, client):
        answer = client.expect(lambda e: e.namespace == SASL)
        if answer.name == 'success':
            client.stream = XmlStream()
        return answer

    def assert_failure(self, answer, condition):
        self.assertEqual('failure', answer.name)
        self.assertIsNotNone(answer.child(condition, SASL), answer)

    def bind(self, client, resource='home'):
        answer = client.iq('set', "<bind xmlns='%s'><resource>%s</resource></bind>" % (BIND, resource))
        self.assertEqual('result', answer.get('type'), answer)
        return answer.child('bind', BIND).child_text('jid')

    def log_in(self, client, user, password='secret'):
        self.assertEqual('success', self.auth(client, plain(user, password)).name)
        client.open()
        self.assertIsNotNone(client.features.child('bind', BIND))
        jid = self.bind(client)
        self.assertRegex(jid, '^%s@localhost/c2sd-[0-9a-f]{16}$' % user)
        return jid


class Login(SaslCase):
    def test_two_talk(self):
        self.begin()
        alice, bob = self.client(), self.client()
        self.assertEqual(['PLAIN'], self.offered(alice))
        addresses = [self.log_in(alice, 'alice'), self.log_in(bob, 'bob')]
        self.assertEqual('result', alice.iq('set', "<session xmlns='%s'/>" % SESSION).get('type'))
        again = alice.iq('set', "<bind xmlns='%s'/>" % BIND)
        self.assertIsNotNone(again.child('error').child('not-allowed'), again)
        alice.available()
        bob.available()
        chat(alice, bob, *addresses)
        self.assertEqual(2, len([line for line in self.daemon.log.lines if ' client logged-in account=' in line]))
        alice.leave()
        bob.leave()

    def test_beside_a_client_of_before(self):
        """Both kinds on one port, inside TLS and without; and one that makes its account first."""
        self.begin(tls_options={'required': 'no'})
        alice, bob, carol = self.client(), self.client(tls=False), self.client()
        self.assertIsNone(self.offered(bob))
        address = self.log_in(alice, 'alice')
        bob.login('bob')
        alice.available()
        bob.available()
        chat(alice, bob, address, 'bob@localhost/home')
        self.assertEqual('result', carol.register('carol', 'secret').get('type'))
        self.log_in(carol, 'carol')
        carol.settle()

    def test_name_and_password_in_a_response(self):
        self.begin()
        client = self.client()
        self.assertEqual('challenge', self.auth(client, '').name)
        client.send("<response xmlns='%s'>%s</response>" % (SASL, plain('ALICE', 'secret', 'alice@localhost')))
        self.assertEqual('success', self.answer(client).name)
        client.open()
        self.assertRegex(self.bind(client), '^alice@localhost/c2sd-')


class Refused(SaslCase):
    def test_one_by_one(self):
        """Each of them, and then the right one, on one connection."""
        self.begin(limits={'login_attempts': 20})
        client = self.client()
        for text, mechanism, condition in (
                (plain('alice', 'secret'), 'SCRAM-SHA-1', 'invalid-mechanism'),
                (plain('alice', 'secret', 'bob'), 'PLAIN', 'invalid-authzid'),
                ('*', 'PLAIN', 'incorrect-encoding'),
                ('=', 'PLAIN', 'malformed-request'),
                (plain('al ice', 'secret'), 'PLAIN', 'not-authorized'),
                (plain('alice', ''), 'PLAIN', 'not-authorized'),
                (plain('alice', 'wrong'), 'PLAIN', 'not-authorized'),
                (plain('nobody', 'secret'), 'PLAIN', 'not-authorized')):
            with self.subTest(condition=condition, mechanism=mechanism):
                self.assert_failure(self.auth(client, text, mechanism), condition)
        client.send("<abort xmlns='%s'/>" % SASL)
        self.assert_failure(self.answer(client), 'aborted')
        self.log_in(client, 'alice')

    def test_what_stands_in_the_log(self):
        """Who has guessed is named as ever, in a line that fail2ban reads; no password, nor its base64, is."""
        self.begin(limits={'login_attempts': 3})
        client = self.client()
        since = self.daemon.log.mark()
        for _ in range(3):
            self.assert_failure(self.auth(client, plain('alice', 'wrong password')), 'not-authorized')
        client.expect_stream_error('policy-violation')
        self.daemon.log.wait(' client ended reason=login-failed limit=login-attempts ', since)
        lines = [line for line in self.daemon.log.lines if ' login-failed ' in line]
        self.assertEqual(3, len(lines))
        with open(harness.SOURCE + '/../../etc/fail2ban/filter.d/c2sd.conf') as file:
            refused = re.search('^_refused = (.*)$', file.read(), re.M).group(1)
        for number, line in enumerate(lines, 1):
            self.assertRegex(line, r' client login-failed address=127\.0\.0\.1 port=\d+ account="alice@localhost" '
                                   r'reason=%s attempt=%d$' % (refused, number))
        everything = '\n'.join(self.daemon.log.lines)
        self.assertNotIn('wrong password', everything)
        self.assertNotIn(plain('alice', 'wrong password'), everything)

    def test_without_tls(self):
        self.begin(tls_options={'required': 'no'})
        client = self.client(tls=False)
        self.assertIsNone(self.offered(client))
        self.assert_failure(self.auth(client, plain('alice', 'secret')), 'encryption-required')
        client.starttls(harness.tls_context())
        self.log_in(client, 'alice')

    def test_nothing_but_binding_comes_behind_success(self):
        self.begin()
        for text in ("<message to='bob@localhost'/>", "<iq type='set' id='a'><query xmlns='jabber:iq:auth'>"
                     "<username>bob</username><password>secret</password><resource>r</resource></query></iq>"):
            client = self.client()
            self.auth(client, plain('alice', 'secret'))
            client.open()
            client.send(text)
            client.expect_stream_error('not-authorized')


class Memory(SaslCase):
    PASSWORD = 'a-word-that-is-nowhere-else'

    def holds(self, pid, needles):
        """Which of them are in the memory of that process?"""
        found = set()
        with open('/proc/%d/maps' % pid) as maps, open('/proc/%d/mem' % pid, 'rb', 0) as memory:
            for line in maps:
                place = re.match('([0-9a-f]+)-([0-9a-f]+) rw', line)
                begin, end = (int(number, 16) for number in place.groups()) if place else (0, 0)
                # Above that it is the room of OpenSSL's blocks, which is hardly used and takes long.
                if 0 < end - begin < 64 << 20:
                    memory.seek(begin)
                    content = memory.read(end - begin)
                    found.update(needle for needle in needles if needle in content)
        return found

    @unittest.skipIf(harness.is_sanitized(harness.program('worker/c2sd-worker')), 'a sanitizer keeps what was given back')
    def test_no_password_stays(self):
        for dialect in 'sfrom', 'xmpp':
            with self.subTest(dialect=dialect):
                self.check_memory(dialect)

    def check_memory(self, dialect):
        daemon = self.begin(embedded={'dialect': dialect})
        message = plain('alice', self.PASSWORD)
        client = self.client()
        self.assert_failure(self.auth(client, message), 'not-authorized')
        answer = client.iq('set', "<query xmlns='jabber:iq:auth'><username>alice</username><password>%s</password>"
                                  "<resource>r</resource></query>" % self.PASSWORD)
        self.assertEqual('error', answer.get('type'))
        client.leave()
        deadline = harness.Deadline()
        for pid in [daemon.process.pid] + daemon.worker_pids():
            try:
                while self.holds(pid, (self.PASSWORD.encode(), message[-24:].encode())):
                    self.assertGreater(deadline.left(), 0)
            except PermissionError:
                self.skipTest('the memory of another process is not to be read')


class Always(SaslCase):
    def test_offered_in_clear_text(self):
        self.begin(tls='none', extra='<sasl plain="always"/>')
        client = self.client(tls=False)
        self.assertEqual(['PLAIN'], self.offered(client))
        self.log_in(client, 'alice')
        client.settle()

    def test_tls_comes_before_it(self):
        """Who is logged in could begin again as nobody, with a session."""
        self.begin(tls_options={'required': 'no'}, extra='<sasl plain="always"/>')
        bystander, client = self.client(), self.client(tls=False)
        self.assertIsNotNone(client.features.child('starttls', harness.TLS))
        self.assertEqual('success', self.auth(client, plain('alice', 'secret')).name)
        client.open()
        self.assertIsNone(client.features.child('starttls', harness.TLS))
        client.send("<starttls xmlns='%s'/>" % harness.TLS)
        client.expect_stream_error('policy-violation')
        self.log_in(bystander, 'bob')


class Scripted(SaslCase):
    """What goes up, and what is made of what comes back."""

    def attempt(self, **link):
        self.sm = self.manager()
        self.daemon = self.start_with(self.sm, link=link, extra='<sasl plain="always"/>')
        client = self.daemon.client().open()
        self.addCleanup(client.close)
        client.send("<auth xmlns='%s' mechanism='PLAIN'>%s</auth>" % (SASL, plain('alice', 'secret')))
        asked = self.sm.expect('iq')
        return client, asked, asked.child('query', 'jabber:iq:auth')

    def test_password(self):
        _, asked, query = self.attempt()
        self.assertEqual(('set', 'localhost'), (asked.get('type'), asked.get('sto')))
        self.assertEqual(['username', 'password', 'resource'], [child.name for child in query.children])
        self.assertEqual(('alice', 'secret'), (query.child_text('username'), query.child_text('password')))

    def test_digest(self):
        """The password does not cross the link."""
        client, asked, query = self.attempt(digest='yes')
        self.assertEqual(['username', 'digest', 'resource'], [child.name for child in query.children])
        stream = client.stream.header.get('id')
        self.assertEqual(stream, query.child('digest').get('sid'))
        self.assertEqual(scripted.sha1(stream + 'secret'), query.child_text('digest'))
        self.sm.send("<iq type='result' id='%s' sto='%s' sfrom='alice@localhost/%s'/>" % (
            asked.get('id'), asked.get('sfrom'), query.child_text('resource')))
        self.assertEqual('success', self.answer(client).name)
        client.open()
        self.assertEqual('alice@localhost/' + query.child_text('resource'), self.bind(client, 'mine'))

    def test_errors(self):
        client, asked, _ = self.attempt()
        for code, condition in (('500', 'temporary-auth-failure'), ('406', 'malformed-request'), ('401', 'not-authorized')):
            self.sm.send("<iq type='error' id='%s' sto='%s' sfrom='localhost'><error code='%s'/></iq>" % (
                asked.get('id'), asked.get('sfrom'), code))
            self.assert_failure(self.answer(client), condition)
            client.send("<auth xmlns='%s' mechanism='PLAIN'>%s</auth>" % (SASL, plain('alice', 'secret')))
            asked = self.sm.expect('iq')

    def test_ended_between_success_and_bind(self):
        client, asked, query = self.attempt()
        address = 'alice@localhost/' + query.child_text('resource')
        self.sm.send("<iq type='result' id='%s' sto='%s' sfrom='%s'/>" % (asked.get('id'), asked.get('sfrom'), address))
        self.assertEqual('success', self.answer(client).name)
        client.open()
        self.sm.deliver(asked.get('sfrom'), address, "<message id='held'/>")
        self.sm.end(asked.get('sfrom'), address)
        client.expect_stream_error('undefined-condition')
        client.close()
        back = self.sm.expect('message')
        self.assertEqual('held', back.get('id'))
        self.assertTrue(back.has_510(), back)

    def test_link_cut_while_it_waits(self):
        client, _, _ = self.attempt()
        self.sm.drop()
        client.expect_close()


if __name__ == '__main__':
    harness.main()
