"""What the benchmarks share: the real daemon, a session manager that says yes, many clients (bench-crowd), and what all of
them use.
"""
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time

SOURCE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(SOURCE, '..', 'tests', 'system'))

# Of one client program and of one worker: below the usual hard limit of descriptors.
DESCRIPTORS = 18000

# Of those that bench-crowd lets log in at a time.
UNDER_WAY = 64


def pss(pid):
    with open('/proc/%d/smaps_rollup' % pid) as file:
        return sum(int(line.split()[1]) for line in file if line.startswith('Pss:')) * 1024


def slab_of_kernel():
    """What the kernel keeps for sockets, on both ends."""
    with open('/proc/meminfo') as file:
        return sum(int(line.split()[1]) for line in file if line.startswith('Slab:')) * 1024


class YesToEverybody(threading.Thread):
    """A session manager that knows one answer: yes."""

    ASKED = re.compile(rb"<(iq|presence)((?: [a-z:]+='[^']*')*)(?:/>|>(.*?)</\1>)", re.S)
    ATTRIBUTE = re.compile(rb" ([a-z:]+)='([^']*)'")
    FIELD = re.compile(rb'<(username|resource)>([^<]*)<')

    def __init__(self, manager):
        super().__init__(daemon=True)
        self.socket = manager.link.socket
        self.start()

    def answer(self, kind, attributes, content):
        if kind != b'iq' or b'id' not in attributes:
            return b''
        fields = dict(self.FIELD.findall(content or b''))
        sender = attributes[b'sto']
        if b'username' in fields:
            sender = fields[b'username'] + b'@' + sender + b'/' + fields[b'resource']
        return b"<iq type='result' id='%s' sto='%s' sfrom='%s'/>" % (attributes[b'id'], attributes[b'sfrom'], sender)

    def run(self):
        pending = b''
        self.socket.settimeout(None)
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except OSError:
                return
            if not data:
                return
            pending += data
            answers, end = [], 0
            for match in self.ASKED.finditer(pending):
                answers.append(self.answer(match[1], dict(self.ATTRIBUTE.findall(match[2])), match[3]))
                end = match.end()
            pending = pending[end:]
            self.socket.sendall(b''.join(answers))


class Crowd:
    """N clients, in as many programs as their descriptors need."""

    def __init__(self, build, address, count, resources, arguments=()):
        self.programs = []
        first, number = 0, 0
        while first < count:
            some = min(DESCRIPTORS // resources * resources, count - first)
            number += 1
            self.programs.append(subprocess.Popen(
                [os.path.join(build, 'bench', 'bench-crowd'), *arguments, address[0], str(address[1]),
                 '127.0.1.%d' % number, 'localhost', str(first), str(some), str(resources)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            first += some

    def wait(self, seconds):
        end = time.monotonic() + seconds
        for one in self.programs:
            if not select.select([one.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise SystemExit('bench: clients did not log in in time')
            if not one.stdout.readline().startswith(b'ready '):
                raise SystemExit('bench: a client failed')

    def leave(self):
        for one in self.programs:
            one.stdin.close()
        for one in self.programs:
            one.wait(60)


def ask(path, request):
    """One request on the control socket."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(path)
        control.sendall(json.dumps(request).encode() + b'\n')
        answer = b''.join(iter(lambda: control.recv(65536), b''))
    last = json.loads(answer.splitlines()[-1])
    if 'error' in last:
        raise SystemExit('bench: %s' % last['error'])


def make_accounts(daemon, count):
    for number in range(count):
        ask(daemon.socket_path, {'command': 'user', 'action': 'add', 'name': 'u%d' % number, 'password': 'secret'})


def start(options, workers, tls='none', key='ec'):
    """(daemon, session manager of ours or None, (chain, key) of its certificate or None)"""
    import harness
    import scripted

    manager = scripted.ScriptedSM() if options.manager == 'yes' else None
    daemon = harness.Daemon(workers=workers, log='warning', limits={'login-seconds': 600}, tls=tls, certificates=(),
                            tls_options={'required': 'no'}, link=manager and manager.attributes())
    if tls != 'none':
        daemon.certificates = [harness.make_certificate(daemon.folder, 'bench.pem', ['localhost'], key=key)]
    if manager:
        manager.listen()
        daemon.start(ready=False)
        manager.up()
        YesToEverybody(manager)
        daemon.wait_ready()
    else:
        daemon.start()
    return daemon, manager, daemon.certificates * 2 or None


def wait_clients(daemon, count):
    """Until there are that many, all are idle, and nothing waits for the link."""
    end = time.monotonic() + 120
    while True:
        status = daemon.status()
        busy = sum(worker['parsers'] + worker['buffers'] for worker in status['workers'])
        if status['clients'] == count and busy == 0 and status['link']['queued_bytes'] == 0:
            return
        if time.monotonic() > end:
            raise SystemExit('bench: %d clients, not %d; %d parsers and buffers' % (status['clients'], count, busy))
        time.sleep(0.2)
