"""A daemon with a session manager and a crowd, the law that holds for them, and how they come to rest."""
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections import Counter

import harness
from crowd import Crowd, Hang, state_name
from law import Books, Verdict

# A message waits for nothing but the fault that is tested: bounds are small, so that they are reached.
LIMITS = {'dead-seconds': 3, 'stall-seconds': 2, 'unsent-soft-bytes': 262144, 'unsent-bytes': 8388608, 'settle-seconds': 1}
OFFLINE = 100000        # more than is ever sent to somebody who is away
LIMIT = 2 * harness.TIMEOUT     # only a Hang lasts so long

# Lines at level error that a fault may bring about, by any scenario that says so.
ERRORS = {'worker': r'worker \d+ (gone|died|unresponsive|killed)', 'sessiond': r'sessiond? ', 'store': r'store failed'}


def is_sanitized():
    return harness.is_sanitized(harness.program('master/c2sd'))


class Field:
    """senders, receivers: how many; every second one has TLS, where there is any. far: receivers in the far network (a
    network.Network). manager: None for the embedded session manager, a servers.Server or a bridge.Bridge. books: verdicts
    are summed up in `verdict`."""

    def __init__(self, seed, senders=2, receivers=4, tls=True, big=200000, network=None, manager=None, link=None,
                 limits=None, **arguments):
        self.dice = random.Random(seed)
        self.manager = manager
        self.network = network
        self.verdict = Verdict()
        self.faults = Counter()
        self.shaken = 0
        self.expected_errors = []
        self.complaints = []    # beside those of the law
        self.daemon = None
        self.crowd = None
        listen = ['127.0.0.1'] + ([network.near] if network else [])
        self.daemon = harness.Daemon(
            link=manager.attributes(**(link or {})) if manager else None, limits=dict(LIMITS, **(limits or {})), listen=listen,
            tls='both' if tls else 'none', log='info', sessiond_options={'offline': OFFLINE},
            tls_options={'required': 'no'} if tls else None, environment=environment(), **arguments)
        self.crowd = self._crowd(senders, receivers, tls, big)

    def _crowd(self, senders, receivers, tls, big):
        names = ['s%d' % number for number in range(senders)], ['r%d' % number for number in range(receivers)]
        accounts = {}
        for number, user in enumerate(names[0] + names[1]):
            far = self.network is not None and user in names[1]
            accounts[user] = dict(address=self.daemon.listeners[1 if far else 0], tls=tls and number % 2 == 1,
                                  peers=names[1] if user in names[0] else [])
            if far:
                accounts[user]['space'] = self.network.space
        return Crowd(accounts, big, LIMIT)

    # -- life

    def start(self):
        if self.manager is None:
            self.daemon.start()
            for user in self.crowd.accounts:
                self.daemon.add_user(user, 'secret')
        else:
            self.manager.listen()
            self.daemon.start(ready=False)
            self.manager.up()
            self.daemon.wait_ready()
            self.register()
        self.crowd.new_books(Books())
        self.crowd.until(self.crowd.all_ready, 'everybody is there')
        return self

    def register(self):
        """Whoever is not known yet."""
        if getattr(self.manager, 'service', None) is None:
            for user in self.crowd.accounts:
                self.daemon.client().open().register(user, 'secret')

    def __enter__(self):
        try:
            return self.start()
        except BaseException as error:
            self.explain(error)
            self.stop(False)
            raise

    def __exit__(self, kind, error, trace):
        if kind is not None:
            self.explain(error)
        self.stop(kind is None)

    def explain(self, error):
        if isinstance(error, (Hang, subprocess.TimeoutExpired)):
            print(self.state(), flush=True)

    def stop(self, orderly):
        self.crowd.close()
        try:
            if orderly:
                self.daemon.stop()
        finally:
            if self.manager is not None:
                self.manager.close()
            log = self.daemon.log
            self.daemon.cleanup()
        if orderly:
            self.check_log(log)

    def check_log(self, log):
        """Nothing at level error that nobody has brought about."""
        expected = '|'.join(self.expected_errors) or r'(?!)'
        found = [line for line in log.lines if ' error: ' in line and not re.search(expected, line)]
        if found:
            raise AssertionError('the log has errors:\n' + '\n'.join(found[:20]))

    # -- rest

    def fault(self, name, times=1):
        self.faults[name] += times

    def rest(self):
        """Everybody is back and has read everything; then the books are closed."""
        crowd = self.crowd
        crowd.absent.clear()
        for user in list(crowd.modes):
            crowd.read(user)
        crowd.until(crowd.is_through, 'everything is sent and proven')
        crowd.until(crowd.all_ready, 'everybody is there again')
        crowd.ask_all()     # who has no session any more hears of that
        quiet, arrived = 0, -1
        # Answers come behind everything else. What is missing then may still be on its way, where a session manager is as
        # quiet as if it were not, but not when that comes three times.
        while quiet < 3:
            crowd.until(self.is_quiet, 'nothing is held, on the link or in the store')
            crowd.ask_all()
            quiet = quiet + 1 if crowd.arrived == arrived else 0
            arrived = crowd.arrived
            if not crowd.books.missing(crowd.live_ranges(), crowd.target) and self.is_quiet():
                break
        self.close_books()

    def is_quiet(self):
        """Nothing is under way anywhere."""
        status = self.status()
        link = status['link']
        return link['state'] == 'up' and link['unacknowledged'] == link['queued_bytes'] == 0 and self.crowd.is_through() and \
            self.crowd.all_ready() and status['packets']['held'] == 0 and self.offline() == 0

    def close_books(self):
        crowd = self.crowd
        verdict = crowd.books.close(crowd.live_ranges(), crowd.target, self.shaken)
        self.verdict.add(verdict)
        self.shaken = 0
        crowd.new_books(Books())
        status = self.status()
        if not status['packets']['balanced']:
            raise AssertionError('the counters do not balance: %r' % status['packets'])
        return verdict

    def status(self):
        return self.daemon.status()

    def offline(self):
        """Messages in the store of the embedded session manager, or of the servers of the tests."""
        if self.manager is not None and hasattr(self.manager, 'service'):
            with self.manager.lock:
                return sum(map(len, self.manager.service.offline.values()))
        return self.query('SELECT COUNT(*) FROM offline')[0][0]

    def query(self, statement):
        path = self.manager.database if self.manager is not None else self.daemon.database
        store = sqlite3.connect('file:%s?mode=ro' % path, uri=True, timeout=harness.TIMEOUT)
        try:
            return store.execute(statement).fetchall()
        finally:
            store.close()

    # -- where it hangs

    def state(self):
        said = ['---- the state of everything']
        for user in self.crowd.accounts:
            client = self.crowd.now.get(user)
            said.append('client %s: %s' % (user, 'none' if client is None else
                        '%s pid=%d session=%d written=%d proven=%d until=%s answered=%d of %d read=%d stopped=%s %s' % (
                            state_name(client), client.process.pid, client.session, client.written, client.proven,
                            self.crowd.until_number.get(user), client.get('answered'), self.crowd.asked, client.taken, client.stopped, client.said)))
            if client and client.get('answered') < self.crowd.asked and not client.over:
                journal = os.pread(client.journal, client.taken, 0)
                said.append('    the end of what it read: %r; iqs in it: %r' % (
                    journal[-400:], [found.group() for found in re.finditer(rb'.{30}<iq[^>]*>.{30}', journal, re.S)][-5:]))
        pids = [self.daemon.process.pid] + harness.process_children(self.daemon.process.pid)
        said += ['process %d: %s' % (pid, process_state(pid)) for pid in pids]
        try:
            said.append(json.dumps(self.status()))
            said.append(self.daemon.ctl('sessions', '--json', check=False).stdout[-8000:])
        except (AssertionError, subprocess.TimeoutExpired, ValueError) as error:
            said.append('c2sctl: %s' % error)
        if self.offline() > 0 and getattr(self.manager, 'service', None) is None:
            said.append('stored: %r' % self.query('SELECT account, MIN(id), MAX(id), COUNT(*) FROM offline GROUP BY account'))
        said.append('missing: %r' % self.crowd.books.missing(self.crowd.live_ranges(), self.crowd.target)[:20])
        lines = [line for line in self.daemon.log.lines if ' debug' not in line]
        return '\n'.join(said + ['---- the end of the log'] + lines[-60:])


def environment():
    """Sanitizers keep what was freed: as little as possible, so that memory can be compared."""
    options = ':'.join(filter(None, [os.environ.get('ASAN_OPTIONS'), 'quarantine_size_mb=1']))
    return dict(os.environ, ASAN_OPTIONS=options)


def process_state(pid):
    def read(name):
        try:
            with open('/proc/%d/%s' % (pid, name)) as file:
                return file.read().strip().replace('\0', ' ')
        except OSError as error:
            return error.strerror

    status = harness.process_status(pid) or {}
    return '%s state=%s wchan=%s syscall=%s rss=%s' % (read('cmdline'), status.get('State', '').strip(), read('wchan'),
                                                       read('syscall'), status.get('VmRSS', '').strip())


class Folder:
    """For what a session manager beside the daemon needs."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix='c2sd-test.')
        os.chmod(self.path, 0o755)
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)
