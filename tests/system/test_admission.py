#!/usr/bin/python3
"""Who may connect: lists, connections of an address and of its network, new ones a second, failed logins; and that a flood
of connections that never log in keeps nobody out who does."""
import os
import select
import socket
import threading
import unittest

import harness
from harness import DaemonCase, Deadline, RawClient, free_port
from test_reload import Configuration, ReloadCase, wait_until


def refused(daemon):
    """How many were refused, by reason; only those that are not 0."""
    return {reason: count for reason, count in daemon.status()['admission']['refused'].items() if count}


class AdmissionCase(ReloadCase):
    def come(self, daemon, source, listener=0):
        client = RawClient(daemon.listeners[listener], source=source)
        self.addCleanup(client.close)
        return client

    def assert_in(self, daemon, source, listener=0):
        return self.come(daemon, source, listener).open()

    def assert_out(self, daemon, source, listener=0):
        """The end, and nothing else."""
        client = self.come(daemon, source, listener)
        client.expect_close()
        self.assertEqual(b'', bytes(client.received))


class Lists(AdmissionCase):
    def test_deny(self):
        daemon = self.start(extra='<deny address="127.0.0.2"/><deny address="127.1.0.0/16"/>')
        self.assert_in(daemon, '127.0.0.1')
        self.assert_in(daemon, '127.0.0.3')
        self.assert_in(daemon, '127.2.0.1')
        for _ in range(3):
            self.assert_out(daemon, '127.0.0.2')
        self.assert_out(daemon, '127.1.255.255')
        self.assertEqual({'denied': 4}, refused(daemon))
        # One line for each address, however often it comes.
        lines = [line for line in daemon.log.lines if ' refused ' in line]
        self.assertEqual(['master: warning: address 127.0.0.2 refused reason=denied',
                          'master: warning: address 127.1.255.255 refused reason=denied'],
                         [line[line.index('master: '):] for line in lines])
        self.assertRegex(daemon.ctl('status').stdout, r'admission +3 let in, 4 refused \(denied 4\)')

    def test_allow(self):
        daemon = self.start(extra='<allow address="127.0.0.0/24"/><deny address="127.0.0.2"/>')
        self.assert_in(daemon, '127.0.0.1')
        self.assert_out(daemon, '127.0.0.2')
        self.assert_out(daemon, '127.0.1.1')

    def test_both_kinds_of_addresses_on_one_listener(self):
        try:
            port = free_port('::')
            with socket.create_server(('::1', port), family=socket.AF_INET6):
                pass
        except OSError:
            self.skipTest('no IPv6')
        daemon = self.start(listen=('127.0.0.9',), extra='<listen address="::" port="%d" tls="none"/>'
                            '<allow address="::/0"/>' % port)
        daemon.listeners += [('::1', port), ('127.0.0.1', port)]
        self.assert_in(daemon, '::1', 1)
        self.assert_out(daemon, '127.0.0.1', 2)
        self.assertEqual({'denied': 1}, refused(daemon))

    def test_reload_ends_who_is_denied_and_nobody_else(self):
        daemon, configuration = self.begin(('alice', 'bob'))
        alice = self.come(daemon, '127.0.0.1').open().login('alice')
        bob = self.come(daemon, '127.0.0.2').open().login('bob')
        waiting = self.assert_in(daemon, '127.0.0.2')
        configuration.limits.update(address_connections=1, network_connections=1)
        configuration.extra = '<deny address="127.0.0.2"/>'
        self.assert_done(self.reload(daemon, configuration))
        bob.expect_stream_error('policy-violation')
        waiting.expect_stream_error('policy-violation')
        daemon.log.wait(r'client ended reason=refused ', count=2)
        self.assert_out(daemon, '127.0.0.2')
        # A number that became smaller ends nobody.
        self.assert_out(daemon, '127.0.0.1')
        alice.settle()
        configuration.extra = ''
        configuration.limits.update(address_connections='unlimited', network_connections='unlimited')
        self.assert_done(self.reload(daemon, configuration))
        self.assert_in(daemon, '127.0.0.2')
        self.assertEqual({'denied': 1, 'address': 1}, refused(daemon))

    def test_a_wrong_list_changes_nothing(self):
        daemon, configuration = self.begin()
        configuration.extra = '<deny address="127.0.0.1/24"/><deny address="localhost"/><allow address="127.0.0.0/8"/>' \
                              '<deny address="127.0.0.0/8"/>'
        self.assert_refused(self.reload(daemon, configuration), 'bits behind its length', 'not an IP address',
                            'stands in line')
        self.assert_in(daemon, '127.0.0.1')


