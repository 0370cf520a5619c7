#!/usr/bin/env python3
"""The session manager restarts, and no client drops whose session it still has: in each dialect, with many clients, with
and without what it knew before; and the link may break while sessions are asked, started again or ended (doc/link.md, "When
the link is away")."""
import select
import socket

import harness
from harness import DaemonCase
from scripted import probe_of
from servers import RouteServer, SfromServer

COUNT = 50
ALL = range(COUNT)


class Flapping:
    """A server that loses its link when the element comes with which the next number of `cuts` is reached; `counts` says what
    is counted."""

    def __init__(self, cuts, counts, **arguments):
        super().__init__(**arguments)
        self.cuts = list(cuts)
        self.counts = counts
        self.counted = 0

    def on_element(self, element):
        if self.cuts and self.counts(element):
            self.counted += 1
            if self.counted == self.cuts[0]:
                self.counted = 0
                self.cuts.pop(0)
                self._down()
                return
        super().on_element(element)


class FlappingSfrom(Flapping, SfromServer):
    pass


class FlappingRoute(Flapping, RouteServer):
    pass


class Crowd(DaemonCase):
    def crowd(self, server, link=None, limits=None, count=COUNT):
        """That many clients, 'u0' and so on, all of them available."""
        self.sm = server
        server.service.users.update({'u%d' % number: 'secret' for number in range(count)})
        self.daemon = self.start_with(server, link=dict({'timeout': 2, 'hold': 100}, **(link or {})), limits=limits)
        self.clients = [self.daemon.client().open().login('u%d' % number) for number in range(count)]
        for client in self.clients:
            client.send('<presence/>')
        self.wait_presences(ALL)
        return server

    def wait_presences(self, numbers):
        wanted = {'u%d' % number for number in numbers}
        self.sm.wait_for(lambda: wanted <= {s.user for s in self.sm.service.sessions if s.presence is not None})

    def restart(self, forgotten=()):
        """The link is cut, and what the session manager knows of these users' sessions is gone."""
        users = {'u%d' % number for number in forgotten}
        mark = self.daemon.log.mark()
        with self.sm.lock:
            if len(users) == len(self.clients):
                self.sm.forget()
            self.sm.service.sessions[:] = [s for s in self.sm.service.sessions if s.user not in users]
            self.sm.drop()
        self.sm.up()
        return mark

    def chat(self, numbers, word='chat'):
        """Everybody says something to the next one, who gets it."""
        numbers = list(numbers)
        for number in numbers:
            self.clients[number].message('u%d@localhost' % numbers[(numbers.index(number) + 1) % len(numbers)],
                                         '%s %d' % (word, number))
        for number in numbers:
            self.clients[numbers[(numbers.index(number) + 1) % len(numbers)]].expect_message('%s %d' % (word, number))

    def assert_here(self, numbers, mark):
        """They, and nobody else; nobody was ended by mistake, and no packet has vanished."""
        numbers = list(numbers)
        ended = COUNT - len(numbers)
        if ended:
            self.daemon.log.wait('client ended ', since=mark, count=ended)
        self.assertEqual(ended, len([line for line in self.daemon.log.lines[mark:] if 'client ended ' in line]))
        self.wait_sessions(len(numbers))
        for number in numbers:
            self.assertEqual([], [e for e in self.clients[number].pending if e.name == 'error'])
            self.assertFalse(self.clients[number].ended)
        self.assert_balance()

    def wait_sessions(self, count):
        """Who was told may take his leave."""
        deadline = harness.Deadline()
        while self.daemon.status()['sessions'] != count:
            self.assertTrue(deadline.left(), self.daemon.status()['sessions'])

    def assert_balance(self):
        deadline = harness.Deadline()
        while True:
            packets = self.daemon.status()['packets']
            self.assertTrue(packets['balanced'], packets)
            if packets['held'] == 0:
                return packets
            self.assertTrue(deadline.left(), packets)

    def assert_told(self, numbers):
        for number in numbers:
            self.clients[number].expect_stream_error('remote-connection-failed')

    def probed(self, mark):
        return self.daemon.log.wait('link probed ', since=mark)[-1].partition('link probed ')[2]


