#!/usr/bin/python3
"""What is said of a wrong file, and what the session manager's process makes of a new one."""
import os
import signal
import subprocess
import tempfile
import unittest

import harness
from harness import RawClient
from test_reload import Configuration, ReloadCase, wait_until

WRONG = '''<?xml version="1.0"?>
<c2sd>
  <listen address="127.0.0.1" port="70000"/>
  <listen address="localhost"
    backlog="1"/>
  <host>a b</host>
  <host>example.org</host>
  <limits header-bytes="1" depth="x"
    unsent-bytes="268435456"/>
  <typo/>
  <host>EXAMPLE.org</host>
</c2sd>
'''
SAID = ((3, 'listen port: not a number from 1 to 65535'),
        (6, 'host: has characters that no name of a host has'),
        (8, 'limits header-bytes: not a number from 256 to 1048576'),
        (8, 'limits depth: not a number from 8 to 255'),
        (10, 'unknown element typo'),
        (4, 'listen address: not a numeric address'),
        (11, 'host: stands in line 7 already'),
        (9, 'limits held-bytes: for all clients; must be four times unsent-bytes, for one'))


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, 'c2sd.xml')

    def run_it(self, *arguments):
        return subprocess.run([harness.program('master/c2sd'), *arguments, '-c', self.path], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=harness.TIMEOUT)

    def test_everything_that_is_wrong(self):
        with open(self.path, 'w') as file:
            file.write(WRONG)
        for arguments in ('-t',), ('-f',), ():
            result = self.run_it(*arguments)
            self.assertEqual((1, ''), (result.returncode, result.stdout))
            self.assertEqual(''.join('%s:%d: %s\n' % (self.path, line, text) for line, text in SAID), result.stderr)

    def test_nothing_is_wrong(self):
        with open(self.path, 'w') as file:
            file.write('<c2sd><listen tls="none"/><host>example.org</host></c2sd>')
        result = self.run_it('-t')
        self.assertEqual((0, '', ''), (result.returncode, result.stdout, result.stderr))

    def test_file_that_is_not_there(self):
        result = self.run_it('-t')
        self.assertEqual((1, '%s: cannot be read: No such file or directory\n' % self.path),
                         (result.returncode, result.stderr))


class SessionManager(ReloadCase):
    """The embedded one, while it runs."""

    def begin_with(self, *hosts):
        daemon, configuration = self.begin(('alice', 'bob'), hosts=hosts)
        return daemon, configuration, daemon.children('c2sd-sessiond')

    def refused(self, daemon, host):
        client = RawClient(('127.0.0.1', daemon.port)).open(to=host, wait=False)
        self.addCleanup(client.close)
        client.expect_stream_error('host-unknown')

    def test_its_log_is_in_the_log(self):
        daemon, configuration, manager = self.begin_with('localhost')
        path = os.path.join(daemon.folder, 'c2sd.log')
        configuration.log = {'level': 'debug', 'target': 'file', 'file': path}
        configuration.write()
        daemon.ctl('reload')

        def content():
            with open(path) as file:
                return file.read()
        wait_until(lambda: 'sessiond: settings changed hosts=1' in content(), 'a line of the session manager')

    def test_its_level_follows(self):
        daemon, configuration, manager = self.begin_with('localhost')
        since = daemon.log.mark()
        for level, host in (('warning', 'a.example'), ('info', 'b.example')):
            configuration.log = {'level': level}
            configuration.hosts.append(host)
            configuration.write()
            daemon.ctl('reload')
        daemon.log.wait('sessiond: settings changed hosts=3', since)
        daemon.ctl('loglevel', 'error')
        configuration.log = {'level': 'debug'}
        configuration.hosts.append('c.example')
        configuration.write()
        daemon.ctl('reload')
        daemon.log.wait('sessiond: settings changed hosts=4', since)
        self.assertFalse([line for line in daemon.log.lines[since:] if 'settings changed hosts=2' in line])

    def test_its_level_is_that_of_c2sctl(self):
        daemon, configuration, manager = self.begin_with('localhost')
        since = daemon.log.mark()
        daemon.ctl('loglevel', 'error')
        daemon.ctl('loglevel', 'info')
        daemon.log.wait('sessiond: settings changed hosts=1', since)

    def test_hosts_come_and_go(self):
        daemon, configuration, manager = self.begin_with('localhost', 'example.org')
        alice = self.client(daemon, 'alice').available()
        bob = self.client(daemon, 'bob').available()
        configuration.hosts = ['example.org', 'example.net']
        self.assert_done(self.reload(daemon, configuration))
        # Who is there goes on, to and from a host that nobody else can come to.
        alice.message('bob@localhost/home', 'still here')
        bob.expect_message('still here')
        self.refused(daemon, 'localhost')
        carol = RawClient(('127.0.0.1', daemon.port)).open(to='example.net')
        self.addCleanup(carol.close)
        self.assertEqual('result', carol.register('carol', 'secret').get('type'))
        carol.login('carol').available()
        carol.message('alice@localhost/home', 'from afar')
        alice.expect_message('from afar')
        self.assertEqual(manager, daemon.children('c2sd-sessiond'))
        # The next process knows what the file says now.
        os.kill(manager[0], signal.SIGKILL)
        wait_until(lambda: daemon.children('c2sd-sessiond') not in ([], manager), 'another session manager')
        daemon.ctl('wait', '10')
        self.client(daemon, 'carol', host='example.net')
        self.refused(daemon, 'localhost')

    def test_registration(self):
        daemon, configuration, manager = self.begin_with('localhost')
        for word in 'no', 'yes', 'no':
            configuration.sessiond['registration'] = word
            self.assert_done(self.reload(daemon, configuration))
            client = RawClient(('127.0.0.1', daemon.port)).open()
            self.addCleanup(client.close)
            self.assertEqual('result' if word == 'yes' else 'error', client.register('dave', 'secret').get('type'))
        self.assertEqual(manager, daemon.children('c2sd-sessiond'))


if __name__ == '__main__':
    harness.main()
