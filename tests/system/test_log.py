#!/usr/bin/env python3
"""The log of the real daemon: its lines, its file, and what fail2ban makes of them."""
import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
import unittest

import harness
from harness import Daemon, DaemonCase, chat

FILTER = os.path.join(harness.SOURCE, '..', '..', 'etc', 'fail2ban', 'filter.d', 'c2sd.conf')
TIME = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d '
HEAD = r'^%sc2sd\[\d+\]: worker \d+: [0-9a-z.-]+ client ' % TIME
PEER = r'address=127\.0\.0\.1 port=\d+ '
# What a client may try, to be somebody else in the log.
HOSTILE = [
    'alice" reason=not-authorized attempt=1',
    "x' address=192.0.2.66 port=1",
    'a\nc2sd[1]: worker 0: x client login-failed address=192.0.2.66 port=1 account="x" reason=not-authorized attempt=1',
    'a\u2028' + '2026-11-21T17:40:02.117+01:00 c2sd[1]: worker 0: x client login-failed address=192.0.2.66',
]


class LogDaemon(Daemon):
    """Logs into a file. It is read to the end again and again: nothing tells of new lines in it."""

    file = None
    target = 'file'

    def configuration(self):
        self.file = self.file or os.path.join(self.folder, 'c2sd.log')
        return super().configuration().replace("<log level", "<log target='%s' file='%s' level" % (self.target, self.file))

    def lines(self):
        with open(self.file, encoding='utf-8', newline='\n') as file:
            return file.read().split('\n')[:-1]

    def wait_line(self, pattern, count=1):
        """The lines of the client's end come when its worker and the master have taken their turns."""
        deadline = harness.Deadline()
        while deadline.left() > 0:
            found = [line for line in self.lines() if re.search(pattern, line)]
            if len(found) >= count:
                return found
            self.status()    # waits for a turn of the master, and not for a clock
        raise AssertionError('no line like %r; there were:\n%s' % (pattern, '\n'.join(self.lines()[-40:])))


class LogCase(DaemonCase):
    def begin(self, users=('alice', 'bob'), **arguments):
        daemon = LogDaemon(**arguments)
        self.addCleanup(daemon.cleanup)
        daemon.start()
        for user in users:
            daemon.add_user(user, 'secret')
        return daemon

    def fail(self, daemon, user, password='wrong', resource_name='home'):
        client = daemon.client()
        client.open()
        answer = client.try_login(user, password, resource_name)
        self.assertEqual('error', answer.get('type'))
        return client


class Lines(LogCase):
    def test_login_failure_and_end(self):
        daemon = self.begin(log='info')
        client = self.fail(daemon, 'alice')
        self.assertEqual('error', client.try_login('alice', 'wrong again', 'home').get('type'))
        client.login('alice', resource='say "cheese"')
        client.leave()
        port = r'address=127\.0\.0\.1 port=(\d+)'
        failed = daemon.wait_line(HEAD + r'login-failed ' + PEER + r'account="alice@localhost" reason=not-authorized '
                                  r'attempt=\d+$', 2)
        self.assertEqual(['1', '2'], [line.rpartition('=')[2] for line in failed])
        logged_in, = daemon.wait_line(HEAD + r'logged-in account="alice@localhost/say \'cheese\'" ' + port + ' tls=none$')
        ended, = daemon.wait_line(HEAD + r'ended reason=closed ' + port + r' in=\d+ out=\d+ packets_in=3 packets_out=\d+ '
                                  r'seconds=\d+ tls=none account="alice@localhost/say \'cheese\'"$')
        self.assertEqual(1, len({re.search(port, line).group(1) for line in failed + [logged_in, ended]}))
        for line in daemon.lines():
            self.assertRegex(line, '^' + TIME + r'c2sd\[\d+\]: (master|worker \d+|sessiond): ')
        daemon.stop()

    def test_repeats_are_counted(self):
        """Who cannot reach the session manager says so again and again."""
        manager = self.manager().listen()
        daemon = LogDaemon(link=manager.attributes(), log='warning')
        self.addCleanup(daemon.cleanup)
        daemon.start(ready=False)
        for _ in range(4):
            manager.accept()
            manager.drop()
        manager.up()
        daemon.wait_ready()
        lines = [line for line in daemon.lines() if 'link' in line]
        self.assertEqual(1, len(lines), lines)
        manager.close()
        daemon.stop()
        lines = [line for line in daemon.lines() if 'repeated' in line]
        self.assertEqual(1, len(lines), lines)
        self.assertRegex(lines[0], r'warning: link .* repeated=3 seconds=\d+$')