class Sfrom(Crowd):
    def test_all_are_known(self):
        self.crowd(self.server('sfrom', mute=True))
        self.chat(ALL)
        mark = self.restart()
        self.assertEqual('asked=50 known=50 again=0 gone=0', self.probed(mark))
        self.chat(ALL, 'again')
        self.assert_here(ALL, mark)
        # Nobody saw anything of it.
        for client in self.clients:
            self.assertEqual([], [e for e in client.pending if e.name == 'iq'])

    def test_some_are_forgotten(self):
        """By one that says nothing, as it was in 2000, and by one that says so."""
        for mute in True, False:
            with self.subTest(mute=mute):
                self.crowd(self.server('sfrom', mute=mute), link={'spread': 1})
                lost, kept = range(0, COUNT, 2), range(1, COUNT, 2)
                mark = self.restart(lost)
                self.assertEqual('asked=50 known=25 again=0 gone=25', self.probed(mark))
                self.assert_told(lost)
                self.chat(kept)
                self.assert_here(kept, mark)
                self.daemon.log.wait('client ended reason=forgotten', since=mark, count=25)
                # They come back.
                for number in lost:
                    self.clients[number] = self.daemon.login('u%d' % number).available()
                self.chat(ALL, 'again')
                self.daemon.stop()

    def test_what_the_forgotten_send(self):
        """It goes nowhere, so it ends them at once, long before their turn."""
        self.crowd(self.server('sfrom', mute=False), link={'spread': 86400})
        mark = self.restart(ALL)
        self.assertEqual('asked=50 known=0 again=0 gone=50', self.probed(mark))
        self.assertLessEqual(self.daemon.status()['clients'], COUNT)
        some = range(10)
        for number in some:
            self.clients[number].message('u20@localhost', 'in vain')
        self.assert_told(some)
        self.assert_balance()
        self.assertNotIn('in vain', repr(self.sm.came))

    def test_link_breaks_while_they_are_asked(self):
        server = FlappingSfrom((1, 10, 1, 49), lambda e: probe_of(e) is not None, mute=True)
        self.addCleanup(server.close)
        self.crowd(server)
        mark = self.restart()
        server.wait_for(lambda: not server.cuts and server.is_up)
        self.assertRegex(self.probed(mark), 'known=50 again=0 gone=0')
        self.chat(ALL)
        self.assert_here(ALL, mark)

    def test_link_breaks_while_they_are_ended(self):
        """Who is to end ends; the others are asked anew."""
        self.crowd(self.server('sfrom', mute=False), link={'spread': 2})
        lost, kept = range(0, COUNT, 2), range(1, COUNT, 2)
        mark = self.restart(lost)
        self.daemon.log.wait('client ended reason=forgotten', since=mark)
        self.sm.drop()
        self.assert_told(lost)
        self.sm.up()
        self.chat(kept)
        self.assert_here(kept, mark)

    def test_510s_go_first(self):
        sm = self.manager('sfrom')
        sm.answers = False
        daemon = self.start_with(sm)
        clients = [daemon.client() for _ in range(3)]
        ends = [sm.admit(client, 'u%d' % number) for number, client in enumerate(clients)]
        sm.drop()
        daemon.log.wait('link lost')
        clients[0].reset()
        clients[2].reset()
        daemon.log.wait('client ended', count=2)
        sm.up()
        found = [sm.expect() for _ in range(3)]
        self.assertTrue(found[0].has_510() and found[1].has_510(), found)
        self.assertEqual({ends[0], ends[2]}, {(e.get('sfrom'), e.get('sto')) for e in found[:2]})
        self.assertEqual((ends[1][0], 'get'), (found[2].get('sfrom'), found[2].get('type')), found[2])
        sm.answer_probe(found[2])
        daemon.log.wait('link probed asked=1 known=1 ')
        # Her own with that id is hers, both ways.
        clients[1].send("<iq type='get' id='%s'><query xmlns='jabber:iq:time'/></iq>" % found[2].get('id'))
        own = sm.expect()
        self.assertEqual(ends[1][0], own.get('sfrom'))

    def test_packets_under_way(self):
        """A client's packet and a packet for it, in the moment of the loss."""
        sm = self.manager('sfrom')
        daemon = self.start_with(sm)
        client, other = daemon.client(), daemon.client()
        identity, address = sm.admit(client, 'alice')
        sm.admit(other, 'bob')
        sm.deliver(identity, address, "<message><body>before</body></message>")
        client.message('bob@localhost', 'mine')
        sm.end(identity, address)
        sm.expect(lambda e: e.child_text('body') == 'mine')
        sm.link.socket.shutdown(socket.SHUT_WR)
        daemon.log.wait('link lost')
        client.expect_message('before')
        client.expect_stream_error('undefined-condition')
        client.close()
        sm.up()
        # Nothing is said of her end: the session manager has said it; nobody but bob is asked.
        other.message('x@localhost', 'quiet')
        sm.expect(lambda e: e.child_text('body') == 'quiet')
        self.assertEqual([], [e for e in sm.link.pending if e.has_510()])
        daemon.log.wait('link probed asked=1 known=1 ')
        self.assertTrue(daemon.status()['packets']['balanced'])


