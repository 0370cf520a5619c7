#!/usr/bin/python3
"""The configuration changes while the service runs: nobody is dropped, nothing is lost, and a wrong file changes nothing."""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
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
        self.tls = daemon.tls
        self.hosts = list(daemon.hosts)
        self.workers = {'count': daemon.workers, 'program': daemon.worker_program, 'retire': 'never'}
        self.link = dict(daemon.link, type='connect') if daemon.link else {'name': 'c2s.localhost', 'type': 'embedded'}
        self.sessiond = {'program': daemon.sessiond_program, 'database': daemon.database, 'registration': 'yes'}
        self.sasl = {'plain': 'tls'}
        self.control = {'socket': daemon.socket_path}
        self.pid = {'file': os.path.join(daemon.folder, 'c2sd.pid')}
        self.user = dict(zip(('name', 'group'), daemon.user)) if daemon.user else {}
        self.limits = dict(daemon.limits)
        self.log = {'level': 'info'}
        self.extra = ''

    def text(self):
        text = '<c2sd>\n'
        for address, port, backlog in self.listeners:
            text += element('listen', address=address, port=port, backlog=backlog, tls=self.tls)
        for host in self.hosts:
            text += '  <host>%s</host>\n' % host
        for name in ('sasl', 'user', 'workers', 'link', 'sessiond', 'control', 'pid', 'limits', 'log'):
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

    def line_of(self, configuration, text):
        return next(n for n, line in enumerate(configuration.text().split('\n'), 1) if text in line)

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

    def ask(self, daemon):
        return subprocess.Popen([harness.program('ctl/c2sctl'), '-s', daemon.socket_path, 'reload'],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def vary(self, dice, configuration, daemon, number):
        """Everything that can change does, now and then."""
        pick = dice.choice
        ports = [daemon.port] + self.ports[:dice.randrange(4)]
        configuration.listeners = [('127.0.0.1', port, pick((1, 100, 1024))) for port in ports]
        configuration.hosts = ['localhost'] + dice.sample(['one.example', 'two.example', 'three.example'],
                                                           dice.randrange(4))
        configuration.workers = {
            'count': dice.randrange(1, 6), 'program': pick(self.programs), 'retire': pick((100, 3600, 'never')),
            'memory': pick(self.memory)}
        configuration.link = {
            'name': 'c2s.localhost', 'type': 'embedded', 'hold': pick((100, 300)), 'spread': pick((0, 30)),
            'timeout': pick((5, 10)),
            'packet_bytes': pick((4194304, 8388608)), 'queue_bytes': pick((65536, 4194304)), 'acknowledge': pick(('auto', 'yes', 'no'))}
        configuration.sasl = {'plain': pick(('tls', 'always'))}
        configuration.sessiond.update(registration=pick(('yes', 'no')), offline=pick((0, 10, 1000)))
        configuration.limits = {
            'header_bytes': pick((1024, 4096)), 'login_bytes': pick((5000, 10000)), 'login_elements': pick((16, 32)),
            'login_total_bytes': pick((20000, 65536)), 'login_attempts': pick((3, 5)),
            'stanza_bytes': pick((10000, 262144)), 'elements': pick((1000, 10000)), 'depth': pick((20, 100)),
            'attributes': pick((20, 100)), 'login_seconds': pick((30, 60)), 'handshake_seconds': pick((5, 15)),
            'idle_seconds': pick((500, 'never')), 'keepalive_seconds': pick((60, 300, 'never')),
            'stall_seconds': pick((30, 60)), 'unsent_soft_bytes': pick((65536, 1048576)), 'settle_seconds': pick((0, 1, 2)),
            'send_buffer_bytes': pick((32768, 65536, 'auto')), 'dead_seconds': pick((60, 120, 'never')),
            'unsent_bytes': pick((1048576, 4194304)), 'held_bytes': pick((16777216, 268435456)),
            'clients': pick((100, 1000, 'auto')), 'connections': pick((1000, 'unlimited')),
            'address_connections': pick((300, 'unlimited')), 'network_connections': pick((300, 'unlimited')),
            'address_connections_per_second': 'unlimited', 'address_connections_burst': pick((10, 1000)),
            'connections_per_second': pick((10000, 'unlimited')), 'connections_burst': pick((1000, 5000)),
            'login_failures': pick((100, 'unlimited')), 'rate_bytes': pick((65536, 1048576, 'unlimited')),
            'login_pause_seconds': pick((1, 8, 'none')), 'burst_bytes': pick((262144, 524288))}
        configuration.extra = pick(('', '<allow address="127.0.0.0/8"/><deny address="127.0.0.2"/>',
                                    '<deny address="::/0"/>'))
        configuration.extra += pick(('',) + tuple(
            '<listen address="127.0.0.1" port="%d" tls="none" proxy="%s"/><proxy address="%s"/>' % (self.proxy_port, proxy, one)
            for proxy in ('yes', 'no') for one in ('192.0.2.0/24', '2001:db8::7')))
        configuration.log = {'level': pick(('error', 'warning', 'info', 'debug')), 'target': pick(('stderr', 'file')),
                             'file': os.path.join(daemon.folder, pick(('one.log', 'another.log')))}

    def test_chat_through_a_hundred_reloads(self):
        dice = random.Random(4)
        daemon, configuration = self.begin(self.NAMES, workers=3)
        self.programs = [daemon.worker_program, os.path.join(daemon.folder, 'c2sd-worker')]
        shutil.copy(daemon.worker_program, self.programs[1])
        self.ports = [harness.free_port() for _ in range(3)]
        self.proxy_port = harness.free_port()
        # A sanitizer takes all the address space there is.
        with open(daemon.worker_program, 'rb') as file:
            self.memory = ('unlimited',) if b'__asan_' in file.read() else (4096, 8192, 'unlimited')
        # One listener is always there; the clients came by another one, which comes and goes.
        configuration.listeners.append(('127.0.0.1', self.ports[0], 100))
        self.assert_done(self.reload(daemon, configuration))
        chains = Chain.make({name: self.client(daemon, name, port=self.ports[0]) for name in self.NAMES})
        for number in range(100):
            self.vary(dice, configuration, daemon, number)
            configuration.write()
            for chain in chains:
                chain.say(3)
            asked = [self.ask(daemon) for _ in range(1 + number % 3)]   # the next does not wait for the one before
            daemon.process.send_signal(signal.SIGHUP)
            for chain in chains:
                chain.say(3)
            for chain in chains:
                chain.hear_all()
            for process in asked:
                self.assertEqual((process.communicate(timeout=harness.TIMEOUT), process.returncode), ((b'', b''), 0))
        for chain in chains:
            self.assertEqual(chain.client.settle(), [])
            self.assertFalse(chain.client.ended)
        configuration.log = {'level': 'info'}
        configuration.write()
        daemon.ctl('reload')
        status = daemon.status()
        self.assertTrue(status['packets']['balanced'], status)
        self.assertEqual((status['clients'], status['packets']['dropped'], status['packets']['bounced']), (8, 0, 0))
        # The same clients, and still everything works for new ones.
        self.client(daemon, 'alice', 'elsewhere').leave()
        daemon.stop()


class Wrong(ReloadCase):
    """A configuration that cannot be: everything that is wrong with it is named, and nothing changes."""

    def setUp(self):
        self.daemon, self.configuration = self.begin(['alice', 'bob'])
        self.one, self.other = self.client(self.daemon, 'alice'), self.client(self.daemon, 'bob')
        self.before = self.picture()

    def picture(self):
        """What a reload might have changed."""
        status = self.daemon.status()
        return (sorted(self.daemon.children()), status['clients'], [worker['state'] for worker in status['workers']],
                sorted(os.readlink('/proc/%d/fd/%s' % (self.daemon.process.pid, fd))
                       for fd in os.listdir('/proc/%d/fd' % self.daemon.process.pid)
                       if 'anon' not in os.readlink('/proc/%d/fd/%s' % (self.daemon.process.pid, fd))))

    def assert_unchanged(self):
        harness.chat(self.one, self.other, 'alice@localhost/home', 'bob@localhost/home')
        self.assertEqual(self.picture(), self.before)
        # And the next one is as good as any.
        self.assert_done(self.reload(self.daemon, self.configuration))

    def changed(self):
        """Another configuration in every other respect."""
        other = Configuration(self.daemon)
        other.listeners.append(('127.0.0.1', harness.free_port(), 10))
        other.workers['count'] = 5
        other.hosts.append('other.example')
        other.limits = {'login_seconds': 1, 'stanza_bytes': 10000}
        return other

    def test_no_xml(self):
        self.assert_refused(self.reload(self.daemon, text='<c2sd>\n<listen/>\n<oops>\n</c2sd>'), 'c2sd.xml:')
        self.assert_unchanged()

    def test_every_error_with_its_line(self):
        other = self.changed()
        other.workers['count'] = 0
        other.limits['depth'] = 'deep'
        other.extra = '  <unknown/>\n'
        text = other.text()
        lines = self.reload(self.daemon, text=text)
        numbers = {word: next(n for n, line in enumerate(text.split('\n'), 1) if word in line)
                   for word in ('<workers', '<limits', '<unknown')}
        self.assert_refused(lines, 'c2sd.xml:%d: workers count' % numbers['<workers'],
                            'c2sd.xml:%d: limits depth' % numbers['<limits'], 'c2sd.xml:%d: ' % numbers['<unknown'])
        self.assert_unchanged()

    def test_the_same_error_again_is_said_again(self):
        """Lines that are repeated are only counted; these are not."""
        for _ in range(2):
            self.assert_refused(self.reload(self.daemon, text='<c2sd>\n<oops/>\n</c2sd>\n'), 'c2sd.xml:2: ')

    def test_no_file(self):
        os.unlink(os.path.join(self.daemon.folder, 'c2sd.xml'))
        self.assert_refused(self.reload(self.daemon), 'c2sd.xml: ')
        self.assert_unchanged()

    @unittest.skipUnless(os.getuid() == 0, 'only root can give up root')
    def test_a_file_that_only_root_may_read(self):
        other = self.changed()
        other.write()
        os.chmod(os.path.join(self.daemon.folder, 'c2sd.xml'), 0o600)
        self.assert_refused(self.reload(self.daemon), 'c2sd.xml: ')
        self.assert_unchanged()

    def test_ports_that_are_taken(self):
        """All of them are named; the one that was free is free again."""
        other = self.changed()
        taken = [socket.create_server(('127.0.0.1', 0)) for _ in range(2)]
        for one in taken:
            other.listeners.append(('127.0.0.1',) + one.getsockname()[1:] + (10,))
        self.assert_refused(self.reload(self.daemon, other),
                            *('c2sd.xml:%d: listener 127.0.0.1:%d: Address already in use' % (
                                self.line_of(other, 'port="%d"' % one.getsockname()[1]), one.getsockname()[1])
                              for one in taken))
        for one in taken:
            one.close()
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(other.listeners[1][:2])
        self.assert_unchanged()

    def test_a_log_that_cannot_be_written(self):
        other = self.changed()
        other.log = {'target': 'file', 'file': os.path.join(self.daemon.folder, 'nowhere', 'log')}
        self.assert_refused(self.reload(self.daemon, other), 'c2sd.xml:%d: log file ' % self.line_of(other, '<log'))
        self.assert_unchanged()

    def test_an_old_listener_comes_back(self):
        """It had to make room for one that cannot be bound after all."""
        port = harness.free_port()
        self.configuration.listeners.append(('127.0.0.2', port, 10))
        self.assert_done(self.reload(self.daemon, self.configuration))
        other = self.changed()
        with socket.create_server(('127.0.0.3', port)):
            other.listeners.append(('0.0.0.0', port, 10))
            self.assert_refused(self.reload(self.daemon, other), 'listener 0.0.0.0:%d: ' % port)
        RawClient(('127.0.0.2', port)).open().close()
        harness.chat(self.one, self.other, 'alice@localhost/home', 'bob@localhost/home')


class Listeners(ReloadCase):
    def refuses(self, address):
        with self.assertRaises(ConnectionRefusedError):
            RawClient(address)

    def test_one_comes_and_one_goes(self):
        daemon, configuration = self.begin(['alice', 'bob'])
        new = harness.free_port()
        old = self.client(daemon, 'alice')
        configuration.listeners = [('127.0.0.1', new, 10)]
        self.assert_done(self.reload(daemon, configuration))
        self.refuses(('127.0.0.1', daemon.port))
        harness.chat(old, self.client(daemon, 'bob', port=new), 'alice@localhost/home', 'bob@localhost/home')
        configuration.listeners = [('127.0.0.1', daemon.port, 10)]
        self.assert_done(self.reload(daemon, configuration))
        self.refuses(('127.0.0.1', new))
        self.client(daemon, 'bob', 'again')

    def test_the_same_port_on_another_address(self):
        """Nobody can have it twice: the old one makes room, and who has connected to it is served."""
        daemon, configuration = self.begin(['alice'])
        for address in ('0.0.0.0', '127.0.0.1', '::', '127.0.0.1'):
            old = self.client(daemon, 'alice')
            configuration.listeners = [(address, daemon.port, 10)]
            self.assert_done(self.reload(daemon, configuration))
            old.settle()
            if address != '127.0.0.1':
                RawClient(('127.0.0.5', daemon.port)).open().close()
            else:
                self.refuses(('127.0.0.5', daemon.port))

    def test_one_goes_while_nobody_is_accepted(self):
        """The only worker is full: who has connected waits for it, whatever becomes of the listener."""
        daemon, configuration = self.begin(['alice'], workers=1, limits={'clients': 1})
        self.client(daemon, 'alice')
        late = [RawClient(('127.0.0.1', daemon.port))]
        daemon.log.wait('worker 0 full')
        late += [RawClient(('127.0.0.1', daemon.port)) for _ in range(4)]
        for client in late:
            self.addCleanup(client.close)
        configuration.listeners = [('127.0.0.1', harness.free_port(), 10)]
        configuration.limits = {'clients': 10}
        self.assert_done(self.reload(daemon, configuration))
        self.refuses(('127.0.0.1', daemon.port))
        for client in late:
            client.open().login('alice', resource='late%d' % late.index(client))

    def test_the_same_address_written_otherwise(self):
        if not socket.has_ipv6:
            self.skipTest('no IPv6')
        daemon, configuration = self.begin(['alice'], listen=('::1',))
        since = daemon.log.mark()
        configuration.listeners = [('0:0::0:1', daemon.port, 5)]
        self.assert_done(self.reload(daemon, configuration))
        self.assertFalse([line for line in daemon.log.lines[since:] if ' listener ' in line])
        RawClient(('::1', daemon.port)).open().close()

    def test_backlog(self):
        daemon, configuration = self.begin()
        configuration.listeners = [('127.0.0.1', daemon.port, 7)]
        self.assert_done(self.reload(daemon, configuration))
        # Of a listening socket tcp(7)'s table shows it as what could be queued to be sent.
        text = subprocess.run(['ss', '-ltnH', 'sport = :%d' % daemon.port], capture_output=True, text=True).stdout
        self.assertEqual(text.split()[2], '7', text)


class Workers(ReloadCase):
    def resize(self, daemon, configuration, count, **more):
        configuration.workers.update(count=count, **more)
        self.assert_done(self.reload(daemon, configuration))

    def worker_of(self, daemon, address):
        found = [session for session in json.loads('[%s]' % ','.join(
            daemon.ctl('sessions', '--json').stdout.strip().split('\n'))) if session['account'] == address]
        return found[0]['worker']

    def test_more_and_fewer(self):
        daemon, configuration = self.begin(['u%d' % n for n in range(8)], workers=1)
        first = self.client(daemon, 'u0')
        self.resize(daemon, configuration, 3)
        self.assertEqual([worker['state'] for worker in self.workers(daemon).values()], ['ready'] * 3)
        clients = [self.client(daemon, 'u%d' % n) for n in (1, 2)]
        self.assertEqual({self.worker_of(daemon, 'u%d@localhost/home' % n) for n in (1, 2)}, {1, 2})
        self.resize(daemon, configuration, 1)
        self.assertEqual([worker['state'] for worker in self.workers(daemon).values()], ['ready', 'retiring', 'retiring'])
        # They keep who they have, and get nobody else.
        harness.chat(clients[0], clients[1], 'u1@localhost/home', 'u2@localhost/home')
        late = [self.client(daemon, 'u%d' % n) for n in (3, 4, 5)]
        self.assertEqual(self.workers(daemon)[0]['clients'], 4)
        # The last client of one leaves: it ends. The other one is wanted again: it is taken back.
        pids = {number: worker['pid'] for number, worker in self.workers(daemon).items()}
        number = self.worker_of(daemon, 'u2@localhost/home')
        clients[1].leave()
        daemon.log.wait(r'worker %d ended' % number)
        self.assertEqual(harness.wait_gone([pids[number]]), [])
        self.resize(daemon, configuration, 3)
        again = self.workers(daemon)
        self.assertEqual([worker['state'] for worker in again.values()], ['ready'] * 3)
        self.assertEqual(again[3 - number]['pid'], pids[3 - number])
        self.assertNotEqual(again[number]['pid'], pids[number])
        for client in [first, clients[0]] + late:
            client.settle()
        self.assertEqual({self.worker_of(daemon, 'u6@localhost/home') for client in [self.client(daemon, 'u6')]}, {number})

    def test_gone_without_a_trace(self):
        daemon, configuration = self.begin(workers=4)
        pids = [worker['pid'] for worker in self.workers(daemon).values()]
        self.resize(daemon, configuration, 2)
        self.assertEqual(harness.wait_gone(pids[2:]), [])
        wait_until(lambda: list(self.workers(daemon)) == [0, 1], 'two workers')
        self.assertEqual([worker['pid'] for worker in self.workers(daemon).values()], pids[:2])

    def test_the_time_to_retire(self):
        """Who is still there then is told, and finds another worker when he comes back."""
        daemon, configuration = self.begin(['alice', 'bob'], workers=1)
        alice = self.client(daemon, 'alice')
        self.resize(daemon, configuration, 2)
        bob = self.client(daemon, 'bob')
        self.assertEqual(self.worker_of(daemon, 'bob@localhost/home'), 1)
        self.resize(daemon, configuration, 1)
        # The time can be changed while it runs.
        self.resize(daemon, configuration, 1, retire=1)
        bob.expect_stream_error('system-shutdown')
        bob.close()
        daemon.log.wait('client ended reason=retired')
        daemon.log.wait('worker 1 ended')
        bob = self.client(daemon, 'bob')
        harness.chat(alice, bob, 'alice@localhost/home', 'bob@localhost/home')
        self.assertEqual(self.worker_of(daemon, 'bob@localhost/home'), 0)

    def test_the_command_line_beats_the_file(self):
        daemon, configuration = self.begin(workers=1, arguments=['-w', '2'])
        self.assertEqual(len(self.workers(daemon)), 2)
        self.resize(daemon, configuration, 4)
        self.assertEqual(len(self.workers(daemon)), 2)

    def test_a_program_that_is_not_there(self):
        """One that is not there is refused; one that goes later is missed at the next start of a worker."""
        daemon, configuration = self.begin(['alice'], workers=1)
        daemon.may_lose_workers = True
        alice = self.client(daemon, 'alice')
        program = os.path.join(daemon.folder, 'nothing')
        configuration.workers['program'] = program
        self.assert_refused(self.reload(daemon, configuration), 'workers program: cannot be executed: No such file')
        shutil.copy(daemon.worker_program, program)
        self.resize(daemon, configuration, 1, program=program)
        os.unlink(program)
        alice.settle()
        os.kill(self.workers(daemon)[0]['pid'], signal.SIGKILL)
        daemon.log.wait('worker 0 start-failed')
        self.resize(daemon, configuration, 2, program=daemon.worker_program)
        wait_until(lambda: [worker['state'] for worker in self.workers(daemon).values()] == ['ready'] * 2, 'two workers')

    def test_deaths_in_between(self):
        """Workers die while they start, take settings, retire: the reload is done all the same."""
        daemon, configuration = self.begin(['alice', 'bob'], workers=4)
        daemon.may_lose_workers = True
        for number in range(20):
            configuration.workers['count'] = 1 + number % 5
            configuration.write()
            for pid in daemon.children('c2sd-worker')[number % 2::2]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.assert_done(self.reload(daemon))
        self.resize(daemon, configuration, 2)
        wait_until(lambda: [worker['state'] for worker in self.workers(daemon).values()] == ['ready'] * 2, 'two workers')
        harness.chat(self.client(daemon, 'alice'), self.client(daemon, 'bob'), 'alice@localhost/home', 'bob@localhost/home')
        self.assertTrue(daemon.status()['packets']['balanced'])

    def test_a_worker_that_does_not_answer(self):
        """The reload waits for it until it is killed."""
        daemon, configuration = self.begin(workers=2)
        daemon.may_lose_workers = True
        pid = self.workers(daemon)[1]['pid']
        os.kill(pid, signal.SIGSTOP)
        since = daemon.log.mark()
        daemon.process.send_signal(signal.SIGHUP)
        daemon.log.wait('reload begun', since)
        self.assertFalse([line for line in daemon.log.lines[since:] if 'reload done' in line])
        os.kill(pid, signal.SIGKILL)
        daemon.log.wait('reload done', since)

    def test_drained_one_after_the_other(self):
        """As for a newer program: each has a fresh process in the end, and who did not leave was told to come back."""
        daemon, configuration = self.begin(['alice', 'bob'], workers=2)
        self.resize(daemon, configuration, 2, retire=1)
        alice, bob = self.client(daemon, 'alice'), self.client(daemon, 'bob')
        before = {number: worker['pid'] for number, worker in self.workers(daemon).items()}
        for number in (0, 1):
            daemon.ctl('drain', str(number))
            self.assertNotEqual(daemon.ctl('drain', str(1 - number), check=False).returncode, 0)
            wait_until(lambda: self.workers(daemon)[number]['pid'] not in (0, before[number]) and
                       self.workers(daemon)[number]['state'] == 'ready', 'a fresh worker')
        for client in (alice, bob):
            client.expect_stream_error('system-shutdown')
        harness.chat(self.client(daemon, 'alice'), self.client(daemon, 'bob'), 'alice@localhost/home', 'bob@localhost/home')

    def test_shutdown_in_between(self):
        daemon, configuration = self.begin(['alice'], workers=2)
        alice = self.client(daemon, 'alice')
        configuration.workers['count'] = 5
        configuration.write()
        daemon.process.send_signal(signal.SIGHUP)
        daemon.process.send_signal(signal.SIGTERM)
        alice.expect_stream_error('system-shutdown')
        alice.close()
        daemon.process.send_signal(signal.SIGHUP)
        daemon.stop()


class Everything(ReloadCase):
    def test_times_count_for_who_waits_already(self):
        daemon, configuration = self.begin(['alice', 'bob'], limits={'login_seconds': 3600, 'keepalive_seconds': 'never'})
        connected, opened = RawClient(('127.0.0.1', daemon.port)), RawClient(('127.0.0.1', daemon.port)).open()
        alice, bob = self.client(daemon, 'alice'), self.client(daemon, 'bob')
        configuration.limits = {'login_seconds': 1, 'keepalive_seconds': 1}
        self.assert_done(self.reload(daemon, configuration))
        connected.expect_stream_error('connection-timeout')
        opened.expect_stream_error('connection-timeout')
        configuration.limits = {'keepalive_seconds': 'never', 'idle_seconds': 1}
        self.assert_done(self.reload(daemon, configuration))
        alice.expect_stream_error('connection-timeout')
        bob.expect_stream_error('connection-timeout')

    def test_sizes_hold_for_streams_that_are_open(self):
        daemon, configuration = self.begin(['alice'])
        alice = self.client(daemon, 'alice')
        alice.message('alice@localhost/home', 'x' * 20000)
        alice.expect_message('x' * 20000)
        configuration.limits = {'stanza_bytes': 10000}
        self.assert_done(self.reload(daemon, configuration))
        alice.message('alice@localhost/home', 'x' * 20000)
        alice.expect_stream_error('policy-violation')

    def test_what_only_a_restart_changes(self):
        daemon, configuration = self.begin(['alice'])
        alice = self.client(daemon, 'alice')
        configuration.link['name'] = 'other.localhost'
        configuration.sessiond['database'] = os.path.join(daemon.folder, 'other.db')
        configuration.control['socket'] = os.path.join(daemon.folder, 'other')
        configuration.workers['count'] = 3
        lines = self.reload(daemon, configuration)
        for option in ('link name', 'sessiond database', 'control socket'):
            self.assertTrue([line for line in lines if option + ': changed only by a restart' in line], lines)
        self.assert_done(lines)
        self.assert_done(self.reload(daemon))
        self.assertEqual(daemon.status()['link']['name'], 'c2s.localhost')
        self.assertEqual(len(self.workers(daemon)), 3)
        alice.settle()
        self.client(daemon, 'alice', 'elsewhere')

    def test_hosts(self):
        manager = self.manager()
        daemon = self.start_with(manager, hosts=('one.example', 'two.example'), log='info')
        configuration = Configuration(daemon)
        stays, other = RawClient(('127.0.0.1', daemon.port)), RawClient(('127.0.0.1', daemon.port))
        identity = manager.let_in(stays, 'alice', host='two.example')
        other.open(to='two.example')
        configuration.hosts = ['one.example', 'three.example']
        self.assert_done(self.reload(daemon, configuration))
        other.expect_stream_error('host-gone')
        RawClient(('127.0.0.1', daemon.port)).open(to='two.example', wait=False).expect_stream_error('host-unknown')
        manager.let_in(RawClient(('127.0.0.1', daemon.port)), 'bob', host='three.example')
        manager.send("<message sto='%s' sfrom='alice@two.example/home'><body>still there</body></message>" % identity)
        stays.expect_message('still there')
        stays.message('x@y', 'still here')
        manager.expect(lambda e: e.child_text('body') == 'still here')

    def test_the_embedded_session_manager(self):
        """Hosts, registration and what it logs, in the process that runs."""
        daemon, configuration = self.begin(['alice'])
        pid = daemon.children('c2sd-sessiond')
        configuration.hosts.append('new.example')
        configuration.sessiond['registration'] = 'no'
        self.assert_done(self.reload(daemon, configuration))
        alice = self.client(daemon, 'alice')
        daemon.add_user('bob', 'secret', host='new.example')
        bob = self.client(daemon, 'bob', host='new.example')
        harness.chat(alice, bob, 'alice@localhost/home', 'bob@new.example/home')
        answer = RawClient(('127.0.0.1', daemon.port)).open().register('carol', 'secret')
        self.assertEqual(answer.get('type'), 'error')
        configuration.hosts.remove('new.example')
        configuration.sessiond['registration'] = 'yes'
        self.assert_done(self.reload(daemon, configuration))
        harness.chat(alice, bob, 'alice@localhost/home', 'bob@new.example/home')
        RawClient(('127.0.0.1', daemon.port)).open(to='new.example', wait=False).expect_stream_error('host-unknown')
        answer = RawClient(('127.0.0.1', daemon.port)).open().register('carol', 'secret')
        self.assertEqual(answer.get('type'), 'result')
        self.assertEqual(daemon.children('c2sd-sessiond'), pid)

    def test_secret_and_address_of_the_link(self):
        """They hold from the next connection on, which is tried at once when there is none."""
        manager, other = self.manager(), self.manager(secret='another')
        daemon = self.start_with(manager, log='info')
        configuration = Configuration(daemon)
        client = RawClient(('127.0.0.1', daemon.port))
        manager.let_in(client, 'alice')
        configuration.link.update(address='127.0.0.1:%d' % other.port, secret='another')
        self.assert_done(self.reload(daemon, configuration))
        client.message('x@y', 'by the old link')
        manager.expect(lambda e: e.child_text('body') == 'by the old link')
        other.listen()
        manager.close()
        other.accept()
        other.handshake()
        daemon.wait_ready()
        client.message('x@y', 'by the new link')
        other.expect(lambda e: e.child_text('body') == 'by the new link')

    def test_an_address_that_cannot_be_found(self):
        manager = self.manager()
        daemon = self.start_with(manager, log='info')
        configuration = Configuration(daemon)
        configuration.link['address'] = 'nowhere.invalid:5347'
        configuration.workers['count'] = 5
        self.assert_refused(self.reload(daemon, configuration), 'c2sd.xml:%d: link address nowhere.invalid:5347: ' %
                            self.line_of(configuration, '<link'))
        self.assertEqual(len(self.workers(daemon)), 2)
        self.assertEqual(daemon.status()['link']['state'], 'up')

    def test_how_long_clients_are_held(self):
        manager = self.manager()
        daemon = self.start_with(manager, link={'hold': 3600}, log='info')
        configuration = Configuration(daemon)
        client = RawClient(('127.0.0.1', daemon.port))
        manager.let_in(client, 'alice')
        manager.close()
        daemon.log.wait('link lost')
        configuration.link.update(hold=1, spread=0)
        self.assert_done(self.reload(daemon, configuration))
        client.expect_stream_error('system-shutdown')

    def test_the_log_moves(self):
        daemon, configuration = self.begin()
        path = os.path.join(daemon.folder, 'service.log')
        configuration.log = {'target': 'file', 'file': path, 'level': 'debug'}
        configuration.write()
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: os.path.exists(path) and 'reload done' in open(path).read(), 'the log file')
        RawClient(('127.0.0.1', daemon.port)).open().close()
        wait_until(lambda: 'from=opening to=login' in open(path).read(), 'a line of a worker')
        size = os.path.getsize(path)
        configuration.log = {'target': 'stderr', 'level': 'info'}
        self.assert_done(self.reload(daemon, configuration))
        before = daemon.log.mark()
        RawClient(('127.0.0.1', daemon.port)).open().close()
        daemon.log.wait('client ended', before)
        self.assertFalse([line for line in daemon.log.lines[before:] if 'from=opening to=login' in line])
        self.assertNotIn('client ended', open(path).read()[size:].partition('reload begun')[2])


if __name__ == '__main__':
    harness.main()
