#!/usr/bin/env python3
"""quickstart on a terminal: test_terminal.py SOURCE FOLDER. It says how to connect, what it says is true, Ctrl-C ends
everything, and the accounts are still there when it is started again. FOLDER is where it keeps them; it is made."""
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

SOURCE, FOLDER = sys.argv[1:]
CHAT = os.path.join(SOURCE, 'build', 'tests', 'quickstart', 'chat')
TIMEOUT = 300  # for a build, on a slow machine


class Quickstart:
    def __init__(self, port):
        self.said = ''
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            path = os.path.join(SOURCE, 'quickstart')
            os.execv(path, [path, '--port', port, '--folder', FOLDER])

    def read(self, pattern=None):
        """Read until that was said; without a pattern, to the end."""
        end = time.monotonic() + TIMEOUT
        while pattern is None or not re.search(pattern, self.said):
            if not select.select([self.terminal], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError('waited for %r in vain: %s' % (pattern, self.said))
            try:
                data = os.read(self.terminal, 65536)
            except OSError:  # nobody has the other end any more: the processes have ended
                data = b''
            if not data and pattern is not None:
                raise AssertionError('ended before %r: %s' % (pattern, self.said))
            if not data:
                return
            self.said += data.decode('utf-8', 'replace')

    def interrupt(self):
        """Ctrl-C, as the terminal makes it one; the exit status."""
        os.write(self.terminal, b'\x03')
        self.read()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def descendants(pid):
    found = []
    for entry in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/stat' % entry) as file:
                parent = int(file.read().rpartition(')')[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            found += [int(entry)] + descendants(int(entry))
    return found


def run(port):
    """One start, chat and end; the passwords that it told."""
    quickstart = Quickstart(port)
    try:
        quickstart.read(r'Ctrl-C ends it\. Its log:')
        passwords = [re.search(r'%s@localhost +(\w+)' % name, quickstart.said).group(1) for name in ('alice', 'bob')]
        subprocess.run([CHAT, port, 'localhost', 'alice', passwords[0], 'bob', passwords[1]], check=True)
        processes = descendants(quickstart.pid)
        if len(processes) < 4:
            raise AssertionError('not a master, a worker and a session manager: %r' % processes)
        status = quickstart.interrupt()
        left = [process for process in processes if os.path.exists('/proc/%d' % process)]
        if status != 0 or left:
            raise AssertionError('status %d, left %r: %s' % (status, left, quickstart.said[-2000:]))
    except BaseException:
        os.kill(quickstart.pid, signal.SIGTERM)
        raise
    return passwords


def main():
    port = subprocess.run([CHAT, 'port'], check=True, capture_output=True, text=True).stdout.strip()
    first = run(port)
    if run(port) != first:
        raise AssertionError('other passwords at the second start')


main()