class Route(Crowd):
    def check(self, server, restarts=1):
        self.crowd(server)
        for number in range(restarts):
            mark = self.restart(ALL)
            if number == 0:     # identical lines are folded
                self.assertEqual('asked=50 known=0 again=50 gone=0', self.probed(mark))
            # All are present again, and none of them has sent anything.
            self.wait_presences(ALL)
            self.chat(ALL, 'after %d' % number)
            self.assert_here(ALL, mark)
        for client in self.clients:
            self.assertEqual([], [e for e in client.pending if e.name == 'iq'])

    def test_all_are_started_again(self):
        for version in '1.2', 'head':
            with self.subTest(version=version):
                self.check(self.server('route', version=version), 3)
                # The question itself never came a second time.
                asked = [probe_of(e).get('id') for e in self.sm.came if probe_of(e)]
                self.assertEqual(3 * COUNT, len(asked))
                self.daemon.stop()

    def test_some_are_known(self):
        self.crowd(self.server('route'))
        mark = self.restart(range(0, COUNT, 2))
        self.assertEqual('asked=50 known=25 again=25 gone=0', self.probed(mark))
        self.wait_presences(ALL)
        self.chat(ALL)
        self.assert_here(ALL, mark)

    def test_link_breaks_while_they_are_started(self):
        for counts in (lambda e: probe_of(e) is not None), (lambda e: e.get('type') == 'session'):
            with self.subTest():
                server = FlappingRoute((), counts)
                self.addCleanup(server.close)
                self.crowd(server)
                server.cuts = [1, 10]
                mark = self.restart(ALL)
                server.wait_for(lambda: not server.cuts and server.is_up and len(server.service.sessions) == COUNT)
                # A presence may have been written when the link broke, and be lost (link.md, "Acknowledgement", last lines).
                for client in self.clients:
                    client.send('<presence/>')
                self.wait_presences(ALL)
                self.chat(ALL)
                self.assert_here(ALL, mark)
                self.daemon.stop()


