#!/usr/bin/env python3
"""c2sctl for the operator of a service under way: who is there, what they send and get, and what can be changed."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import unittest

import harness
from harness import DaemonCase, Deadline, Output, chat, program


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


class OperateCase(DaemonCase):
    def setUp(self):
        self.daemon = self.start(users=('alice', 'bob'), log='info')
        self.kept = []

    def login(self, user, resource='home'):
        """A client that stays, whoever forgets it."""
        self.kept.append(self.daemon.login(user, resource=resource).available())
        return self.kept[-1]

    def json(self, *arguments):
        return lines(self.daemon.ctl('--json', *arguments).stdout)

    def sessions(self, *filters):
        return self.json('sessions', *filters)

    def refused(self, *arguments, status=1):
        result = self.daemon.ctl(*arguments, check=False)
        self.assertEqual(status, result.returncode, result)
        self.assertTrue(result.stderr, arguments)
        return result

    def begin(self, *arguments):
        """A c2sctl that goes on, with its output line by line."""
        process = subprocess.Popen([program('ctl/c2sctl'), '-s', self.daemon.socket_path] + list(arguments),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output = Output(process.stdout)

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()
            output.join(harness.TIMEOUT)
            process.stdout.close()
            process.stderr.close()

        self.addCleanup(end)
        return process, output


class Sessions(OperateCase):
    def test_what_is_told_is_true(self):
        alice = self.login('alice')
        bob = self.login('bob')
        opened = self.daemon.client().open()
        for _ in range(3):
            chat(alice, bob, 'alice@localhost', 'bob@localhost')
        found = {session['account']: session for session in self.sessions()}
        self.assertEqual({'alice@localhost/home', 'bob@localhost/home', None}, set(found))
        session = found['alice@localhost/home']
        self.assertEqual('127.0.0.1', session['address'])
        self.assertEqual(alice.socket.getsockname()[1], session['port'])
        self.assertEqual('session', session['state'])
        self.assertEqual((5, False, 0), (session['packets_in'], session['throttled'], session['unsent']))
        self.assertEqual(len(alice.received), session['bytes_out'])
        self.assertGreater(session['bytes_in'], 300)
        self.assertLess(session['idle'], 30)
        self.assertEqual('login', found[None]['state'])
        opened.close()

    def test_filters(self):
        for user, resource in (('alice', 'a'), ('alice', 'b'), ('bob', 'c')):
            self.login(user, resource)

        def resources(*filters):
            return ''.join(sorted(session['account'][-1] for session in self.sessions(*filters)))

        self.assertEqual('abc', resources())
        self.assertEqual('abc', resources('--account', 'localhost'))
        self.assertEqual('ab', resources('--account', 'alice@localhost'))
        self.assertEqual('b', resources('--account', 'alice@localhost/b'))
        self.assertEqual('', resources('--account', 'alice'))
        self.assertEqual('abc', resources('--address', '127.0.0.1'))
        self.assertEqual('', resources('--address', '::1'))
        on = [resources('--worker', number) for number in '01']
        self.assertEqual('abc', ''.join(sorted(''.join(on))))
        self.assertNotIn('', on)
        self.refused('sessions', '--worker', '2')
        self.refused('sessions', '--address', 'localhost')
        self.refused('sessions', '--worker', 'x', status=2)
        self.refused('workers', '--worker', '0', status=2)

    def test_more_than_a_page(self):
        clients = [self.daemon.client().open() for _ in range(300)]
        self.assertEqual(300, len({session['id'] for session in self.sessions()}))
        # Some go, and some workers die, while somebody reads slowly.
        process, output = self.begin('--json', 'sessions')
        for client in clients[::2]:
            client.reset()
        self.assertEqual(0, process.wait(harness.TIMEOUT))
        for client in clients:
            client.close()

    def test_for_people(self):
        self.login('alice')
        text = self.daemon.ctl('sessions').stdout.splitlines()
        self.assertEqual(2, len(text))
        self.assertEqual(text[0].split()[0], 'id')
        self.assertEqual(['session', 'none', 'no'], text[1].split()[-3:])
        self.assertIn('no clients', self.daemon.ctl('sessions', '--account', 'bob@localhost').stdout)


class Workers(OperateCase):
    def workers(self):
        return {worker['number']: worker for worker in self.json('workers')}

    def test_workers(self):
        self.assertEqual({0: 'ready', 1: 'ready'}, {number: worker['state'] for number, worker in self.workers().items()})
        self.assertEqual(set(self.daemon.worker_pids()), {worker['pid'] for worker in self.workers().values()})
        self.assertEqual(3, len(self.daemon.ctl('workers').stdout.splitlines()))

    def test_drain(self):
        self.daemon.may_lose_workers = True
        alice, bob = (self.login(user) for user in ('alice', 'bob'))
        where = {session['account'][0]: session['worker'] for session in self.sessions()}
        before = self.workers()[where['a']]['pid']
        self.daemon.ctl('drain', str(where['a']))
        self.assertEqual('retiring', self.workers()[where['a']]['state'])
        self.refused('drain', str(where['a']))
        self.refused('drain', str(1 - where['a']))
        # It keeps whom it has, and gets nobody.
        chat(alice, bob, 'alice@localhost', 'bob@localhost')
        for resource in 'xyz':
            self.login('bob', resource)
        self.assertEqual([where['b']] + [1 - where['a']] * 3,
                         [session['worker'] for session in self.sessions('--account', 'bob@localhost')])
        alice.leave()
        self.daemon.log.wait(r'worker %d started' % where['a'], count=2)
        self.daemon.ctl('wait')
        self.assertNotEqual(before, self.workers()[where['a']]['pid'])
        self.assertEqual('ready', self.workers()[where['a']]['state'])

    def test_drain_whom(self):
        self.refused('drain', '2')
        self.refused('drain', '4294967295')
        self.refused('drain', '-1', status=2)
        self.refused('drain', 'x', status=2)
        self.refused('drain', status=2)


class Configuration(OperateCase):
    def rewrite(self, *replacements):
        path = os.path.join(self.daemon.folder, 'c2sd.xml')
        with open(path, encoding='utf-8') as file:
            text = file.read()
        for before, after in replacements:
            self.assertIn(before, text)
            text = text.replace(before, after)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)

    def test_reload(self):
        alice = self.login('alice')
        self.rewrite(('<workers count="2"', '<workers count="3"'))
        result = self.daemon.ctl('reload')
        self.assertEqual(('', ''), (result.stdout, result.stderr))
        self.assertEqual(3, len(self.json('workers')))
        self.rewrite(('<log level="info"/>', '<log level="loud"/>\n<nonsense/>'))
        result = self.refused('reload')
        self.assertEqual(2, len(re.findall(r'c2sd\.xml:\d+: .', result.stdout)), result)
        self.assertIn('nothing has changed', result.stderr)
        self.assertEqual(2, len(lines(self.daemon.ctl('reload', '--json', check=False).stdout)))
        alice.settle()

    def test_what_needs_a_restart_is_said(self):
        self.rewrite(('name="c2s.localhost"', 'name="other.localhost"'))
        result = self.daemon.ctl('reload')
        self.assertEqual(1, len(result.stdout.splitlines()), result)
        self.assertRegex(result.stdout, 'link.*name')

    def test_config(self):
        text = self.daemon.ctl('config').stdout
        self.assertEqual(text, self.json('config')[0]['xml'])
        self.assertIn('keepalive-seconds=', text)
        path = os.path.join(self.daemon.folder, 'again.xml')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        result = subprocess.run([program('master/c2sd'), '-t', '-c', path], capture_output=True, text=True)
        self.assertEqual((0, ''), (result.returncode, result.stderr))

    def test_config_keeps_the_secret(self):
        manager = self.manager(secret='very-secret-word')
        daemon = self.start_with(manager)
        text = daemon.ctl('config').stdout
        self.assertIn('secret=', text)
        self.assertNotIn('very-secret-word', text)

    def test_loglevel(self):
        self.assertEqual('info\n', self.daemon.ctl('loglevel').stdout)
        self.assertEqual('debug\n', self.daemon.ctl('loglevel', 'debug').stdout)
        self.assertEqual([{'level': 'debug'}], self.json('loglevel'))
        self.daemon.client().open().close()
        self.daemon.log.wait(r'worker.*client.*opening')
        self.daemon.ctl('reload')
        self.assertEqual('info\n', self.daemon.ctl('loglevel').stdout)
        self.refused('loglevel', 'loud')
        self.refused('loglevel', 'info', 'debug', status=2)


class Trace(OperateCase):
    def trace(self, *arguments):
        process, output = self.begin('--json', 'trace', *arguments)
        output.wait('"seconds"')
        # Its worker may not have read yet that it is to show something: it has when it has answered what came behind that.
        self.sessions()
        return process, output

    def found(self, output, direction):
        return [line['text'] for line in lines('\n'.join(output.lines)) if line.get('direction') == direction]

    def test_both_ways_and_what_the_worker_says(self):
        alice = self.login('alice')
        bob = self.login('bob')
        process, output = self.trace('alice@localhost')
        chat(alice, bob, 'alice@localhost', 'bob@localhost')
        alice.send("<iq type='get' id='a'><query xmlns='jabber:iq:auth'/></iq>")
        alice.expect('iq')
        alice.send('</stream:stream>')
        alice.expect_end()
        self.assertEqual(0, process.wait(harness.TIMEOUT))
        output.join(harness.TIMEOUT)
        up, down = self.found(output, 'up'), self.found(output, 'down')
        self.assertEqual(3, len(up), up)
        self.assertRegex(up[0], "^<message to='bob@localhost' type='chat'.*><body>chat ")
        self.assertEqual('</stream:stream>', up[-1])
        self.assertRegex(down[0], "^<message .*<body>chat ")
        self.assertNotIn('sto=', down[0])
        self.assertEqual('</stream:stream>', down[-1])
        self.assertEqual({'ended': 'client', 'lost': 0}, json.loads(output.lines[-1]))

    def test_a_login_shows_no_secret(self):
        client = self.daemon.client().open()
        process, output = self.trace(self.sessions()[0]['id'])
        client.login('alice', 'secret')
        client.register('alice', 'very-secret-word')
        output.wait('"result".*|result', count=2)
        client.close()
        self.assertEqual(0, process.wait(harness.TIMEOUT))
        output.join(harness.TIMEOUT)
        text = '\n'.join(output.lines)
        self.assertEqual(2, text.count('<password>***</password>'), text)
        self.assertNotIn('secret', text)

    def test_off_when_the_tool_goes(self):
        alice = self.login('alice')
        process, output = self.trace('alice@localhost')
        process.send_signal(signal.SIGINT)
        process.wait(harness.TIMEOUT)
        self.daemon.log.wait('client traced seconds=60')
        alice.settle()
        self.assertEqual(1, len(self.sessions()))
        process, output = self.trace('alice@localhost', '1')
        self.assertEqual(0, process.wait(harness.TIMEOUT))
        output.join(harness.TIMEOUT)
        self.assertEqual('time', json.loads(output.lines[-1])['ended'])

    def test_worker_dies(self):
        self.daemon.may_lose_workers = True
        self.login('alice')
        process, output = self.trace('alice@localhost')
        for pid in self.daemon.worker_pids():
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(0, process.wait(harness.TIMEOUT))
        output.join(harness.TIMEOUT)
        self.assertEqual('client', json.loads(output.lines[-1])['ended'])

    def test_for_people(self):
        alice = self.login('alice')
        process, output = self.begin('trace', 'alice@localhost')
        output.wait('^.* alice@localhost/home for 60 seconds$')
        alice.send("<message to='alice@localhost/home'><body>\x7f\xc2\x9b31m</body></message>")
        # However it is written, a terminal does nothing on it.
        output.wait(r'^\d\d:\d\d:\d\d\.\d\d\d \S+ from <message.*<body>[^\x00-\x1f\x7f]*31m</body></message>$')
        output.wait(r' to   <message')

    def test_whom(self):
        self.refused('trace', 'nobody')
        self.refused('trace', 'alice@localhost')
        self.refused('trace', 'alice@localhost', '3601', status=2)
        self.refused('trace', status=2)


class Top(OperateCase):
    def test_the_busiest_first(self):
        self.login('bob')
        alice = self.login('alice')
        process, output = self.begin('--json', 'top', '2')
        while process.poll() is None:
            alice.message('alice@localhost/home', 'x' * 1000)
            alice.expect('message')
        output.join(harness.TIMEOUT)
        self.assertEqual(0, process.returncode)
        found = lines('\n'.join(output.lines))
        self.assertEqual('alice@localhost/home', found[0]['account'])
        self.assertGreater(found[0]['rate_in'], 100)
        self.assertGreater(found[0]['rate_out'], 100)

    def test_without_a_terminal_one_page(self):
        self.login('bob')
        text = self.daemon.ctl('top', '1').stdout
        self.assertRegex(text, r'^clients 1, sessions 1, workers 2, link up')
        self.assertIn('bob@localhost/home', text)

    def on_terminal(self, key):
        """Two pages, then that key; the exit status."""
        self.login('bob')
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(program('ctl/c2sctl'), ['c2sctl', '-s', self.daemon.socket_path, 'top', '1'])
        text, deadline = b'', Deadline()
        while text.count(b'clients 1') < 2 and deadline.left() > 0:
            if select.select([fd], [], [], deadline.left())[0]:
                text += os.read(fd, 65536)
        os.write(fd, key)
        # Long lines are cut, and no longer so when it has ended.
        while b'\x1b[?7h' not in text and deadline.left() > 0:
            if select.select([fd], [], [], deadline.left())[0]:
                text += os.read(fd, 65536)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(fd)
        self.assertLess(-1, text.find(b'\x1b[?7l'), text)
        self.assertLess(text.find(b'\x1b[?7l'), text.find(b'clients 1'), text)
        self.assertGreaterEqual(text.count(b'clients 1'), 2, text)
        self.assertIn(b'bob@localhost/home', text)
        return status

    def test_q_ends_it(self):
        self.assertEqual(0, self.on_terminal(b'q'))

    def test_interrupt_ends_it(self):
        self.assertEqual(0, self.on_terminal(b'\x03'))

    def test_how_often(self):
        self.refused('top', '0', status=2)
        self.refused('top', '61', status=2)


class Exit(OperateCase):
    def test_wrong_arguments(self):
        for arguments in ((), ('nonsense',), ('status', 'x'), ('sessions', 'x'), ('workers', 'x'), ('kick',),
                          ('reload', 'x'), ('config', 'x'), ('user',), ('wait', '1', '2'), ('--nonsense', 'status'),
                          ('sessions', '--worker'), ('status', '-s')):
            result = subprocess.run([program('ctl/c2sctl')] + list(arguments), stdin=subprocess.DEVNULL,
                                    capture_output=True, text=True)
            self.assertEqual(2, result.returncode, arguments)
            self.assertTrue(result.stderr, arguments)

    def test_answer_that_cannot_be_written(self):
        for arguments in (('status',), ('--json', 'status'), ('config',), ('user', 'list'), ('top', '1')):
            with open('/dev/full', 'w') as full:
                result = subprocess.run([program('ctl/c2sctl'), '-s', self.daemon.socket_path] + list(arguments),
                                        stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual(1, result.returncode, arguments)
            self.assertIn('cannot write the answer', result.stderr)

    def test_nobody_there(self):
        self.daemon.stop()
        for arguments in (('status',), ('sessions',), ('workers',), ('top', '1'), ('trace', 'x'), ('drain', '0'),
                          ('reload',), ('config',), ('loglevel',), ('wait', '1')):
            self.refused(*arguments, status=3)


if __name__ == '__main__':
    harness.main()
