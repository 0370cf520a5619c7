#!/usr/bin/python3
"""The real process: what it has acknowledged survives kill -9, and how it ends. TAP on standard output."""
import os
import signal
import socket
import sys
import tempfile
import unittest

from manager import Manager

PROGRAM = sys.argv.pop(1)


class Process(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.database = os.path.join(folder.name, 'accounts.db')
        self.managers = []
        self.addCleanup(self.sweep)

    def sweep(self):
        for manager in self.managers:
            if manager.process.poll() is None:
                manager.kill()

    def manager(self, settings=None):
        manager = Manager(PROGRAM, self.database, settings)
        self.managers.append(manager)
        return manager

    def test_what_was_acknowledged_survives_a_kill(self):
        first = self.manager().open()
        first.register('alice', 'a')
        first.register('bob', 'a')
        first.login('alice', 'a')
        first.stanza('alice', 'a', 'message', "to='bob@localhost' type='chat'", '<body>before the end</body>')
        first.ping('alice', 'a')
        first.kill()

        second = self.manager().open()
        second.login('bob', 'b')
        second.stanza('bob', 'b', 'presence', '', '')
        second.expect("<message [^>]*from='alice@localhost/r'><body>before the end</body><delay ")
        second.ping('bob', 'b')
        second.kill()

        # The link had taken it: it is not delivered again.
        third = self.manager().open()
        third.login('bob', 'b')
        third.stanza('bob', 'b', 'presence', '', '')
        third.ping('bob', 'b')
        self.assertNotIn('before the end', third.text)

    def test_offline_messages_stay_while_the_link_is_not_read(self):
        first = self.manager().open()
        first.register('alice', 'a')
        first.login('alice', 'a')
        for number in range(200):
            first.stanza('alice', 'a', 'message', "to='alice@localhost'", '<body>%d %s</body>' % (number, 'x' * 20000))
        first.ping('alice', 'a')
        first.stanza('alice', 'a', 'presence', '', '')
        first.expect('<body>0 ')
        first.kill()

        second = self.manager().open()
        second.login('alice', 'a')
        second.stanza('alice', 'a', 'presence', '', '')
        second.expect('<body>199 ')

    def test_end_of_the_link_is_the_end(self):
        manager = self.manager().open()
        manager.link.shutdown(socket.SHUT_WR)
        self.assertEqual(0, manager.end())

    def test_stream_end_is_the_end(self):
        manager = self.manager().open()
        manager.send('</stream:stream>')
        manager.expect('</stream:stream>')
        self.assertEqual(0, manager.end())

    def test_sigterm_is_the_end(self):
        manager = self.manager().open()
        manager.process.send_signal(signal.SIGTERM)
        self.assertEqual(0, manager.end())

    def test_storm_of_logins_is_answered_to_its_end(self):
        manager = self.manager().open()
        for number in range(100):
            manager.send("<iq type='set' id='q%d' sto='localhost' sfrom='a@foo-sockets'><query xmlns='jabber:iq:auth'>"
                         '<username>nobody</username><password>pw</password><resource>r</resource></query></iq>'
                         % number)
        manager.send('</stream:stream>')
        for number in range(100):
            manager.expect("<iq [^>]*type='error' id='q%d'>" % number)
        manager.expect('</stream:stream>')
        self.assertEqual(0, manager.end())

    def test_wrong_secret(self):
        manager = self.manager().shake('wrong')
        manager.expect('<stream:error>Invalid Handshake</stream:error></stream:stream>')
        self.assertEqual(1, manager.end())

    def test_wrong_settings_name_the_line_and_not_the_secret(self):
        manager = self.manager('secret=s3cret\nhost=localhost\ncolour=red\n')
        self.assertEqual(os.EX_UNAVAILABLE, manager.end())
        self.assertIn('error settings wrong line=3\n', manager.log)
        self.assertNotIn('s3cret', manager.log)

    def settings(self, more='', hosts=('localhost',)):
        return '%sname=foo-sockets\nsecret=s3cret\ndatabase=%s\n%s' % (
            ''.join('host=%s\n' % host for host in hosts), self.database, more)

    def log_of(self, more):
        manager = self.manager(self.settings(more)).open()
        manager.send('</stream:stream>')
        self.assertEqual(0, manager.end())
        self.assertEqual('', manager.errors)
        return manager.log

    def test_log_goes_to_the_master(self):
        self.assertIn('info link open', self.log_of(''))
        self.assertIn('info link open', self.log_of('log-level=debug\n'))
        self.assertEqual('', self.log_of('log-level=warning\n'))

    def test_settings_that_never_end(self):
        manager = self.manager(self.settings())
        # Nothing happens before the first block is complete.
        manager.open().kill()
        manager = self.manager('host=localhost')
        manager.control.shutdown(socket.SHUT_WR)
        self.assertEqual(os.EX_UNAVAILABLE, manager.end())
        self.assertIn('error settings incomplete reason=no-empty-line\n', manager.log)

    def test_settings_change_while_it_runs(self):
        manager = self.manager(self.settings('registration=yes\nlog-level=info\n')).open()
        manager.register('alice', 'a')
        manager.login('alice', 'a')
        manager.change(self.settings('registration=no\nlog-level=debug\n'))
        manager.expect_line('info settings changed hosts=1')
        manager.send("<iq type='set' id='q' sto='localhost' sfrom='b@foo-sockets'><query xmlns='jabber:iq:register'>"
                     '<username>bob</username><password>pw</password></query></iq>')
        self.assertIn("code='405'", manager.expect("<iq [^>]*type='error'.*?</iq>").group(0))
        # The session does not notice, and what has no address is only for those who want to know everything.
        manager.ping('alice', 'a')
        manager.send('<message/>')
        manager.expect_line('debug packet dropped reason=no-address')

    def test_host_that_is_not_served_any_more(self):
        manager = self.manager(self.settings('registration=yes\n', hosts=('example.org', 'localhost'))).open()
        for user in 'alice', 'bob':
            manager.register(user, 'r')
            manager.login(user, user[0])
        manager.change(self.settings('registration=yes\n', hosts=('example.org', 'example.net')))
        manager.expect_line('info settings changed hosts=2')
        manager.stanza('bob', 'b', 'presence', '', '')
        manager.stanza('alice', 'a', 'message', "to='bob@localhost/r'", '<body>still here</body>')
        manager.expect('<body>still here</body>')
        login = ("<iq type='set' id='q' sto='%s' sfrom='c@foo-sockets'><query xmlns='jabber:iq:%s'>"
                 '<username>%s</username><password>pw</password><resource>s</resource></query></iq>')
        for name, user in ('auth', 'alice'), ('register', 'carol'):
            manager.send(login % ('localhost', name, user))
            self.assertIn("code='405'", manager.expect("<iq [^>]*type='error'.*?</iq>").group(0))
        manager.send(login % ('example.net', 'register', 'carol'))
        manager.expect("<iq [^>]*type='result'[^>]*>")
        # And it comes back.
        manager.change(self.settings('registration=yes\n', hosts=('localhost',)))
        manager.expect_line('info settings changed hosts=1')
        manager.send(login % ('localhost', 'auth', 'alice'))
        manager.expect("<iq [^>]*type='result'[^>]*>")

    def test_what_cannot_change_does_not(self):
        manager = self.manager(self.settings('registration=yes\n')).open()
        manager.register('alice', 'a')
        manager.change('host=localhost\nname=other\nsecret=other\ndatabase=/nonexistent/x.db\n')
        manager.expect_line('info settings changed hosts=1')
        manager.login('alice', 'a')
        manager.ping('alice', 'a')

    def test_wrong_settings_change_nothing(self):
        manager = self.manager(self.settings('registration=yes\n')).open()
        manager.change(self.settings('registration=no\ncolour=red\n'))
        manager.expect_line('error settings wrong line=6')
        manager.change('registration=no\n')
        manager.expect_line('error settings incomplete reason="host, name, secret and database are needed"')
        manager.register('alice', 'a')
        # Two at once, cut anywhere: both are read.
        text = (self.settings() + '\n' + self.settings(hosts=('a', 'b')) + '\n').encode()
        manager.control.sendall(text[:50])
        manager.login('alice', 'a')
        manager.control.sendall(text[50:])
        manager.expect_line('info settings changed hosts=1')
        manager.expect_line('info settings changed hosts=2')

    def test_settings_without_end(self):
        manager = self.manager(self.settings('registration=yes\n')).open()
        manager.control.sendall(b'x' * 140000)
        manager.expect_line('error settings too-long')
        manager.register('alice', 'a')

    def test_nobody_waits_for_the_log(self):
        manager = self.manager(self.settings('registration=yes\nlog-level=debug\n')).open()
        manager.register('alice', 'a')
        manager.login('alice', 'a')
        for _ in range(20):
            manager.send('<message/>' * 1000)
        manager.ping('alice', 'a')
        # Nobody has read until now. What was lost is said before the next line that is not.
        line = 'debug packet dropped reason=no-address'
        waiting = manager.control.recv(1 << 22).decode()
        self.assertGreater(waiting.count(line), 100)
        self.assertLess(waiting.count(line), 20000)
        manager.control.setblocking(False)
        try:
            while True:
                waiting += manager.control.recv(1 << 22).decode()
        except BlockingIOError:
            pass
        manager.control.settimeout(20)
        manager.send('<message/>')
        manager.expect_line('warning log dropped lines=%d' % (20000 - waiting.count(line)))
        manager.expect_line(line)

    def test_master_that_takes_no_log(self):
        manager = self.manager(self.settings('registration=yes\nlog-level=debug\n')).open()
        manager.control.close()
        manager.register('alice', 'a')
        manager.send('<message/>')
        manager.send('</stream:stream>')
        manager.expect('</stream:stream>')
        self.assertEqual(0, manager.process.wait(20))
        self.assertIn(b'sessiond: packet dropped reason=no-address', manager.process.stderr.read())

    def test_database_that_cannot_be_opened(self):
        manager = self.manager('host=h\nname=n\nsecret=s\ndatabase=/nonexistent/x.db\n')
        self.assertEqual(os.EX_UNAVAILABLE, manager.end())
        self.assertIn(' unusable error=', manager.log)

    def test_database_of_others_is_not_readable(self):
        self.manager().open().register('alice', 'a')
        self.assertEqual(0, os.stat(self.database).st_mode & 0o077)

    def test_title_and_privileges(self):
        manager = self.manager().open()
        pid = manager.process.pid
        with open('/proc/%d/cmdline' % pid, 'rb') as file:
            self.assertTrue(file.read().startswith(b'c2sd: sessiond'))
        with open('/proc/%d/status' % pid) as file:
            self.assertIn('NoNewPrivs:\t1', file.read())


def main():
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Process)
    tests = list(suite)
    print('1..%d' % len(tests))
    failed = False
    for number, test in enumerate(tests, 1):
        result = unittest.TestResult()
        test.run(result)
        for _, trace in result.failures + result.errors:
            print('\n'.join('# ' + line for line in trace.splitlines()))
        good = result.wasSuccessful()
        print('%s %d - %s' % ('ok' if good else 'not ok', number, test.id().split('.')[-1]), flush=True)
        failed |= not good
    return 1 if failed else 0


sys.exit(main())
