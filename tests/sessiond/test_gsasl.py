#!/usr/bin/python3
"""Mechanisms of the dialect xmpp against a client that we did not write: GNU SASL, which binds no channel here. TAP on
standard output."""
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import unittest

from manager import SECONDS, SECRET, Manager

PROGRAM = sys.argv.pop(1)
CONNECTION = "<connection xmlns='urn:x-c2sd:connection:0' ip='192.0.2.7' port='5' transport='tcp' tls='TLSv1.3'/>"
FRAMING = "xmlns='urn:ietf:params:xml:ns:xmpp-framing'"
SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
ADDRESSES = "sto='localhost' sfrom='a@foo-sockets'"


class Gsasl:
    """The program, which speaks base64, a line for a step."""

    def __init__(self, mechanism, user, password):
        self.process = subprocess.Popen(
            ['stdbuf', '-o0', 'gsasl', '--client', '--quiet', '--mechanism', mechanism, '--authentication-id', user,
             '--password', password],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.text = b''
        self.expect(re.escape(mechanism.encode()) + rb'\n')
        if 'SCRAM' in mechanism:
            self.expect(b'tls-exporter channel binding: ')
            self.say('')
            self.expect(b'tls-unique channel binding: ')
            self.say('')

    def expect(self, pattern):
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found
            ready = select.select([self.process.stdout], [], [], SECONDS)[0]
            more = os.read(self.process.stdout.fileno(), 65536) if ready else b''
            if not more:
                raise AssertionError('no %r in %r' % (pattern, self.text))
            self.text += more

    def say(self, line):
        self.process.stdin.write(line.encode() + b'\n')
        self.process.stdin.flush()

    def step(self, challenge=None):
        if challenge is not None:
            self.say(challenge)
        return self.expect(rb'([A-Za-z0-9+/=]+)\n').group(1).decode()

    def rest(self):
        """What it says of what it was told last. It ends then: there is nothing to be said behind the login."""
        self.process.stdin.close()
        return self.text + self.process.stdout.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait(SECONDS)
        self.process.stdout.close()


@unittest.skipUnless(shutil.which('gsasl'), 'gsasl is not installed')
class Interoperation(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.manager = Manager(PROGRAM, None, 'host=localhost\nname=foo-sockets\nsecret=%s\ndatabase=%s\nregistration=yes\n'
                               'dialect=xmpp\n' % (SECRET, os.path.join(folder.name, 'accounts.db'))).open()
        self.addCleanup(self.manager.kill)
        self.manager.send("<open %s %s version='1.0'>%s</open>" % (ADDRESSES, FRAMING, CONNECTION))
        self.manager.expect('</stream:features>')
        self.manager.register('alice', 'a')

    def log_in(self, mechanism, password='pw'):
        """What comes of it: the name of the last element, and its text."""
        client = Gsasl(mechanism, 'alice', password)
        self.addCleanup(client.close)
        self.manager.send("<auth %s %s mechanism='%s'>%s</auth>" % (ADDRESSES, SASL, mechanism, client.step()))
        name, text = self.answer()
        if name == 'challenge':
            self.manager.send('<response %s %s>%s</response>' % (ADDRESSES, SASL, client.step(text)))
            name, text = self.answer()
        if name == 'success' and text:
            # It goes on only when it believes this.
            client.say(text)
        return name, text, client

    def answer(self):
        found = self.manager.expect(r'<(challenge|success|failure) [^>]*?(?:/>|>(.*?)</\1>)')
        return found.group(1), found.group(2) or ''

    def test_the_right_password(self):
        for mechanism in ('SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'):
            with self.subTest(mechanism):
                name, text, client = self.log_in(mechanism)
                self.assertEqual('success', name)
                self.assertEqual(mechanism == 'PLAIN', text == '')
                self.assertNotIn(b'error', client.rest())
                self.manager.send('<close %s %s/>' % (ADDRESSES, FRAMING))
                self.manager.send("<open %s %s version='1.0'>%s</open>" % (ADDRESSES, FRAMING, CONNECTION))
                self.manager.expect('</stream:features>')

    def test_a_wrong_password(self):
        for mechanism in ('SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'):
            with self.subTest(mechanism):
                name, text, _ = self.log_in(mechanism, 'wrong')
                self.assertEqual('failure', name)
                self.assertRegex(text, '^<not-authorized/><text ')


def main():
    tests = list(unittest.defaultTestLoader.loadTestsFromTestCase(Interoperation))
    print('1..%d' % len(tests))
    failed = False
    for number, test in enumerate(tests, 1):
        result = unittest.TestResult()
        test.run(result)
        for _, trace in result.failures + result.errors:
            print('\n'.join('# ' + line for line in trace.splitlines()))
        good = result.wasSuccessful()
        name = test.id().split('.')[-1] + (' # skip gsasl is not installed' if result.skipped else '')
        print('%s %d - %s' % ('ok' if good else 'not ok', number, name), flush=True)
        failed |= not good
    return 1 if failed else 0


sys.exit(main())