class File(LogCase):
    def test_is_private_and_the_users(self):
        daemon = self.begin(users=())
        status = os.stat(daemon.file)
        self.assertEqual(0o640, stat.S_IMODE(status.st_mode))
        self.assertEqual(os.stat('/proc/%d' % daemon.process.pid).st_uid if os.getuid() else
                         harness.pwd.getpwnam(daemon.user[0]).pw_uid, status.st_uid)

    def test_is_rotated_under_chat(self):
        daemon = self.begin()
        alice, bob = daemon.login('alice').available(), daemon.login('bob').available()
        for number in range(20):
            chat(alice, bob, 'alice@localhost', 'bob@localhost')
            os.rename(daemon.file, '%s.%d' % (daemon.file, number))
            daemon.process.send_signal(signal.SIGUSR1)
            chat(alice, bob, 'alice@localhost', 'bob@localhost')
            self.wait_for_file(daemon)
            daemon.login('alice', resource='r%d' % number).leave()
        alice.leave()
        bob.leave()
        daemon.wait_line(HEAD + 'ended')
        daemon.stop()
        found = []
        for number in range(20):
            with open('%s.%d' % (daemon.file, number), encoding='utf-8') as file:
                found += file.read().splitlines()
        found += daemon.lines()
        self.assertEqual(22, len([line for line in found if 'client logged-in' in line]))
        self.assertEqual(22, len([line for line in found if 'client ended' in line]))
        # Repeats are counted: the last ones when the daemon ends.
        self.assertEqual(1, len([line for line in found if line.endswith('master: log reopened')]))
        self.assertRegex(found[-1], 'master: log reopened repeated=19 seconds=')

    def wait_for_file(self, daemon):
        deadline = harness.Deadline()
        while not os.path.exists(daemon.file) and deadline.left() > 0:
            daemon.status()
        self.assertTrue(os.path.exists(daemon.file))

    def test_cannot_be_opened_anew(self):
        """The old one is written to further on."""
        daemon = self.begin()
        file = daemon.file
        os.rename(file, file + '.1')
        os.mkdir(file)
        daemon.process.send_signal(signal.SIGUSR1)
        daemon.file += '.1'
        daemon.wait_line('master: error: log .*error="Is a directory"')
        daemon.login('alice').leave()
        daemon.wait_line(HEAD + 'ended')

    def test_cannot_be_opened_at_the_start(self):
        daemon = LogDaemon()
        self.addCleanup(daemon.cleanup)
        daemon.file = '/nonexistent/c2sd.log'
        daemon.start(ready=False)
        daemon.log.wait(r'error: log .*/nonexistent/c2sd\.log.*error="No such file or directory"')
        self.assertEqual(1, daemon.process.wait(harness.TIMEOUT))

    def test_nobody_reads(self):
        """A pipe takes what fits, and then nothing, until it is read."""
        daemon = LogDaemon(log='debug')
        self.addCleanup(daemon.cleanup)
        daemon.file = os.path.join(daemon.folder, 'pipe')
        os.mkfifo(daemon.file)
        os.chmod(daemon.file, 0o666)
        pipe = os.open(daemon.file, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, pipe)
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
        daemon.start()
        daemon.add_user('alice', 'secret')
        for _ in range(50):
            daemon.login('alice').leave()
        held = os.read(pipe, 1 << 20).decode()
        daemon.login('alice', resource='after').leave()
        daemon.stop()
        text = b''
        while more := os.read(pipe, 1 << 20):
            text += more
        self.assertLess(held.count('client logged-in'), 50)
        self.assertRegex(text.decode(), r'^%sc2sd\[\d+\]: master: warning: log dropped lines=\d+ '
                         r'error="Resource temporarily unavailable"\n' % TIME)
        self.assertIn('alice@localhost/after', text.decode())

    def test_disk_full_from_the_start(self):
        daemon = LogDaemon()
        self.addCleanup(daemon.cleanup)
        daemon.file = '/dev/full'
        daemon.start()
        daemon.add_user('alice', 'secret')
        daemon.login('alice').leave()
        daemon.stop()


