#!/usr/bin/env python3
"""The embedded session manager is killed, and its clients do not notice: doc/design.md 5 and 6, doc/link.md."""
import os
import random
import select
import shutil
import signal
import tempfile
import unittest

import harness
from harness import DaemonCase

ROSTER = 'jabber:iq:roster'
SANITIZED = harness.is_sanitized(harness.program('sessiond/c2sd-sessiond'))


def linger(seconds):
    """So that what follows comes at no particular moment."""
    select.select([], [], [], seconds)


class Conversation:
    """Two clients that write to each other, with numbers: each must come, and in order; what comes twice is counted."""

    def __init__(self, one, other, addresses):
        self.clients = [one, other]
        self.addresses = addresses
        self.said = [0, 0]
        self.heard = [0, 0]
        self.twice = 0

    def say(self, count, padding=0):
        for _ in range(count):
            for side in 0, 1:
                self.clients[side].message(self.addresses[1 - side], '%d %s' % (self.said[side], 'x' * padding))
                self.said[side] += 1

    def take(self, side, message):
        body = message.child_text('body')
        if message.get('type') == 'error' or body is None:
            raise AssertionError('%r' % message)
        number = int(body.split()[0])
        if number > self.heard[side]:
            raise AssertionError('message %d of %s before %d' % (number, self.addresses[1 - side], self.heard[side]))
        if number < self.heard[side]:
            self.twice += 1
        else:
            self.heard[side] += 1

    def hear_all(self, seconds=60):
        for side in 0, 1:
            while self.heard[side] < self.said[1 - side]:
                self.take(side, self.clients[side].expect('message', seconds))

    def settle(self):
        """What comes now came twice."""
        for side in 0, 1:
            for element in self.clients[side].settle():
                if element.name == 'message':
                    self.take(side, element)


