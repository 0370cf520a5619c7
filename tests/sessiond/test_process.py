#!/usr/bin/python3
"""The real process: what it has acknowledged survives kill -9, and how it ends. TAP on standard output."""
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)
SECRET = 's3cret'
SECONDS = 20


class Manager:
    """Plays the master: the link on descriptor 3, the settings on descriptor 4."""

    def __init__(self, database, settings=None):
        self.link, theirs = socket.socketpair()
        self.link.settimeout(SECONDS)
        self.text = ''
        reading, writing = os.pipe()
        if settings is None:
            settings = ('host=localhost\nname=foo-sockets\nsecret=%s\ndatabase=%s\nregistration=yes\n'
                        % (SECRET, database))
        os.write(writing, settings.encode())
        os.close(writing)

        def place():
            link, pipe = os.dup(theirs.fileno()), os.dup(reading)
            while link < 10 or pipe < 10:
                link, pipe = os.dup(link), os.dup(pipe)
            os.dup2(link, 3)
            os.dup2(pipe, 4)

        self.process = subprocess.Popen([PROGRAM], stderr=subprocess.PIPE, close_fds=False, preexec_fn=place)
        theirs.close()
        os.close(reading)

    def send(self, text):
        self.link.sendall(text.encode())

    def expect(self, pattern):
        """Read until it is there; what stood before it is gone."""
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found
            more = self.link.recv(65536)
            if not more:
                raise AssertionError('no %r in %r' % (pattern, self.text))
            self.text += more.decode()

    def shake(self, secret=SECRET):
        self.send("<stream:stream xmlns='jabber:sockets' xmlns:stream='http://etherx.jabber.org/streams'>")
        identity = self.expect(" id='([0-9a-f]+)'").group(1)
        self.send('<handshake>%s</handshake>' % hashlib.sha1((identity + secret).encode()).hexdigest())
        return self

    def open(self):
        self.shake().expect('<handshake/>')
        return self

    def ask(self, name, fields, client):
        self.send("<iq type='set' id='q' sto='localhost' sfrom='%s@foo-sockets'><query xmlns='jabber:iq:%s'>%s</query></iq>"
                  % (client, name, fields))
        self.expect("<iq [^>]*type='result'[^>]*>")

    def register(self, user, client):
        self.ask('register', '<username>%s</username><password>pw</password>' % user, client)

    def login(self, user, client):
        self.ask('auth', '<username>%s</username><password>pw</password><resource>r</resource>' % user, client)

    def stanza(self, user, client, name, attributes, content):
        self.send("<%s %s sto='%s@localhost/r' sfrom='%s@foo-sockets'>%s</%s>" % (name, attributes, user, client, content, name))

    def ping(self, user, client):
        """What was sent before it has been handled, and its turn committed."""
        self.stanza(user, client, 'iq', "type='get' id='ping'", "<ping xmlns='urn:xmpp:ping'/>")
        self.expect("<iq [^>]*id='ping'[^>]*>")

    def kill(self):
        self.process.kill()
        self.end()

    def end(self):
        """Its exit status."""
        status = self.process.wait(SECONDS)
        self.log = self.process.stderr.read().decode()
        self.process.stderr.close()
        self.link.close()
        return status


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
        manager = Manager(self.database, settings)
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

    def test_wrong_secret(self):
        manager = self.manager().shake('wrong')
        manager.expect('<stream:error>Invalid Handshake</stream:error></stream:stream>')
        self.assertEqual(1, manager.end())

    def test_wrong_settings_name_the_line_and_not_the_secret(self):
        manager = self.manager('secret=s3cret\nhost=localhost\ncolour=red\n')
        self.assertEqual(1, manager.end())
        self.assertIn('settings line 3 is wrong', manager.log)
        self.assertNotIn('s3cret', manager.log)

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
        print('%s %d - %s' % ('ok' if result.wasSuccessful() else 'not ok', number, test.id().split('.')[-1]), flush=True)
        failed |= not result.wasSuccessful()
    return 1 if failed else 0


sys.exit(main())
