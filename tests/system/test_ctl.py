#!/usr/bin/env python3
"""c2sctl: what it shows is true, and what it is told happens."""
import json
import os
import socket
import shutil
import stat
import subprocess
import tempfile
import threading
import unittest

import harness
from harness import DaemonCase, chat

COUNTED_AS = ('settled', 'bounced', 'consumed', 'dropped', 'held')


def objects_with(value, key):
    """Every object anywhere in a JSON value that has this key."""
    if isinstance(value, dict):
        if key in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from objects_with(item, key)


class Ctl(DaemonCase):
    def setUp(self):
        self.daemon = self.start(users=('alice', 'bob'))

    def sessions(self):
        return self.daemon.ctl('sessions').stdout

    def assert_balance(self, status):
        totals = list(objects_with(status, 'settled'))
        self.assertTrue(totals, status)
        for counters in totals:
            self.assertEqual(counters['in'], sum(counters[name] for name in COUNTED_AS), counters)
        return totals

    def test_status_for_people(self):
        alice = self.daemon.login('alice')
        text = self.daemon.ctl('status').stdout
        for word in ('worker', 'link', 'xmpp', 'up'):
            self.assertIn(word, text)
        self.assertRegex(text, r'(?m)^link +c2s\.localhost, up for \d+ s \(embedded\), ')
        alice.leave()

    def test_counters_balance(self):
        self.assert_balance(self.daemon.status())
        alice = self.daemon.login('alice').available()
        bob = self.daemon.login('bob').available()
        for _ in range(20):
            chat(alice, bob, 'alice@localhost', 'bob@localhost')
        totals = self.assert_balance(self.daemon.status())
        self.assertGreaterEqual(max(counters['in'] for counters in totals), 40)
        bob.reset()
        alice.message('bob@localhost', 'gone')
        alice.leave()
        self.daemon.login('alice', resource='other').available()
        self.assert_balance(self.daemon.status())

    def test_clients_and_sessions_are_counted(self):
        """Asked behind a round trip of the client, so that what it did is done."""
        alice = self.daemon.login('alice').available()
        opened = self.daemon.client().open()
        opened.iq('get', "<query xmlns='jabber:iq:register'/>")
        status = self.daemon.status()
        self.assertEqual((2, 1), (status['clients'], status['sessions']))
        self.assertEqual((2, 1), tuple(sum(worker[key] for worker in status['workers']) for key in
                                       ('clients', 'sessions')))
        alice.leave()

    def test_sessions_and_kick(self):
        alice = self.daemon.login('alice').available()
        bob = self.daemon.login('bob', resource='work').available()
        line = [line for line in self.sessions().splitlines() if 'bob@localhost/work' in line]
        self.assertEqual(1, len(line))
        identity = line[0].split()[0]
        self.assertRegex(identity, r'^[0-9a-z.-]{1,64}$')
        self.daemon.ctl('kick', identity)
        bob.expect_close()
        self.assertTrue(bob.stream.closed)
        alice.settle()
        text = self.sessions()
        self.assertIn('alice@localhost/home', text)
        self.assertNotIn('bob@localhost', text)

    def test_kicked_session_has_ended_upstream(self):
        alice = self.daemon.login('alice').available()
        alice.send("<presence to='bob@localhost' type='subscribe'/>")
        bob = self.daemon.login('bob', resource='work').available()
        bob.expect_presence('subscribe')
        bob.send("<presence to='alice@localhost' type='subscribed'/>")
        alice.expect_presence(None, 'bob@localhost/work')
        identity = [line for line in self.sessions().splitlines() if 'bob@localhost/work' in line][0].split()[0]
        self.daemon.ctl('kick', identity)
        alice.expect_presence('unavailable', 'bob@localhost/work')

    def test_kick_nobody(self):
        result = self.daemon.ctl('kick', 'nobody.0.0.0', check=False)
        self.assertNotEqual(0, result.returncode)
        self.assertTrue(result.stderr)

    def test_users(self):
        self.assertEqual({'alice@localhost', 'bob@localhost'}, set(self.daemon.ctl('user', 'list').stdout.split()))
        self.assertNotEqual(0, self.daemon.ctl('user', 'add', 'alice@localhost', input='x\n', check=False).returncode)
        self.daemon.ctl('user', 'passwd', 'alice@localhost', input='changed\n')
        client = self.daemon.client().open()
        self.assertEqual('error', client.try_login('alice', 'secret', 'home').get('type'))
        client.login('alice', 'changed')
        self.daemon.ctl('user', 'del', 'bob@localhost')
        self.assertEqual(['alice@localhost'], self.daemon.ctl('user', 'list').stdout.split())
        self.assertEqual('error', self.daemon.client().open().try_login('bob', 'secret', 'home').get('type'))
        self.assertNotEqual(0, self.daemon.ctl('user', 'del', 'bob@localhost', check=False).returncode)
        self.assertNotEqual(0, self.daemon.ctl('user', 'passwd', 'bob@localhost', input='x\n', check=False).returncode)

    def test_bad_user_names(self):
        for name in ('alice', '@localhost', 'a b@localhost', 'alice@elsewhere.example', ''):
            result = self.daemon.ctl('user', 'add', name, input='x\n', check=False)
            self.assertNotEqual(0, result.returncode, name)

    def test_too_many_ask(self):
        kept = []
        for _ in range(32):
            kept.append(socket.socket(socket.AF_UNIX))
            self.addCleanup(kept[-1].close)
            kept[-1].connect(self.daemon.socket_path)
        result = self.daemon.ctl('status', check=False)
        self.assertEqual(3, result.returncode)
        self.assertIn('too many ask at once', result.stderr)
        kept[0].close()
        deadline = harness.Deadline()
        while self.daemon.ctl('status', check=False).returncode != 0:
            self.assertGreater(deadline.left(), 0)

    def test_longest_password(self):
        self.daemon.add_user('carol', 'x' * 1023)
        self.daemon.client().open().login('carol', 'x' * 1023)
        result = self.daemon.ctl('user', 'passwd', 'carol', input='y' * 1024 + '\n', check=False)
        self.assertEqual((2, 'c2sctl: more than 1023 bytes of password\n'), (result.returncode, result.stderr))
        self.daemon.client().open().login('carol', 'x' * 1023)

    def test_password_is_nowhere(self):
        self.daemon.add_user('carol', 'very-secret-word')
        self.daemon.client().open().login('carol', 'very-secret-word')
        self.daemon.stop()
        for name in os.listdir(self.daemon.folder):
            path = os.path.join(self.daemon.folder, name)
            if stat.S_ISREG(os.stat(path).st_mode):
                with open(path, 'rb') as file:
                    self.assertNotIn(b'very-secret-word', file.read(), name)

    def test_unknown_command(self):
        self.assertNotEqual(0, self.daemon.ctl('nonsense', check=False).returncode)

    def test_socket_is_private(self):
        self.assertEqual(0, stat.S_IMODE(os.stat(self.daemon.socket_path).st_mode) & 0o007)

    @unittest.skipUnless(os.getuid() == 0, 'only root can become somebody else')
    def test_others_cannot_connect(self):
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setgid(12345)
            os.setuid(12345)
            try:
                os.chdir('/')
                socket.socket(socket.AF_UNIX).connect(self.daemon.socket_path)
                os._exit(1)
            except PermissionError:
                os._exit(0)
            finally:
                os._exit(2)
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    def test_rude_visitors(self):
        """Nobody with access can hurt the daemon by talking nonsense."""
        for data in (b'', b'\0' * 10000, b'status', b'status\n' * 1000, b'x' * 1000000, b'{"a":' * 10000):
            with socket.socket(socket.AF_UNIX) as visitor:
                visitor.settimeout(harness.TIMEOUT)
                visitor.connect(self.daemon.socket_path)
                try:
                    visitor.sendall(data)
                except (BrokenPipeError, ConnectionResetError):
                    pass
        json.dumps(self.daemon.status())
        self.daemon.login('alice').available()

    def test_without_a_daemon(self):
        self.daemon.stop()
        result = self.daemon.ctl('status', check=False)
        self.assertNotEqual(0, result.returncode)
        self.assertTrue(result.stderr)



