#!/usr/bin/python3
"""The configuration changes while the service runs: nobody is dropped, nothing is lost, and a wrong file changes nothing."""
import json
import os
import random
import re
import shutil
import signal
import socket
import unittest
from xml.sax.saxutils import quoteattr

import harness
from harness import DaemonCase, Deadline, RawClient


def element(name, /, **attributes):
    return '  <%s%s/>\n' % (name, ''.join(' %s=%s' % (key.replace('_', '-'), quoteattr(str(value)))
                                          for key, value in attributes.items() if value is not None))


class Configuration:
    """What a file says; everything may be changed before it is written."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.listeners = [(address, port, 100) for address, port in daemon.listeners]
        self.hosts = list(daemon.hosts)
        self.workers = {'count': daemon.workers, 'program': daemon.worker_program, 'retire': 'never'}
        self.link = dict(daemon.link, type='connect') if daemon.link else {'name': 'c2s.localhost', 'type': 'embedded'}
        self.sessiond = {'program': daemon.sessiond_program, 'database': daemon.database, 'registration': 'yes'}
        self.control = {'socket': daemon.socket_path}
        self.user = dict(zip(('name', 'group'), daemon.user)) if daemon.user else {}
        self.limits = dict(daemon.limits)
        self.log = {'level': 'info'}
        self.extra = ''

    def text(self):
        text = '<c2sd>\n'
        for address, port, backlog in self.listeners:
            text += element('listen', address=address, port=port, backlog=backlog)
        for host in self.hosts:
            text += '  <host>%s</host>\n' % host
        for name in ('user', 'workers', 'link', 'sessiond', 'control', 'limits', 'log'):
            text += element(name, **getattr(self, name))
        return text + self.extra + '</c2sd>\n'

    def write(self, text=None):
        path = os.path.join(self.daemon.folder, 'c2sd.xml')
        with open(path + '.new', 'w') as file:
            file.write(text or self.text())
        os.chmod(path + '.new', 0o644)
        os.rename(path + '.new', path)


def wait_until(found, what):
    """Conditions that only c2sctl can tell; each look is an answer of the daemon's."""
    deadline = Deadline()
    while not found():
        if deadline.left() == 0:
            raise AssertionError('not in time: ' + what)


class ReloadCase(DaemonCase):
    def begin(self, users=(), **arguments):
        """A daemon, and the configuration that it runs with."""
        daemon = self.start(users, log='info', **arguments)
        return daemon, Configuration(daemon)

    def reload(self, daemon, configuration=None, text=None):
        """Have it read again, and wait for what becomes of it. The lines of the log about it."""
        if configuration or text:
            (configuration or Configuration(daemon)).write(text)
        since = daemon.log.mark()
        daemon.process.send_signal(signal.SIGHUP)
        daemon.log.wait(r' reload (done|refused)', since)
        return [line for line in daemon.log.lines[since:] if ' reload ' in line or ' listener ' in line]

    def assert_done(self, lines):
        self.assertIn(' reload done', lines[-1], lines)

    def assert_refused(self, lines, *wanted):
        self.assertIn(' reload refused', lines[-1], lines)
        for text in wanted:
            self.assertTrue(any(text in line for line in lines), (text, lines))

    def client(self, daemon, user, resource='home', port=None, host='localhost'):
        client = RawClient(('127.0.0.1', port or daemon.port)).open(to=host)
        self.addCleanup(client.close)
        return client.login(user, resource=resource)

    def workers(self, daemon):
        return {worker['number']: worker for worker in daemon.status()['workers']}


class Chain:
    """A client that says numbers to its neighbour, which must hear all of them, in order."""

    def __init__(self, client, name):
        self.client = client
        self.name = name
        self.address = '%s@localhost/home' % name
        self.neighbour = None
        self.said = 0
        self.heard = 0

    def say(self, count):
        for _ in range(count):
            self.client.message(self.neighbour.address, 'number %d' % self.said)
            self.said += 1

    def hear_all(self):
        """Everything that was said to us, each once, in order."""
        before = next(chain for chain in self.all if chain.neighbour is self)
        while self.heard < before.said:
            message = self.client.expect(lambda e: e.name == 'message')
            found = (message.get('type'), message.get('from'), message.child_text('body'))
            if found != ('chat', before.address, 'number %d' % self.heard):
                raise AssertionError('%s heard %r instead of number %d of %s' %
                                     (self.name, found, self.heard, before.name))
            self.heard += 1

    @classmethod
    def make(cls, clients):
        cls.all = [cls(client, name) for name, client in clients.items()]
        for chain, neighbour in zip(cls.all, cls.all[1:] + cls.all[:1]):
            chain.neighbour = neighbour
        return cls.all