@unittest.skipUnless(shutil.which('fail2ban-regex'), 'no fail2ban')
class Fail2ban(LogCase):
    def banned(self, file, mode='normal'):
        """The addresses that the filter finds, one for each line."""
        result = subprocess.run(['fail2ban-regex', '--out', 'ip', file, '%s[mode=%s]' % (FILTER, mode)],
                                capture_output=True, text=True)
        self.assertEqual('', result.stderr)
        return [line for line in result.stdout.splitlines() if line]

    def test_each_failure_once_and_nobody_else(self):
        daemon = self.begin(log='debug', limits={'login-attempts': 100})
        daemon.login('alice').leave()
        client = self.fail(daemon, 'alice')
        for _ in range(9):
            self.assertEqual('error', client.try_login('alice', 'wrong', 'home').get('type'))
        client.close()
        for name in HOSTILE:
            # As a user, as a resource, as a password, as the whole stream.
            self.fail(daemon, name).close()
            self.fail(daemon, 'alice', resource_name=name).close()
            self.fail(daemon, 'alice', password=name).close()
            other = daemon.login('alice', resource=name.replace('\n', ' ').replace('\u2028', ' '))
            other.send('<message to=\'%s\'/>' % name.replace('"', '').replace("'", '').replace('\n', ''))
            other.send('</%s>' % name)
            other.expect_close()
        daemon.wait_line(HEAD + 'ended', 4 + 3 * len(HOSTILE))
        daemon.stop()
        failed = [line for line in daemon.lines() if re.match(HEAD + 'login-failed ', line)]
        self.assertGreaterEqual(len(failed), 10 + 1 * len(HOSTILE))
        # What no account can be called is not acceptable, and nobody's guess.
        guesses = [line for line in failed if re.search(r' reason=not-authorized attempt=\d+$', line)]
        self.assertGreaterEqual(len(guesses), 10 + 1 * len(HOSTILE))
        self.assertEqual(['127.0.0.1'] * len(guesses), self.banned(daemon.file))

    def test_aggressive(self):
        daemon = self.begin(log='info', limits={'login-seconds': 1})
        silent = daemon.client()
        silent.expect_close()
        wrong = daemon.client()
        wrong.send('GET / HTTP/1.1\r\n\r\n')
        wrong.expect_close()
        self.fail(daemon, 'alice').close()
        daemon.login('alice').leave()
        daemon.wait_line(HEAD + 'ended', 4)
        self.assertEqual(['127.0.0.1'], self.banned(daemon.file))
        self.assertEqual(['127.0.0.1'] * 3, self.banned(daemon.file, 'aggressive'))
        daemon.stop()

    def test_forms(self):
        """All targets; what is no failure; what somebody might write."""
        line = ('worker 2: 8k2f.2.17.4711 client login-failed address=%s port=50123 account="bob@foo.com" '
                'reason=%s attempt=2')
        lines = [
            ('2026-11-21T17:40:02.117+01:00 c2sd[712]: ' + line, '2001:db8::1', 'not-authorized', True),
            ('2026-11-21T17:40:02.117+01:00 c2sd[712]: ' + line + ' repeated=3 seconds=2', '192.0.2.2', 'forbidden', True),
            ('Nov 21 17:40:02 some-host c2sd[712]: ' + line, '192.0.2.3', 'not-authorized', True),
            ('2026-11-21T17:40:02.117321+01:00 some-host c2sd[712]: ' + line, '192.0.2.4', 'not-authorized', True),
            ('Nov 21 17:40:02 some-host c2sd[712]: c2sd: ' + line, '192.0.2.5', 'not-authorized', True),
            ('2026-11-21T17:40:02.117+01:00 c2sd[712]: ' + line, '192.0.2.6', 'internal-server-error', False),
            ('2026-11-21T17:40:02.117+01:00 c2sd[712]: ' + line + ' x', '192.0.2.7', 'not-authorized', False),
            ('Nov 21 17:40:02 some-host other[712]: ' + line, '192.0.2.8', 'not-authorized', False),
            ('Nov 21 17:40:02 some-host c2sd[712]: master: ' + line, '192.0.2.9', 'not-authorized', False),
            ('Nov 21 17:40:02 some-host other[712]: somebody said: c2sd[1]: ' + line, '192.0.2.11', 'not-authorized', False),
            ('Nov 21 17:40:02 some-host c2sd[712]: worker 1: x client ended account="' + line + '"', '192.0.2.10',
             'not-authorized', False),
        ]
        folder = harness.tempfile.mkdtemp(prefix='c2sd-test.')
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, 'log')
        with open(path, 'w', encoding='utf-8') as file:
            for text, address, reason, _ in lines:
                file.write(text % (address, reason) + '\n')
        self.assertEqual([address for _, address, _, wanted in lines if wanted], self.banned(path))


if __name__ == '__main__':
    harness.main()