class SurvivalCase(DaemonCase):
    dialect = 'xmpp'

    def survivor(self, users, **arguments):
        daemon = self.start(users=users, embedded=dict(dialect=self.dialect, **arguments.pop('embedded', {})), **arguments)
        self.pids = set(daemon.children('c2sd-sessiond'))
        self.dice = random.Random(os.environ.get('C2SD_TEST_SEED', 7))
        return daemon

    def pid(self, daemon):
        """Of the session manager that runs; there may be none for a moment."""
        deadline = harness.Deadline()
        while deadline.left() > 0:
            pids = daemon.children('c2sd-sessiond')
            if pids:
                return pids[0]
            linger(0.01)
        self.fail('there is no session manager:\n' + '\n'.join(daemon.log.lines[-60:]))

    def kill(self, daemon, how=signal.SIGKILL):
        pid = self.pid(daemon)
        os.kill(pid, how)
        self.assertEqual(harness.wait_gone([pid]), [])
        return pid

    def wait_served(self, daemon):
        """The next one that is killed has served: others are given longer pauses each time (doc/link.md, "When the link is away")."""
        deadline = harness.Deadline()
        while daemon.status()['link']['state'] != 'up':
            if deadline.left() == 0:
                self.fail('there is no link:\n' + '\n'.join(daemon.log.lines[-60:]))
            linger(0.01)

    def assert_all_arrived(self, daemon):
        deadline = harness.Deadline()
        while True:
            status = daemon.status()
            self.assertTrue(status['packets']['balanced'], status)
            link = status['link']
            if (link['state'], link['queued_bytes'], link['unacknowledged'], status['packets']['held']) == ('up', 0, 0, 0):
                self.assertEqual(status['packets']['dropped'], 0)
                return status
            if deadline.left() == 0:
                self.fail(status)
            linger(0.02)

    def assert_nobody_noticed(self, daemon, kills):
        daemon.log.wait('sessiond died', count=kills)
        log = '\n'.join(daemon.log.lines)
        self.assertNotIn('client ended', log)
        self.assertNotIn('link not-resumed', log)
        self.assertNotIn('journal refused', log)
        # Some are killed before they can say that.
        self.assertGreater(log.count('journal replayed'), kills // 2)


class Killed(SurvivalCase):
    def test_fifty_times_in_the_middle_of_a_chat(self):
        names = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank']
        daemon = self.survivor(names)
        clients = {name: daemon.login(name).available() for name in names}
        address = '%s@localhost/home'
        talks = [Conversation(clients[one], clients[other], [address % one, address % other])
                 for one, other in zip(names[::2], names[1::2])]
        for talk in talks:
            talk.say(2)
            talk.hear_all()
        for _ in range(50):
            for talk in talks:
                talk.say(self.dice.randrange(1, 8), self.dice.choice((0, 10, 1000)))
            linger(self.dice.choice((0, 0.001, 0.003, 0.01, 0.1)))
            self.kill(daemon)
            for talk in talks:
                talk.say(self.dice.randrange(0, 3))
                talk.hear_all()
        for talk in talks:
            talk.settle()
        status = self.assert_all_arrived(daemon)
        print('# twice: %d of %d' % (sum(talk.twice for talk in talks), sum(sum(talk.said) for talk in talks)))
        self.assertEqual((status['clients'], status['sessions'], status['packets']['bounced']), (6, 6, 0))
        self.assertEqual(sum(talk.twice for talk in talks), 0)
        self.assert_nobody_noticed(daemon, 50)
        daemon.stop()


    def test_what_everybody_knew_is_known(self):
        daemon = self.survivor(['alice', 'bob', 'carol'])
        alice = daemon.login('alice').available()
        bob = daemon.login('bob').available()
        alice.send("<presence type='subscribe' to='bob@localhost'/>")
        bob.expect_presence('subscribe')
        bob.send("<presence type='subscribed' to='alice@localhost'/>")
        alice.expect_presence('subscribed')
        alice.settle()
        bob.send('<presence><show>away</show><priority>3</priority></presence>')
        alice.expect_presence(sender='bob@localhost')
        carol = daemon.login('carol')
        bob.send("<presence to='carol@localhost/home'><status>directed</status></presence>")
        carol.expect_presence(sender='bob@localhost')
        for _ in range(3):
            self.kill(daemon)
        # Somebody who comes is told of who was there.
        third = daemon.login('alice', resource='third')
        third.send('<presence/>')
        self.assertEqual(third.expect_presence(sender='bob@localhost').child_text('show'), 'away')
        # Both that asked for their roster hear of what becomes of it.
        other = daemon.login('alice', resource='other')
        alice.settle(), other.settle()
        self.kill(daemon)
        answer = third.iq('set', "<query xmlns='%s'><item jid='dora@localhost'/></query>" % ROSTER)
        self.assertEqual(answer.get('type'), 'result')
        pushes = [client.expect(lambda e: e.name == 'iq' and e.get('type') == 'set') for client in (alice, other)]
        self.kill(daemon)
        third.iq('set', "<query xmlns='%s'><item jid='dora@localhost' name='D'/></query>" % ROSTER)
        pushes += [client.expect(lambda e: e.name == 'iq' and e.get('type') == 'set') for client in (alice, other)]
        # Their ids are never used again.
        self.assertEqual(len({push.get('id') for push in pushes}), 4)
        bob.message('alice@localhost', 'to the most available')
        alice.expect_message('to the most available')
        # Whoever got directed presence hears of the end.
        self.kill(daemon)
        bob.leave()
        carol.expect_presence('unavailable', 'bob@localhost')
        alice.expect_presence('unavailable', 'bob@localhost')
        self.assert_all_arrived(daemon)
        daemon.stop()

    def test_sigterm_is_no_worse(self):
        daemon = self.survivor(['alice', 'bob'])
        talk = Conversation(daemon.login('alice').available(), daemon.login('bob').available(),
                            ['alice@localhost/home', 'bob@localhost/home'])
        # A sanitizer says what its process died of, which is a fault for every other test.
        for how in (signal.SIGTERM,) * 4 if SANITIZED else (signal.SIGTERM, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT) * 3:
            talk.say(20, 100)
            self.kill(daemon, how)
            talk.hear_all()
        talk.settle()
        self.assertEqual(talk.twice, 0)
        self.assertEqual(self.assert_all_arrived(daemon)['sessions'], 2)
        daemon.stop()

    def test_messages_that_are_stored_meanwhile(self):
        """Each of them once: the database and the journal are of one mind."""
        daemon = self.survivor(['alice', 'bob'], limits={'offline-max': None})
        alice = daemon.login('alice').available()
        count = 0
        for number in range(40):
            # Each fourth is killed wherever it may be, also in its first steps.
            if number % 4 != 0:
                self.wait_served(daemon)
            for _ in range(self.dice.randrange(1, 25)):
                alice.message('bob@localhost', 'stored %d' % count)
                count += 1
            linger(self.dice.choice((0, 0.001, 0.002, 0.005, 0.01, 0.02)))
            self.kill(daemon)
        self.assertEqual(alice.settle(), [])
        bob = daemon.login('bob').available()
        for number in range(count):
            bob.expect_message('stored %d' % number)
        twice = [element for element in bob.settle() if element.name == 'message']
        print('# twice: %d of %d' % (len(twice), count))
        self.assertEqual(twice, [])
        self.assert_all_arrived(daemon)
        daemon.stop()

    def test_while_stored_messages_are_delivered(self):
        daemon = self.survivor(['alice', 'bob'])
        alice = daemon.login('alice').available()
        for number in range(900):
            alice.message('bob@localhost', 'stored %d %s' % (number, 'x' * 1000))
        alice.settle()
        bob = daemon.login('bob')
        bob.send('<presence/>')
        heard, twice = 0, 0
        while heard < 900:
            if self.dice.randrange(40) == 0:
                self.wait_served(daemon)
                self.kill(daemon)
            message = bob.expect('message', 60)
            number = int(message.child_text('body').split()[1])
            self.assertLessEqual(number, heard)
            if number < heard:
                twice += 1
            else:
                heard += 1
        twice += len([element for element in bob.settle() if element.name == 'message'])
        self.assert_all_arrived(daemon)
        print('# twice: %d of 900' % twice)
        self.assertEqual(twice, 0)
        # Nothing of it is left.
        bob.leave()
        bob = daemon.login('bob').available()
        self.assertEqual([element for element in bob.settle() if element.name == 'message'], [])
        daemon.stop()

    @unittest.skipIf(SANITIZED, 'a sanitizer has memory of its own')
    def test_a_flood_leaves_no_trace(self):
        daemon = self.survivor(['alice', 'bob'], log='warning')
        talk = Conversation(daemon.login('alice').available(), daemon.login('bob').available(),
                            ['alice@localhost/home', 'bob@localhost/home'])
        def memory():
            pid = self.pid(daemon)
            with open('/proc/%d/smaps_rollup' % pid) as file:
                return next(int(line.split()[1]) for line in file if line.startswith('Rss:'))
        sizes = []
        for number in range(10):
            for _ in range(25):
                talk.say(200, 30)
                talk.hear_all()
            if number == 4:
                self.kill(daemon)
            talk.settle()
            sizes.append(memory())
        print('# kB behind each 10,000 messages: %s' % sizes)
        self.assertLess(max(sizes[6:]), min(sizes[:4]) + 4096)
        self.assert_all_arrived(daemon)
        daemon.stop()


    def test_in_a_storm_of_logins(self):
        """Nobody is sent away: logins go on where they were, whatever step they were at."""
        names = ['user%d' % number for number in range(30)]
        daemon = self.survivor(names)
        kills = 0
        for _ in range(3):
            clients = [daemon.client() for _ in names]
            for client in clients:
                client.open(wait=False)
            self.kill(daemon)
            for client, name in zip(clients, names):
                client.expect_header()
                client.send("<iq type='set' id='log'><query xmlns='jabber:iq:auth'><username>%s</username>"
                            '<password>secret</password><resource>home</resource></query></iq>' % name)
            linger(self.dice.choice((0, 0.005, 0.02)))
            self.kill(daemon)
            kills += 2
            for client in clients:
                answer = client.expect(lambda e: e.get('id') == 'log')
                self.assertEqual(answer.get('type'), 'result')
                client.available()
            self.assertEqual(self.assert_all_arrived(daemon)['sessions'], len(names))
            for client in clients:
                client.leave()
        daemon.log.wait('sessiond died', count=kills)
        self.assertNotIn('journal refused', '\n'.join(daemon.log.lines))
        daemon.stop()


class KilledInSfrom(Killed):
    dialect = 'sfrom'


# In place of the session manager: it crashes when it finds that there was one before it, as often as the file says.
CRASHER = '''#!/usr/bin/python3 -IS
import os, signal
with open('%(left)s', 'r+') as file:
    left = int(file.read())
    if left > 0 and os.pread(5, 8, 0).strip(b'\\0'):
        file.seek(0)
        file.write(str(left - 1))
        file.close()
        os.kill(os.getpid(), signal.SIGABRT)
os.execv('%(program)s', ['c2sd-sessiond'])
'''


class Poisoned(SurvivalCase):
    """What was left cannot be used."""

    def journal(self, daemon):
        try:
            return os.open('/proc/%d/fd/5' % self.pid(daemon), os.O_RDWR)
        except PermissionError:
            raise unittest.SkipTest('needs CAP_SYS_PTRACE') from None

    def garble(self, daemon, offset, data):
        fd = self.journal(daemon)
        os.kill(self.pid(daemon), signal.SIGSTOP)
        os.pwrite(fd, data, offset)
        os.close(fd)
        self.kill(daemon)

    def assert_works_again(self, daemon):
        daemon.wait_ready()
        alice = daemon.login('alice', resource='again').available()
        alice.message('alice@localhost/again', 'works')
        alice.expect_message('works')
        self.kill(daemon)
        alice.message('alice@localhost/again', 'again')
        alice.expect_message('again')
        self.assert_all_arrived(daemon)
        alice.leave()

    def test_what_cannot_be_read_is_refused(self):
        daemon = self.survivor(['alice'])
        for offset, data, reason in ((0, b'garbage!', 'unreadable'), (8, b'\xff\xff\xff\xff', 'other-version'),
                                     (16, b'otherone', 'other-database')):
            client = daemon.login('alice')
            self.garble(daemon, offset, data)
            daemon.log.wait('journal refused reason=%s' % reason)
            # Its session is gone, and so is it, or with the next that it says.
            client.send('<presence/>')
            client.expect_close()
            self.assert_works_again(daemon)
        daemon.stop()

    def test_no_database_for_a_while(self):
        """That ends processes, too, but says nothing of what was left."""
        daemon = self.survivor(['alice'])
        client = daemon.login('alice').available()
        os.chmod(daemon.database, 0)
        self.kill(daemon)
        client.message('alice@localhost/home', 'patience')
        daemon.log.wait('sessiond ended', count=4)
        os.chmod(daemon.database, 0o600)
        client.expect_message('patience')
        self.assertNotIn('journal-dropped', '\n'.join(daemon.log.lines))
        self.assert_all_arrived(daemon)
        client.leave()
        daemon.stop()

    def crasher(self, times):
        folder = tempfile.mkdtemp(prefix='c2sd-test.')
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        path, left = os.path.join(folder, 'crasher'), os.path.join(folder, 'left')
        with open(path, 'w') as file:
            file.write(CRASHER % {'left': left, 'program': harness.program('sessiond/c2sd-sessiond')})
        os.chmod(path, 0o755)
        with open(left, 'w') as file:
            file.write(str(times))
        os.chmod(left, 0o666)
        return path

    def crash(self, times):
        daemon = harness.Daemon(embedded={'dialect': self.dialect})
        daemon.sessiond_program = self.crasher(times)
        self.addCleanup(daemon.cleanup)
        daemon.start()
        daemon.add_user('alice', 'secret')
        client = daemon.login('alice').available()
        self.kill(daemon)
        return daemon, client

    def kill(self, daemon, how=signal.SIGKILL):
        pid = self.pid(daemon)
        os.kill(pid, how)
        self.assertEqual(harness.wait_gone([pid]), [])

    def test_it_is_thrown_away_the_third_time(self):
        daemon, client = self.crash(3)
        daemon.log.wait('sessiond journal-dropped crashes=3')
        client.send('<presence/>')
        client.expect_close()
        self.assert_works_again(daemon)
        daemon.stop()

    def test_and_not_before(self):
        daemon, client = self.crash(2)
        client.message('alice@localhost/home', 'still here')
        client.expect_message('still here')
        self.assertNotIn('journal-dropped', '\n'.join(daemon.log.lines))
        self.assert_all_arrived(daemon)
        daemon.stop()


@unittest.skipIf(SANITIZED, 'a sanitizer says what its process died of, which is a fault for every other test')
class Poison(SurvivalCase):
    """The session manager crashes of a packet, and so does each that goes on where it was."""
    text = '!crash now'

    def victim(self, *users):
        daemon = harness.Daemon(embedded={'dialect': self.dialect})
        self.addCleanup(daemon.cleanup)
        path = os.path.join(daemon.folder, 'victim')
        with open(path, 'w') as file:
            file.write("#!/bin/sh\nexport LD_PRELOAD='%s' C2SD_CRASH='%s'\nexec '%s'\n" % (
                harness.program('tests/system/libcrash_shim.so'), self.text, daemon.sessiond_program))
        os.chmod(path, 0o755)
        daemon.sessiond_program = path
        daemon.start()
        for user in users:
            daemon.add_user(user, 'secret')
        return daemon

    def message(self, body):
        return "<message to='carol@localhost' type='chat'><body>%s</body></message>" % body

    def assert_given_up(self, daemon, count):
        """They, and nothing else; and nobody was forgotten."""
        link = self.assert_all_arrived(daemon)['link']
        self.assertEqual(link['given_up'], count)
        daemon.log.wait('client ended reason=given-up', count=count)
        log = '\n'.join(daemon.log.lines)
        for word in 'link not-resumed', 'journal refused', 'journal-dropped', 'client ended reason=remote':
            self.assertNotIn(word, log)
        self.assertEqual(log.count('client ended reason=given-up'), count)

    def test_it_is_given_up_the_third_time(self):
        daemon = self.victim('alice', 'bob', 'carol', 'dave')
        talk = Conversation(daemon.login('alice').available(), daemon.login('bob').available(),
                            ['alice@localhost/home', 'bob@localhost/home'])
        dave = daemon.login('dave').available()
        talk.say(20, 100)
        # In the middle of much else.
        dave.send(self.message('before') + self.message(self.text) + self.message('behind'))
        talk.say(20, 100)
        daemon.log.wait('sessiond died pid=[0-9]+ signal=6', count=3)
        talk.say(20, 100)
        dave.expect_stream_error('internal-server-error', 120)
        daemon.log.wait(r'link packet-given-up bytes=\d+ breaks=3')
        talk.say(20, 100)
        talk.hear_all()
        talk.settle()
        self.assertEqual(talk.twice, 0)
        self.assert_given_up(daemon, 1)
        # He may come again, and so what he wrote before and behind it has arrived once.
        dave = daemon.login('dave').available()
        dave.message('alice@localhost/home', 'again')
        talk.clients[0].expect_message('again')
        carol = daemon.login('carol').available()
        self.assertEqual([carol.expect('message').child_text('body') for _ in range(2)], ['before', 'behind'])
        self.assertEqual([element for element in carol.settle() if element.name == 'message'], [])
        self.assertEqual(self.assert_all_arrived(daemon)['sessions'], 4)
        daemon.stop()

    def test_one_behind_the_other(self):
        daemon = self.victim('alice', 'bob', 'dave', 'erin')
        talk = Conversation(daemon.login('alice').available(), daemon.login('bob').available(),
                            ['alice@localhost/home', 'bob@localhost/home'])
        culprits = [daemon.login(name).available() for name in ('dave', 'erin')]
        for culprit in culprits:
            culprit.send(self.message(self.text))
            talk.say(5)
        for culprit in culprits:
            culprit.expect_stream_error('internal-server-error', 120)
        talk.hear_all()
        talk.settle()
        self.assertEqual(talk.twice, 0)
        self.assert_given_up(daemon, 2)
        deadline = harness.Deadline()
        while daemon.status()['sessions'] > 2 and deadline.left() > 0:
            linger(0.02)
        self.assertEqual(daemon.status()['sessions'], 2)
        daemon.stop()


class PoisonInSfrom(Poison):
    dialect = 'sfrom'


if __name__ == '__main__':
    harness.main()
