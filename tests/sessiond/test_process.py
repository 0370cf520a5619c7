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
        self.assertEqual(1, manager.end())
        self.assertIn('settings line 3 is wrong', manager.log)
        self.assertNotIn('s3cret', manager.log)

    def log_of(self, more):
        manager = self.manager('host=h\nname=n\nsecret=s3cret\ndatabase=%s\n%s' % (self.database, more)).open()
        manager.send('</stream:stream>')
        self.assertEqual(0, manager.end())
        return manager.log

    def test_log_goes_where_it_is_told(self):
        self.assertIn('c2sd: sessiond: link open', self.log_of(''))
        self.assertIn('c2sd: sessiond: link open', self.log_of('log=stderr\nlog-level=debug\n'))
        self.assertEqual('', self.log_of('log=stderr\nlog-level=warning\n'))
        self.assertEqual('', self.log_of('log=syslog\n'))

    def test_database_that_cannot_be_opened(self):
        manager = self.manager('host=h\nname=n\nsecret=s\ndatabase=/nonexistent/x.db\n')
        self.assertEqual(1, manager.end())
        self.assertIn('cannot be opened', manager.log)

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