class Limits(AdmissionCase):
    def test_connections_of_an_address_and_of_a_network(self):
        daemon = self.start(limits={'address_connections': 2, 'network_connections': 3})
        first = self.assert_in(daemon, '127.0.0.1')
        self.assert_in(daemon, '127.0.0.1')
        self.assert_out(daemon, '127.0.0.1')
        self.assert_in(daemon, '127.0.0.2')
        self.assert_out(daemon, '127.0.0.3')
        self.assert_in(daemon, '127.0.1.1')
        self.assertEqual({'address': 1, 'network': 1}, refused(daemon))
        # Who has gone is not counted.
        first.leave()
        daemon.log.wait(r'client changed from=closing to=gone')
        wait_until(lambda: daemon.status()['clients'] == 3, 'the client is gone')
        self.assert_in(daemon, '127.0.0.3')
        self.assert_out(daemon, '127.0.0.4')

    def test_nobody_is_counted_twice_or_for_ever(self):
        daemon = self.start(limits={'address_connections': 5}, workers=2)
        daemon.may_lose_workers = True
        for _ in range(5):
            clients = [self.assert_in(daemon, '127.0.0.1') for _ in range(5)]
            self.assert_out(daemon, '127.0.0.1')
            for client in clients[:3]:
                client.reset()
            clients[3].leave()
            os.kill(daemon.worker_pids()[0], 9)
            os.kill(daemon.worker_pids()[-1], 9)
            clients[4].expect_close()
            wait_until(lambda: daemon.status()['clients'] == 0, 'everybody is gone')
            daemon.ctl('wait', '10')
        self.assertEqual(0, daemon.status()['admission']['networks'])

    def test_new_ones_a_second(self):
        daemon = self.start(limits={'address_connections_per_second': 1, 'address_connections_burst': 5})
        # With the clock of a busy machine more may come in, but not all.
        for _ in range(5):
            self.assert_in(daemon, '127.0.0.1')
        for _ in range(100):
            client = RawClient(daemon.listeners[0])
            client.close()
        wait_until(lambda: sum(refused(daemon).values()) + daemon.status()['admission']['granted'] == 105, 'all judged')
        self.assertGreater(refused(daemon)['rate'], 50)
        self.assert_in(daemon, '127.0.0.2')

    def test_new_ones_in_all_wait(self):
        daemon = self.start(limits={'connections_per_second': 50, 'connections_burst': 5})
        clients = [self.come(daemon, '127.0.0.%d' % number) for number in range(1, 31)]
        for client in clients:
            client.open()
        self.assertEqual({}, refused(daemon))
        self.assertGreater(daemon.status()['admission']['delayed'], 0)
        daemon.log.wait(r'warning: connections delayed per_second=50$')

    def test_the_defaults_survive_an_office(self):
        """Three hundred behind one address, all at once."""
        daemon = self.start(users=('alice',), limits={name: None for name in harness.OPEN})
        clients = [RawClient(daemon.listeners[0]).open(wait=False) for _ in range(300)]
        for client in clients:
            client.expect_header()
        self.assertEqual({}, refused(daemon))
        daemon.login('alice')