class Xmpp(Crowd):
    def test_all_are_over(self):
        self.crowd(self.server('xmpp'), link={'spread': 1})
        self.chat(ALL)
        self.sm.came.clear()
        mark = self.restart(ALL)
        self.daemon.log.wait('link sessions-over clients=50 seconds=1', since=mark)
        self.assert_told(ALL)
        self.assert_here((), mark)
        # Nothing was said of them on the link: the session manager does not know them.
        self.assertEqual([], [e for e in self.sm.came if e.has_510() or e.name == 'close'])
        self.clients = [self.daemon.login('u%d' % number).available() for number in ALL]
        self.chat(ALL, 'anew')

    def test_what_they_have_not_got_comes_back(self):
        """And what they send ends them."""
        sm = self.manager('xmpp')
        daemon = self.start_with(sm, link={'spread': 86400}, limits={'unsent-bytes': 8000000})
        client = daemon.client(receive_buffer=4096)
        identity, address = sm.admit(client, 'alice')
        talker = daemon.client()
        sm.admit(talker, 'bob')
        for number in range(300):
            sm.deliver(identity, address, "<message id='m%d' from='bob@localhost' to='alice@localhost'><body>%s</body></message>" % (
                number, 'x' * 10000))
        self.wait_in(daemon, 306)     # with what two logins took
        sm.drop()
        sm.up()
        daemon.log.wait('link sessions-over clients=2 ')
        talker.message('alice@localhost', 'in vain')
        talker.expect_stream_error('remote-connection-failed')
        client.reset()
        back = set()
        while 'm299' not in back:
            found = sm.expect()
            self.assertTrue(found.has_510() and found.get('id'), found)
            back.add(found.get('id'))
        packets = daemon.status()['packets']
        self.assertTrue(packets['balanced'], packets)
        self.assertEqual(len(back), packets['bounced'])

    def wait_in(self, daemon, count):
        deadline = harness.Deadline()
        while daemon.status()['packets']['in'] < count:
            self.assertTrue(deadline.left())

    def test_stream_management_of_the_client(self):
        """What the session manager keeps itself does not go back; what came before does, and all when it has forgotten it."""
        enabled = "<enabled xmlns='urn:xmpp:sm:3' id='x' sto=%r sfrom='localhost'/>"
        for lost in False, True:
            with self.subTest(lost=lost):
                sm = self.manager('xmpp')
                daemon = self.start_with(sm, link={'spread': 86400})
                client = daemon.client(receive_buffer=4096)
                identity, address = sm.admit(client, 'alice')
                text = "<message id='%s'><body>" + 'x' * 10000 + "</body></message>"
                # So much that none of what comes behind it reaches her.
                for number in range(200):
                    sm.deliver(identity, address, text % ('a%d' % number))
                sm.deliver(identity, address, text % 'before')
                sm.send(enabled % identity)
                for number in range(20):
                    sm.deliver(identity, address, text % ('m%d' % number))
                self.wait_in(daemon, 225)     # with what her login took
                if lost:
                    sm.drop()
                    sm.up()
                    daemon.log.wait('link sessions-over clients=1 ')
                client.reset()
                daemon.log.wait('client ended')
                other = daemon.client()
                sm.admit(other, 'end')
                found = []
                while not (found and found[-1].get('id') == 'end'):
                    if not found:
                        other.send("<message id='end'/>")
                    found.append(sm.expect())
                ids = [e.get('id') for e in found]
                self.assertEqual(lost, None not in ids, ids)
                self.assertIn('before', ids)
                self.assertEqual(20 if lost else 0, len([i for i in ids if i and i.startswith('m')]), ids)
                packets = daemon.status()['packets']
                self.assertTrue(packets['balanced'], packets)
                daemon.stop()


class Hold(Crowd):
    def test_who_was_not_told_stays(self):
        self.crowd(self.server('sfrom', mute=True), link={'spread': 4, 'hold': 1})
        mark = self.daemon.log.mark()
        with self.sm.lock:
            self.sm.sm.refuse()
            self.sm.drop()
        self.daemon.log.wait('link hold-expired', since=mark)
        self.daemon.log.wait('client ended reason=hold', since=mark, count=5)
        # Who comes now is told at once.
        late = self.daemon.client()
        late.expect_close()
        with self.sm.lock:
            self.sm.sm.listen()
            self.sm._waker.send(b'x')
        self.daemon.log.wait('link up', since=mark)
        self.probed(mark)
        told = []
        for number in ALL:
            if any(e.name == 'error' for e in self.pending(number)):
                self.clients[number].expect_stream_error('system-shutdown')
                told.append(number)
        kept = [number for number in ALL if number not in told]
        self.assertGreaterEqual(len(told), 5)
        self.assertTrue(kept)
        self.chat(kept)
        self.wait_sessions(len(kept))
        self.assert_balance()

    def pending(self, number):
        """What has come, without waiting for more."""
        client = self.clients[number]
        while select.select([client.socket], [], [], 0)[0] and client._read(harness.Deadline(0)):
            pass
        return client.pending

    def test_reload_and_the_end_in_between(self):
        """A shorter time holds for those who wait; at the end all are told that it is the end."""
        self.crowd(self.server('xmpp'), link={'spread': 86400})
        mark = self.restart(ALL)
        self.daemon.log.wait('link sessions-over clients=50 ', since=mark)
        self.daemon.stop()
        for client in self.clients:
            client.expect_stream_error('system-shutdown')


if __name__ == '__main__':
    harness.main()
