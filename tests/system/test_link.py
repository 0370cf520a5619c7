#!/usr/bin/env python3
"""The link in the sfrom dialect, seen from a session manager that does what the test says (README.SM.txt)."""
import hashlib
import os
import select
import shutil
import tempfile

import harness
from harness import DaemonCase, Daemon, process_status



class LinkCase(DaemonCase):
    def up(self, link=None, manager=None, **arguments):
        self.sm = manager or self.manager()
        self.daemon = self.start_with(self.sm, link=link, **arguments)

    def started(self, link=None, **arguments):
        """A daemon whose session manager is not there yet."""
        self.sm = self.manager()
        self.daemon = Daemon(link=self.sm.attributes(**(link or {})), **arguments)
        self.addCleanup(self.daemon.cleanup)
        self.daemon.start(ready=False)
        self.daemon.log.wait(r'worker \d+ started', count=self.daemon.workers)

    def client(self, user, **arguments):
        client = self.daemon.client()
        client.identity = self.sm.let_in(client, user, **arguments)
        return client

    def waiting_client(self):
        """One that has said everything it needs for a login, and is not served yet."""
        client = self.daemon.client()
        client.open(wait=False)
        return client

    def assert_unserved(self, client):
        """Nothing comes. A second is not proof, but a daemon that serves does it within a millisecond."""
        self.assertFalse(select.select([client.socket], [], [], 1)[0])

    def assert_quiet(self, client):
        """Nothing is on the link but what this round trip puts there."""
        client.send("<iq type='get' id='quiet' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        found = self.sm.expect()
        self.assertEqual('quiet', found.get('id'), found)
        self.sm.send("<iq type='result' id='quiet' from='localhost' sto='%s' sfrom='x@localhost'/>" % client.identity)
        answer = client.expect()
        self.assertEqual('quiet', answer.get('id'), answer)


class Establish(LinkCase):
    def test_header_and_handshake(self):
        self.started()
        self.sm.listen()
        link = self.sm.accept()
        self.assertEqual('stream', link.stream.header.name)
        identity = self.sm.header()
        found = link.expect('handshake').text
        self.assertEqual(hashlib.sha1((identity + self.sm.secret).encode()).hexdigest(), found)
        link.send('<handshake/>')
        self.daemon.wait_ready()

    def test_unix_socket(self):
        folder = tempfile.mkdtemp(prefix='c2sd-test.')
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        self.up(manager=self.manager(path=os.path.join(folder, 'sm')))
        self.assert_quiet(self.client('alice'))

    def test_handshake_one_byte_at_a_time(self):
        self.started()
        self.sm.listen()
        link = self.sm.accept()
        text = ("<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' id='6B0180F5' "
                "xmlns='jabberd:sockets'>")
        for byte in text:
            link.send(byte)
        link.expect('handshake')
        for byte in '<handshake/>':
            link.send(byte)
        self.daemon.wait_ready()

    def comes_up_after(self, trouble, **link):
        """A client that came during the trouble is served when it is over."""
        self.started(link=link)
        trouble()
        client = self.waiting_client()
        self.sm.up()
        self.daemon.wait_ready()
        client.expect_header()
        client.expect('features')
        self.sm.let_in(client, 'alice', open=False)

    def test_refused_at_first(self):
        def trouble():
            self.assert_unserved(self.waiting_client())
        self.comes_up_after(trouble)

    def test_wrong_secret(self):
        def trouble():
            self.sm.listen()
            self.sm.accept()
            self.sm.handshake("<stream:error>Invalid Handshake</stream:error></stream:stream>")
            self.sm.drop()
        self.comes_up_after(trouble)

    def test_nobody_answers(self):
        def trouble():
            self.sm.listen()
            self.sm.accept().expect_close()
        self.comes_up_after(trouble, timeout=1)

    def test_no_answer_to_the_handshake(self):
        def trouble():
            self.sm.listen()
            link = self.sm.accept()
            self.sm.header()
            link.expect('handshake')
            link.expect_close()
        self.comes_up_after(trouble, timeout=1)

    def test_garbage(self):
        for garbage in ('HTTP/1.1 400 Bad Request\r\n\r\n', '\0' * 100, '<stream:stream', '<a></b>', '</x>',
                        "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'><handshake/>",
                        "<!DOCTYPE x [<!ENTITY a 'b'>]><stream:stream id='1'>"):
            with self.subTest(garbage):
                def trouble():
                    self.sm.listen()
                    link = self.sm.accept()
                    link.send(garbage)
                    link.expect_close()
                self.comes_up_after(trouble, timeout=1)
                self.daemon.cleanup()
                self.sm.close()

    def test_quiet_link_is_normal(self):
        """No answer counts only until the link is up."""
        self.up(link=dict(timeout=1))
        client = self.client('alice')
        self.assertFalse(select.select([self.sm.link.socket], [], [], 2.5)[0])
        self.assert_quiet(client)

    def test_waiting_clients_have_their_deadline_stopped(self):
        self.started(limits={'login_seconds': 1})
        client = self.waiting_client()
        self.assertFalse(select.select([client.socket], [], [], 2.5)[0])
        self.sm.up()
        client.expect_header()
        self.sm.let_in(client, 'alice', open=False)

    def test_trying_again_blocks_nothing_and_does_not_spin(self):
        self.started()
        waiting = self.waiting_client()
        self.assert_unserved(waiting)
        self.assertNotEqual('up', self.daemon.status()['link']['state'])
        switches = int(process_status(self.daemon.process.pid)['voluntary_ctxt_switches'])
        self.assert_unserved(waiting)
        self.assertLess(int(process_status(self.daemon.process.pid)['voluntary_ctxt_switches']) - switches, 200)


class Loss(LinkCase):
    def test_clients_stay_and_go_on(self):
        self.up()
        alice, bob = self.client('alice'), self.client('bob')
        self.sm.close()
        alice.message('bob@localhost', 'sent while the link was down')
        self.assert_unserved(alice)
        self.sm.up()
        message = self.sm.expect('message')
        self.assertEqual(('alice@localhost/home', alice.identity), (message.get('sto'), message.get('sfrom')))
        self.sm.send("<message to='bob@localhost' from='alice@localhost/home' sto='%s' sfrom='bob@localhost'>"
                     "<body>back</body></message>" % bob.identity)
        bob.expect_message('back')

    def test_login_on_its_way_is_ended_and_its_late_answer_goes_back(self):
        """Nobody knows whether it arrived; a session that it made after all must not stay without a client."""
        self.up()
        alice = self.daemon.client().open()
        alice.send("<iq type='set' id='a'><query xmlns='jabber:iq:auth'><username>alice</username>"
                   "<password>secret</password><resource>home</resource></query></iq>")
        asked = self.sm.expect('iq')
        waiting = self.daemon.client().open()
        self.sm.close()
        alice.expect_stream_error('remote-connection-failed')
        alice.close()
        self.sm.up()
        self.sm.send("<iq type='result' id='a' sto='%s' sfrom='alice@localhost/home'/>" % asked.get('sfrom'))
        back = self.sm.expect('iq')
        self.assertEqual(('alice@localhost/home', 'error', '510'),
                         (back.get('sto'), back.get('type'), back.child('error').get('code')))
        self.sm.let_in(waiting, 'bob', open=False)

    def test_hold_is_over(self):
        self.up(link=dict(hold=1))
        clients = [self.client('alice'), self.client('bob')]
        self.sm.close()
        for client in clients:
            client.expect_stream_error('system-shutdown')

    def test_sessions_that_ended_meanwhile_are_ended_first(self):
        self.up()
        alice, bob = self.client('alice'), self.client('bob')
        self.sm.close()
        # From here on nobody is read.
        self.daemon.log.wait('link changed from=up to=down')
        self.daemon.status()
        alice.reset()
        self.daemon.log.wait('client ended')
        bob.message('alice@localhost', 'are you there')
        self.sm.up()
        end = self.sm.expect()
        self.assertTrue(end.has_510(), end)
        self.assertEqual(('alice@localhost/home', alice.identity), (end.get('sto'), end.get('sfrom')))
        self.assertEqual(bob.identity, self.sm.expect().get('sfrom'))

    def test_half_a_packet_at_the_end_of_a_link(self):
        self.up()
        alice = self.client('alice')
        self.sm.send("<message sto='%s' sfrom='alice@localhost'><body>half" % alice.identity)
        self.sm.close()
        self.sm.up()
        self.assert_quiet(alice)

    def test_link_that_becomes_malformed(self):
        for bad in ('</stream:stream>', '\0', '</a>', '<!DOCTYPE x>', '<stream:error>x</stream:error></stream:stream>'):
            with self.subTest(bad):
                self.up()
                alice = self.client('alice')
                self.sm.send(bad)
                self.sm.link.expect_close()
                self.sm.up()
                self.assert_quiet(alice)


class Packets(LinkCase):
    def setUp(self):
        self.up()
        self.alice = self.client('alice')
        self.bob = self.client('bob')

    def test_ids(self):
        for client in (self.alice, self.bob):
            user, _, host = client.identity.partition('@')
            self.assertRegex(user, '^[0-9a-z.-]{1,64}$')
            self.assertEqual(self.sm.name, host.partition('/')[0])

    def test_ids_are_never_used_again(self):
        seen = {self.alice.identity, self.bob.identity}
        for _ in range(10):
            client = self.client('carol')
            self.assertNotIn(client.identity, seen)
            seen.add(client.identity)
            client.leave()
            self.assertTrue(self.sm.expect().has_510())

    def test_addresses_of_a_login(self):
        client = self.daemon.client().open()
        client.send("<iq type='set' id='1' sto='eve' sfrom='eve'><query xmlns='jabber:iq:auth'><username>alice"
                    "</username><password>p</password><resource>r</resource></query></iq>")
        asked = self.sm.expect()
        self.assertEqual('localhost', asked.get('sto'))
        self.assertTrue(asked.get('sfrom').endswith('@foo-sockets'), asked)

    def test_sto_and_sfrom_are_overwritten(self):
        self.alice.send("<message sto='bob@localhost/home' sfrom='%s' to='x@localhost' x='1'/>" % self.bob.identity)
        found = self.sm.expect()
        self.assertEqual(('alice@localhost/home', self.alice.identity, '1'),
                         (found.get('sto'), found.get('sfrom'), found.get('x')))
        self.assertEqual(1, found.raw.count(b' sto='))
        self.assertEqual(1, found.raw.count(b' sfrom='))

    def test_sto_and_sfrom_never_reach_a_client(self):
        for text in ("<message sto='{0}' sfrom='alice@localhost' to='a'><body>x</body></message>",
                     "<message to='a' sfrom=\"alice@localhost\"\n\tsto=\"{0}\"><body>x</body></message>",
                     "<message  to = 'a'  sto = '{0}'  sfrom = 'alice@localhost' ><body>x</body></message>",
                     "<message xml:lang='de' sfrom='alice@localhost' sto='{0}' to='a'><body>x</body></message >"):
            self.sm.send(text.format(self.alice.identity))
            message = self.alice.expect_message('x')
            self.assertEqual('a', message.get('to'))
            self.assertIsNone(message.get('sto'))
            self.assertIsNone(message.get('sfrom'))

    def test_unknown_id_is_bounced(self):
        gone = self.alice.identity[:-len('@foo-sockets')] + 'x@foo-sockets'
        for kind in (None, 'chat', 'error'):
            type_ = " type='%s'" % kind if kind else ''
            self.sm.send("<message to='a@localhost' from='b@localhost/w'%s id='1' sto='%s' sfrom='c@localhost'>"
                         "<body>yo</body></message>" % (type_, gone))
            bounce = self.sm.expect()
            self.assertEqual(('a@localhost', 'b@localhost/w', 'error', '1', 'c@localhost', gone),
                             tuple(bounce.get(a) for a in ('to', 'from', 'type', 'id', 'sto', 'sfrom')))
            self.assertEqual(['body', 'error'], [child.name for child in bounce.children])
            error = bounce.children[-1]
            self.assertEqual(('510', kind, 'Disconnected'), (error.get('code'), error.get('type'), error.text))

    def test_packet_of_a_client_that_has_left_is_bounced(self):
        self.alice.leave()
        self.assertTrue(self.sm.expect().has_510())
        self.sm.send("<presence from='b@localhost/w' sto='%s' sfrom='alice@localhost'/>" % self.alice.identity)
        bounce = self.sm.expect('presence')
        self.assertEqual((None, 'b@localhost/w', 'error', 'alice@localhost', self.alice.identity),
                         tuple(bounce.get(a) for a in ('to', 'from', 'type', 'sto', 'sfrom')))

    def test_510_for_a_gone_id_is_swallowed(self):
        self.daemon.may_drop = True
        self.alice.leave()
        self.sm.expect()
        self.sm.send("<message type='error' sto='%s' sfrom='alice@localhost/home'><error code='510'>Disconnected"
                     "</error></message>" % self.alice.identity)
        self.sm.send("<message to='a' from='b' type='error' sto='%s' sfrom='alice@localhost'><body>x</body>"
                     "<error code='510' type='chat'>Disconnected</error></message>" % self.alice.identity)
        self.assert_quiet(self.bob)

    def test_bare_510_when_a_client_leaves(self):
        for leave in (lambda c: c.leave(), lambda c: c.close(), lambda c: c.reset(), lambda c: c.send('<<')):
            client = self.client('carol')
            leave(client)
            end = self.sm.expect()
            self.assertEqual({'type': 'error', 'sto': 'carol@localhost/home', 'sfrom': client.identity},
                             end.attributes)
            self.assertEqual('message', end.name)
            self.assertEqual(['error'], [child.name for child in end.children])
            self.assertEqual(({'code': '510'}, 'Disconnected'),
                             (end.children[0].attributes, end.children[0].text))
            self.assert_quiet(self.bob)

    def test_nothing_when_a_client_leaves_before_login(self):
        client = self.daemon.client().open()
        client.leave()
        self.assert_quiet(self.bob)

    def test_510_of_the_session_manager_ends_the_client(self):
        self.sm.send("<message type='error' sto='%s' sfrom='alice@localhost/home'><error code='510'>Disconnected"
                     "</error></message>" % self.alice.identity)
        self.alice.expect('error')
        self.alice.expect_end()
        self.assert_quiet(self.bob)

    def test_510_before_login_ends_the_client_when_it_is_from_the_host(self):
        client = self.daemon.client().open()
        client.send("<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>")
        identity = self.sm.expect().get('sfrom')
        self.sm.send("<iq type='error' id='1' sto='%s' sfrom='localhost'><query xmlns='jabber:iq:register'/>"
                     "<error code='510' type='get'>Server Delivery Error</error></iq>" % identity)
        client.expect_end()
        self.assert_quiet(self.bob)

    def assert_harmless(self, packet):
        self.sm.send(packet.format(sto=self.alice.identity))
        self.sm.send("<message sto='%s' sfrom='alice@localhost'><body>after</body></message>" % self.alice.identity)
        self.alice.expect_message('after')
        self.assertFalse([e for e in self.alice.pending if e.namespace == harness.STREAMS])
        self.alice.pending.clear()
        self.assert_quiet(self.alice)

    def test_forged_510_in_the_packet_of_another_user(self):
        for sfrom in ('alice@localhost/home', 'alice@localhost'):
            self.assert_harmless("<message to='alice@localhost' from='eve@localhost/x' type='error' sto='{sto}' "
                                 "sfrom='%s'><body>x</body><error code='510'>Disconnected</error></message>" % sfrom)

    def test_510_with_another_address(self):
        for sfrom in ('alice@localhost/other', 'bob@localhost/home', 'localhost', 'alice@localhost/home2'):
            self.assert_harmless("<message type='error' sto='{sto}' sfrom='%s'><error code='510'>Disconnected"
                                 "</error></message>" % sfrom)

    def test_forged_510_of_a_client_loses_its_code(self):
        for text in ("<message type='error' to='bob@localhost'><error code='510'>Disconnected</error></message>",
                     "<message type='error' to='bob@localhost'><error code='&#53;10'>Disconnected</error></message>",
                     "<c:message xmlns:c='jabber:client' type='error'><c:error code='510'/></c:message>",
                     "<iq type='error' id='1'><error xmlns='other' code='510'/></iq>"):
            self.alice.send(text)
            found = self.sm.expect()
            self.assertFalse(found.has_510(), found)
            self.assertEqual(self.alice.identity, found.get('sfrom'))
        self.assert_quiet(self.alice)

    def test_login_answer_with_another_id_is_no_login(self):
        client = self.daemon.client().open()
        client.send("<iq type='set' id='real'><query xmlns='jabber:iq:auth'><username>carol</username><password>x"
                    "</password><resource>r</resource></query></iq>")
        identity = self.sm.expect().get('sfrom')
        for attributes in ("type='result' id='other' sfrom='carol@localhost/r'",
                           "type='result' id='real' sfrom='localhost'",
                           "type='error' id='real' sfrom='carol@localhost/r'"):
            self.sm.send("<iq %s sto='%s'/>" % (attributes, identity))
        client.expect(lambda e: e.get('type') == 'error')
        client.send('<presence/>')
        client.expect_stream_error('not-authorized')
        self.assert_quiet(self.bob)

    def test_unexpected_login_answer_in_a_session_changes_nothing(self):
        self.sm.send("<iq type='result' id='login' sto='%s' sfrom='eve@localhost/x'/>" % self.alice.identity)
        self.alice.expect('iq')
        self.alice.send("<presence/>")
        self.assertEqual('alice@localhost/home', self.sm.expect().get('sto'))

    def test_packets_that_are_nobodys(self):
        self.daemon.may_drop = True
        self.sm.send("<message/><message sto='foo-sockets'/><message sto='@foo-sockets'/><message sto=''/>"
                     "<message sto='x@elsewhere' sfrom='y'/>")
        self.sm.link.pending.clear()
        self.alice.message('x@localhost', 'alive')
        self.sm.expect(lambda e: e.child_text('body') == 'alive')

    def test_order_both_ways(self):
        for number in range(1000):
            self.alice.message('bob@localhost', str(number))
            self.sm.send("<message sto='%s' sfrom='bob@localhost'><body>%d</body></message>" %
                         (self.bob.identity, number))
        for number in range(1000):
            self.assertEqual(str(number), self.sm.expect().child_text('body'))
            self.assertEqual(str(number), self.bob.expect().child_text('body'))

    def test_link_one_byte_at_a_time(self):
        text = "<message sto='%s' sfrom='alice@localhost'><body>slow &amp; steady</body></message>"
        for byte in text % self.alice.identity:
            self.sm.send(byte)
        self.alice.expect_message('slow & steady')

    def test_bytes_are_passed_on_as_they_are(self):
        inner = ("<body>&lt;&#x263a;\u00e4 ]]&gt;</body><x xmlns='urn:x' a=\"'\"><y/></x><z:q xmlns:z='urn:z' z:a='1'>"
                 "<![CDATA[<>]]></z:q>")
        self.sm.send("<message sto='%s' sfrom='alice@localhost' id='i'>%s</message>" % (self.alice.identity, inner))
        self.assertIn(inner.encode(), self.alice.expect('message').raw)

    def test_a_session_manager_that_does_not_read(self):
        """Clients are not read either, nobody is closed, and all of it arrives in the end."""
        sent, rest = 0, b''
        while sent < 4000:
            rest = rest or ("<message id='%d' to='bob@localhost'><body>%s</body></message>" %
                            (sent, 'x' * 8000)).encode()
            if not select.select([], [self.alice.socket], [], 1)[1]:
                break
            rest = rest[self.alice.socket.send(rest):]
            sent += not rest
        self.assertLess(sent, 4000, 'c2sd keeps reading although the link does not')
        for number in range(sent):
            self.assertEqual(str(number), self.sm.expect('message').get('id'))
        self.assertFalse(self.alice.ended)

    def test_small_elements_that_grow_on_their_way(self):
        """Thousands in one read, each with the longest of addresses, while the link takes nothing: the worker stops in
        the middle of what it has read, and goes on there."""
        client = self.daemon.client().open()
        user, resource = 'a' * 1000, '&apos;' * 1023
        client.send("<iq type='set' id='login'><query xmlns='jabber:iq:auth'><username>%s</username>"
                    "<password>secret</password><resource>%s</resource></query></iq>" % (user, resource))
        asked = self.sm.expect('iq')
        self.sm.send("<iq type='result' id='login' sto='%s' sfrom='%s@localhost/%s'/>" %
                     (asked.get('sfrom'), user, resource))
        client.expect('iq')
        client.send('<iq/>' * 3276)
        client.send("<message id='last'/>")
        elements = [self.sm.expect() for _ in range(3276)]
        self.assertEqual({('iq', asked.get('sfrom'))}, {(e.name, e.get('sfrom')) for e in elements})
        self.assertEqual('last', self.sm.expect('message').get('id'))
        self.alice.message('bob@localhost', 'still here')
        self.sm.expect(lambda e: e.child_text('body') == 'still here')

    def test_counters(self):
        self.sm.send("<message sto='%s' sfrom='alice@localhost'><body>1</body></message>" % self.alice.identity)
        self.alice.expect_message('1')
        self.alice.leave()
        self.sm.expect()
        self.sm.send("<message sto='%s' sfrom='alice@localhost'><body>2</body></message>" % self.alice.identity)
        self.assertTrue(self.sm.expect().has_510())
        status = self.daemon.status()
        found = [o for o in objects(status) if 'settled' in o]
        self.assertTrue(found)
        for counters in found:
            self.assertEqual(counters['in'], sum(counters[name] for name in
                                                 ('settled', 'bounced', 'consumed', 'dropped', 'held')), counters)


def objects(value):
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from objects(item)


if __name__ == '__main__':
    harness.main()