class Hundred(ReloadCase):
    NAMES = ('alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi')

    def vary(self, dice, configuration, daemon, number):
        """Everything that can change does, now and then."""
        pick = dice.choice
        ports = [daemon.port] + self.ports[:dice.randrange(4)]
        configuration.listeners = [('127.0.0.1', port, pick((1, 100, 1024))) for port in ports]
        configuration.hosts = ['localhost'] + dice.sample(['one.example', 'two.example', 'three.example'],
                                                           dice.randrange(4))
        configuration.workers = {
            'count': dice.randrange(1, 6), 'program': pick(self.programs), 'retire': pick((100, 3600, 'never')),
            'memory': pick((4096, 8192, 'unlimited'))}
        configuration.link = {
            'name': 'c2s.localhost', 'type': 'embedded', 'hold': pick((100, 300)), 'timeout': pick((5, 10)),
            'packet_bytes': pick((4194304, 8388608)), 'queue_bytes': pick((65536, 4194304))}
        configuration.sessiond.update(registration=pick(('yes', 'no')), offline=pick((0, 10, 1000)))
        configuration.limits = {
            'header_bytes': pick((1024, 4096)), 'login_bytes': pick((5000, 10000)), 'login_elements': pick((16, 32)),
            'stanza_bytes': pick((10000, 262144)), 'elements': pick((1000, 10000)), 'depth': pick((20, 100)),
            'attributes': pick((20, 100)), 'login_seconds': pick((30, 60)), 'idle_seconds': pick((500, 'never')),
            'keepalive_seconds': pick((60, 300, 'never')), 'stall_seconds': pick((30, 60)),
            'unsent_bytes': pick((1048576, 4194304)), 'held_bytes': pick((16777216, 268435456)),
            'clients': pick((100, 1000, 'auto'))}
        configuration.log = {'level': pick(('info', 'debug')), 'target': pick(('auto', 'stderr'))}

    def test_chat_through_a_hundred_reloads(self):
        dice = random.Random(4)
        daemon, configuration = self.begin(self.NAMES, workers=3)
        self.programs = [daemon.worker_program, os.path.join(daemon.folder, 'c2sd-worker')]
        shutil.copy(daemon.worker_program, self.programs[1])
        self.ports = [harness.free_port() for _ in range(3)]
        # One listener is always there; the clients came by another one, which comes and goes.
        configuration.listeners.append(('127.0.0.1', self.ports[0], 100))
        self.assert_done(self.reload(daemon, configuration))
        chains = Chain.make({name: self.client(daemon, name, port=self.ports[0]) for name in self.NAMES})
        for number in range(100):
            self.vary(dice, configuration, daemon, number)
            configuration.write()
            for chain in chains:
                chain.say(3)
            since = daemon.log.mark()
            daemon.process.send_signal(signal.SIGHUP)
            for chain in chains:
                chain.say(3)
            if number % 3 == 0:     # others are asked for before the first is done
                daemon.process.send_signal(signal.SIGHUP)
            for chain in chains:
                chain.hear_all()
            daemon.log.wait(r' reload (done|refused)', since)
            self.assertEqual([line for line in daemon.log.lines[since:] if ' reload refused' in line], [])
        for chain in chains:
            self.assertEqual(chain.client.settle(), [])
            self.assertFalse(chain.client.ended)
        self.assertEqual(daemon.log.wait('client ended', count=0), [])
        status = daemon.status()
        self.assertTrue(status['packets']['balanced'], status)
        self.assertEqual((status['clients'], status['packets']['dropped'], status['packets']['bounced']), (8, 0, 0))
        # The same clients, and still everything works for new ones.
        self.client(daemon, 'alice', 'elsewhere').leave()
        daemon.stop()


if __name__ == '__main__':
    harness.main()