def sent(**fates):
    return {**{name: 0 for name in ('in', 'acknowledged', 'waiting', 'lost', 'again')}, 'balanced': True, **fates}


def counters(said=True, **fates):
    """As c2sd shows them; `said` is its own opinion of them."""
    return {**{name: 0 for name in ('in', *COUNTED_AS, 'up')}, 'balanced': said, **fates}


class Imbalance(unittest.TestCase):
    """Counters that do not balance: c2sctl says so, and ends with a status of its own. What answers is made up here."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='c2sd-test.')
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.path.join(self.folder, 'control')
        self.socket = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.socket.close)
        self.socket.bind(self.path)
        self.socket.listen()
        self.answers = {}
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            with connection, connection.makefile('rw') as stream:
                request = json.loads(stream.readline())
                for answer in self.answers.get(request['command'], []) + [{'done': True}]:
                    stream.write(json.dumps(answer) + '\n')

    def answer(self, total, *workers, up=None):
        workers = [{'number': number, 'state': 'ready', 'packets': packets} for number, packets in enumerate(workers)]
        self.answers = {'workers': workers, 'sessions': [],
                        'status': [{'link': {'state': 'up'}, 'packets': total, 'workers': workers,
                                    'up': up or sent()}]}

    def ctl(self, *arguments):
        return subprocess.run([harness.program('ctl/c2sctl'), '-s', self.path, *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=harness.TIMEOUT)

    def test_balanced(self):
        self.answer(counters(**{'in': 9, 'settled': 3, 'bounced': 2, 'consumed': 2, 'dropped': 1, 'held': 1}),
                    counters(**{'in': 4, 'settled': 3, 'held': 1}), counters())
        for arguments in (['status'], ['status', '--json'], ['workers'], ['top', '1']):
            done = self.ctl(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ''), arguments)
            self.assertNotIn('NOT BALANCED', done.stdout)

    def test_total(self):
        self.answer(counters(**{'in': 9, 'settled': 3, 'bounced': 2, 'consumed': 2, 'dropped': 1}), counters())
        for arguments in (['status'], ['status', '--json'], ['top', '1']):
            done = self.ctl(*arguments)
            self.assertEqual(done.returncode, 4, arguments)
            self.assertEqual(done.stderr, 'c2sctl: packets of all do not balance: in 9, but settled 3 + bounced 2 + '
                             'consumed 2 + dropped 1 + held 0 = 8: a packet has vanished, or was counted twice\n')
        self.assertRegex(self.ctl('status').stdout, r'(?m)^all .*  NOT BALANCED$')
        self.assertRegex(self.ctl('top', '1').stdout, r'(?m)^clients .*, NOT BALANCED$')
        self.assertEqual(self.ctl('sessions').returncode, 0)

    def test_workers(self):
        self.answer(counters(**{'in': 3, 'settled': 3}), counters(**{'in': 1, 'settled': 2}), counters(),
                    counters(**{'settled': 1}))
        for command in ('status', 'workers'):
            done = self.ctl(command)
            self.assertEqual(done.returncode, 4)
            self.assertEqual([line.partition(':')[2].partition(' do ')[0] for line in done.stderr.splitlines()],
                             [' packets of worker 0', ' packets of worker 2'], done.stderr)

    def test_up(self):
        self.answer(counters(up=7), up=sent(**{'in': 7, 'acknowledged': 4, 'waiting': 2, 'lost': 1, 'again': 5}))
        self.assertEqual(self.ctl('status').returncode, 0)
        self.answer(counters(up=7), up=sent(**{'in': 7, 'acknowledged': 4, 'waiting': 2}))
        done = self.ctl('status')
        self.assertEqual(done.returncode, 4)
        self.assertEqual(done.stderr, 'c2sctl: packets to the link of all do not balance: in 7, but acknowledged 4 + waiting 2 + '
                         'lost 0 = 6: a packet has vanished, or was counted twice\n')
        self.assertRegex(done.stdout, r'(?m)^to link .*  NOT BALANCED$')

    def test_its_own_word(self):
        """What c2sd says of itself is not taken for it; and when it complains it is heard."""
        self.answer(counters(**{'in': 1}))
        self.assertEqual(self.ctl('status').returncode, 4)
        self.answer(counters(said=False))
        self.assertEqual(self.ctl('status').returncode, 4)

    def test_refused_all_the_same(self):
        self.answer(counters(**{'in': 1}))
        self.answers['status'].append({'error': 'no'})
        done = self.ctl('status')
        self.assertEqual(done.returncode, 1)
        self.assertIn('do not balance', done.stderr)


if __name__ == '__main__':
    harness.main()