class Flood(threading.Thread):
    """Connections that say nothing, from many addresses, as fast as they get in; ended ones are replaced."""

    def __init__(self, daemon, most):
        super().__init__(daemon=True)
        self.target = daemon.listeners[0]
        self.most = most
        self.opened = 0
        self.ended = threading.Event()
        self.start()

    def run(self):
        held = []
        while not self.ended.is_set():
            if len(held) < self.most:
                held += self.open()
                continue
            for silent in select.select(held, [], [], 0.05)[0]:
                held.remove(silent)
                silent.close()
        for silent in held:
            silent.close()

    def open(self):
        silent = socket.socket()
        silent.settimeout(1)
        try:
            silent.bind(('127.3.%d.%d' % (self.opened // 250 % 250, self.opened % 250 + 1), 0))
            silent.connect(self.target)
        except OSError:
            silent.close()
            return []
        self.opened += 1
        return [silent]

    def stop(self):
        self.ended.set()
        self.join()


class Crowd(AdmissionCase):
    NAMES = ('alice', 'bob')

    def in_a_flood(self, daemon, most):
        """Everybody logs in, and stays, while silent connections try to have all places."""
        flood = Flood(daemon, most)
        self.addCleanup(flood.stop)
        wait_until(lambda: daemon.status()['admission']['crowded'] > 5, 'somebody makes room')
        clients = {}
        for name in self.NAMES:
            deadline = Deadline()
            while name not in clients and deadline.left() > 0:
                try:
                    clients[name] = RawClient(daemon.listeners[0]).open().login(name)
                except (AssertionError, OSError):   # who takes as long as it takes to fill all places is crowded out
                    pass
            self.assertIn(name, clients)
        for name, client in clients.items():
            client.settle()
            client.available()
        flood.stop()
        self.assertGreater(flood.opened, most)
        for client in clients.values():
            client.settle()
        status = daemon.status()
        self.assertEqual(len(self.NAMES), status['sessions'])
        self.assertGreater(status['admission']['crowded'], 5)
        return status

    def test_connections_are_all_taken(self):
        daemon = self.start(users=self.NAMES, log='info', limits={'connections': 40})
        self.in_a_flood(daemon, 100)
        daemon.log.wait(r'warning: clients full clients=\d+ sessions=\d+')
        daemon.log.wait(r'client ended reason=crowded ')

    def test_workers_are_full(self):
        daemon = self.start(users=self.NAMES, log='info', workers=2, limits={'clients': 20})
        self.in_a_flood(daemon, 100)

    def test_the_oldest_goes_and_is_told(self):
        daemon = self.start(users=('alice',), limits={'connections': 3})
        alice = daemon.login('alice')
        first, second = daemon.client().open(), daemon.client().open()
        third = daemon.client().open()
        first.expect_stream_error('resource-constraint')
        fourth = daemon.client().open()
        second.expect_stream_error('resource-constraint')
        third.login('alice', resource='third')
        fourth.login('alice', resource='fourth')
        # Everybody has logged in: nobody has to go.
        self.assert_out(daemon, '127.0.0.1')
        self.assertEqual({'full': 1}, refused(daemon))
        for client in (alice, third, fourth):
            client.settle()
        alice.leave()
        wait_until(lambda: daemon.status()['clients'] == 2, 'she is gone')
        daemon.client().open()
        self.assertEqual(2, daemon.status()['admission']['crowded'])


class Failures(AdmissionCase):
    def fail(self, daemon, source):
        client = self.assert_in(daemon, source)
        self.assertEqual('error', client.try_login('alice', 'wrong', 'home').get('type'))
        return client

    def test_an_address_is_refused_for_a_while(self):
        daemon = self.start(users=('alice',), limits={'login_failures': 3})
        alice = self.come(daemon, '127.0.0.2').open().login('alice')
        self.fail(daemon, '127.0.0.2').leave()
        waiting = self.fail(daemon, '127.0.0.2')
        # The last one ends who it was; another guess is not to be had there.
        self.fail(daemon, '127.0.0.2').expect_stream_error('policy-violation')
        daemon.log.wait(r'client ended reason=login-failed ')
        self.assert_out(daemon, '127.0.0.2')
        self.assertEqual({'failures': 1}, refused(daemon))
        daemon.log.wait(r'address 127.0.0.2 refused reason=failures$')
        # Others are not, nor who is there.
        self.assert_in(daemon, '127.0.0.3').login('alice', resource='other')
        alice.settle()
        waiting.login('alice', resource='late')

    def test_success_forgives_half(self):
        daemon = self.start(users=('alice',), limits={'login_failures': 3})
        for _ in range(2):
            self.fail(daemon, '127.0.0.2').leave()
        self.assert_in(daemon, '127.0.0.2').login('alice').leave()
        self.fail(daemon, '127.0.0.2').leave()
        self.assert_in(daemon, '127.0.0.2').login('alice')

    def test_who_guesses_waits_and_gets_in_all_the_same(self):
        daemon = self.start(users=('alice',), limits={'login_pause_seconds': 1})
        client = daemon.client().open()
        for _ in range(3):
            self.assertEqual('error', client.try_login('alice', 'wrong', 'home').get('type'))
        client.login('alice')
        for _ in range(3):
            self.fail(daemon, '127.0.0.1').leave()
        self.assert_in(daemon, '127.0.0.1').login('alice', resource='again')


class Proxied(AdmissionCase):
    def through(self, daemon, address, source='127.0.0.1'):
        client = self.come(daemon, source, 1)
        client.send('PROXY TCP4 %s 127.0.0.1 50000 5222\r\n' % address)
        return client

    def daemon(self, **arguments):
        port = free_port()
        extra = '<listen address="127.0.0.1" port="%d" tls="none" proxy="yes"/><proxy address="127.0.0.1"/>' % port
        daemon = self.start(users=('alice',), extra=extra + arguments.pop('extra', ''), **arguments)
        daemon.listeners.append(('127.0.0.1', port))
        return daemon

    def test_the_address_behind_it_counts(self):
        daemon = self.daemon(limits={'address_connections': 2, 'login_failures': 2})
        # Not the proxy's own.
        for number in range(1, 6):
            self.through(daemon, '192.0.2.%d' % number).open()
        first = self.through(daemon, '192.0.2.1').open()
        late = self.through(daemon, '192.0.2.1')
        late.expect_close()
        daemon.log.wait(r'address 192.0.2.1 refused reason=address$')
        self.assertEqual({'address': 1}, refused(daemon))
        first.leave()
        wait_until(lambda: daemon.status()['clients'] == 5, 'it is gone')
        client = self.through(daemon, '192.0.2.1').open()
        for _ in range(2):
            client.try_login('alice', 'wrong', 'home')
        client.expect_stream_error('policy-violation')
        self.through(daemon, '192.0.2.1').expect_close()
        self.through(daemon, '192.0.2.9').open().login('alice')

    def test_lists(self):
        daemon = self.daemon(extra='<deny address="192.0.2.0/24"/>')
        self.through(daemon, '192.0.2.1').expect_close()
        self.through(daemon, '198.51.100.1').open()
        self.assertEqual({'denied': 1}, refused(daemon))

    def test_nobody_else_may_speak_for_others(self):
        daemon = self.daemon()
        self.assert_out(daemon, '127.0.0.2', 1)
        self.assertEqual({'untrusted': 1}, refused(daemon))


if __name__ == '__main__':
    harness.main()
