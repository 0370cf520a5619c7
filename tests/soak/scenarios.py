"""The faults, each by itself. A scenario gets the run (soak.Run: dice, network, how many rounds) and returns its field."""
import os
import signal

import harness
from bridge import Bridge
from field import ERRORS, Field, Folder
from harness import wait_gone

WHY = {
    'killed': 'its machine had it, and had not acknowledged it for settle-seconds when the connection was reset',
    'network cut': 'it had come, and its acknowledgement was lost on the way or not yet settle-seconds old',
    'half-open': 'as with a network that is cut',
    'worker killed': 'what was not settled when its worker died is the master\'s to give back',
    'session manager killed': 'it died between its database (or its output) and what it remembers',
    'ended by the daemon': 'as too slow, or because its session was gone: what was not settled goes back',
    'session goes on': 'the session manager was sent it twice, because it died or forgot its stream before it acknowledged it',
    'refused as well': 'it came back when the store was full, from a session that had read it',
    'left': 'it closed its connection with something unread',
}


def calm(run):
    """No fault: TLS and plain clients, reloads meanwhile, long messages among short ones. Nothing comes twice."""
    with Field(run.dice.random(), **run.sizes) as field:
        for _ in range(run.rounds):
            field.crowd.load(run.load)
            for part in (0.3, 0.5):
                field.crowd.until(field.crowd.progress(part), 'part of the load')
                reload_daemon(field)
            field.rest()
        assert not field.verdict.duplicates, 'duplicates without a fault: %r' % field.verdict.duplicates
        return field


def reload_daemon(field):
    field.fault('reload')
    count = len(field.daemon.log.lines)
    field.daemon.process.send_signal(signal.SIGHUP)
    field.crowd.until(lambda: any('reload done' in line for line in field.daemon.log.lines[count:]), 'the reload is done')


def clients_killed(run):
    """kill -9 of receivers, some of which were slow and have much in their kernel, and of senders."""
    with Field(run.dice.random(), **run.sizes) as field:
        for round_ in range(3 * run.rounds):
            kill_some(field, round_)
            field.rest()
        return field


def kill_some(field, round_, load=None):
    crowd, dice = field.crowd, field.dice
    victim = dice.choice(crowd.receivers)
    slow = round_ % 3 != 2
    if slow:
        crowd.read(victim, chunk=dice.choice((512, 4096)), pause=dice.choice((0.01, 0.05)))
    crowd.load(load or 400)
    crowd.until(crowd.progress(dice.uniform(0.2, 0.9)), 'part of the load')
    crowd.read(victim)
    kill(field, victim)
    if round_ % 2:
        kill(field, dice.choice(crowd.senders))
    crowd.until(crowd.progress(0.5), 'part of the rest')
    kill(field, dice.choice(crowd.receivers), linger=True)


def kill(field, user, linger=None):
    """It is back at the next look."""
    client = field.crowd.now.get(user)
    if client and client.ready:
        field.fault('client killed')
        client.kill('killed', linger)


def slow_readers(run):
    """One reads a little and pauses: it makes progress, and is not ended. One reads nothing, and is."""
    with Field(run.dice.random(), **run.sizes) as field:
        crowd = field.crowd
        for _ in range(run.rounds):
            slow, deaf = crowd.receivers[:2]
            crowd.read(slow, chunk=2048, pause=0.02)
            crowd.read(deaf, chunk=0)
            crowd.fate = 'ended by the daemon'
            session = crowd.now[slow].session
            held = crowd.now[deaf]
            field.fault('slow reader')
            field.fault('deaf reader')
            crowd.load(run.load * 2)
            crowd.until(crowd.is_through, 'everything is sent')
            until_ended_or_settled(field, held)
            crowd.read(deaf)
            field.rest()
            assert crowd.now[slow].session == session, 'a reader that makes progress was ended: ' + crowd.now[slow].said
        return field


def until_ended_or_settled(field, client):
    """The daemon has ended that one's connection, or has nothing left for it."""
    def over():
        return field.status()['packets']['held'] == 0

    field.crowd.until(over, 'the end of a client that reads nothing')


def half_open(run):
    """Its machine is gone: it says nothing and acknowledges nothing, never a FIN. It ends by dead-seconds."""
    with Field(run.dice.random(), **run.sizes) as field:
        for _ in range(run.rounds):
            field.crowd.load(run.load)
            field.crowd.until(field.crowd.progress(0.4), 'part of the load')
            leave_half_open(field, 2)
            field.rest()
        return field


def leave_half_open(field, count=1):
    """While the others go on, until these are ended."""
    crowd = field.crowd

    def there():
        return [user for user in crowd.receivers if user in crowd.now and crowd.now[user].ready]

    crowd.until(lambda: len(there()) >= count, 'somebody is logged in')
    users = field.dice.sample(there(), count)
    gone = [(crowd.now[user], crowd.now[user].freeze()) for user in users]
    field.fault('half-open', len(gone))
    crowd.until(crowd.is_through, 'everything is sent')
    crowd.until(lambda: field.status()['packets']['held'] == 0, 'the time-out of who is gone')
    for client, own in gone:
        client.finish(own, 'half-open')


def network_cut(run):
    """Under load, without a word: for longer than dead-seconds, and for a moment only."""
    network = run.network()
    with Field(run.dice.random(), network=network, **run.sizes) as field:
        for _ in range(run.rounds):
            cut_for_long(field, network, run.load)
            field.rest()
            field.crowd.load(run.load)
            field.crowd.until(field.crowd.progress(0.4), 'part of the load')
            network.cut()
            field.fault('network away for a moment')
            field.crowd.until(field.crowd.is_through, 'everything is sent')
            network.join()
            field.rest()
        return field


def cut_for_long(field, network, load):
    crowd = field.crowd
    crowd.load(load)
    crowd.until(crowd.progress(0.4), 'part of the load')
    network.cut()
    field.fault('network cut')
    crowd.absent.update(crowd.receivers)
    crowd.until(crowd.is_through, 'everything is sent')
    crowd.until(lambda: field.status()['packets']['held'] == 0, 'the time-out of the far ones')
    for user in crowd.receivers:
        client = crowd.now.get(user)
        if client:
            client.kill('network cut')
    network.join()
    crowd.absent.difference_update(crowd.receivers)


def workers_killed(run):
    """SIGKILL of one while it works; SIGSTOP, until the master's ping has found it out."""
    with Field(run.dice.random(), **run.sizes) as field:
        field.daemon.may_lose_workers = True
        field.expected_errors.append(ERRORS['worker'])
        for round_ in range(2 * run.rounds):
            field.crowd.load(run.load)
            field.crowd.until(field.crowd.progress(0.3), 'part of the load')
            kill_worker(field)
            field.rest()
        field.crowd.load(run.load)
        field.crowd.until(field.crowd.progress(0.3), 'part of the load')
        hang_worker(field)
        field.rest()
        return field


def kill_worker(field, way=signal.SIGKILL):
    field.fault('worker killed')
    field.crowd.fate = 'worker killed'
    pid = field.dice.choice(field.daemon.worker_pids())
    os.kill(pid, way)
    field.crowd.until(lambda: wait_gone([pid], 0) == [], 'the end of a worker')
    field.crowd.until(lambda: len(field.daemon.worker_pids()) == field.daemon.workers, 'another worker')


def hang_worker(field):
    field.fault('worker hangs')
    field.crowd.fate = 'worker killed'
    pid = field.dice.choice(field.daemon.worker_pids())
    os.kill(pid, signal.SIGSTOP)
    field.crowd.until(lambda: wait_gone([pid], 0) == [], 'the end of a worker that hangs')
    field.crowd.until(lambda: len(field.daemon.worker_pids()) == field.daemon.workers, 'another worker')
    # Meant to be there, for once.
    lines = field.daemon.log.lines
    field.crowd.until(lambda: any('unresponsive pid=%d' % pid in line for line in lines), 'the line about it')
    lines[:] = [line for line in lines if 'unresponsive pid=%d' % pid not in line]


def session_manager_killed(run):
    """kill -9 of the embedded one, under load."""
    with Field(run.dice.random(), **run.sizes) as field:
        field.expected_errors.append(ERRORS['sessiond'])
        for round_ in range(3 * run.rounds):
            field.crowd.load(run.load)
            field.crowd.until(field.crowd.progress(field.dice.uniform(0.1, 0.7)), 'part of the load')
            kill_session_manager(field)
            field.rest()
        return field


def kill_session_manager(field):
    field.fault('session manager killed')
    field.crowd.fate = 'session manager killed'
    field.shaken += 1
    pids = field.daemon.children('c2sd-sessiond')
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    field.crowd.until(lambda: wait_gone(pids, 0) == [], 'the end of the session manager')
    field.crowd.until(lambda: field.status()['link']['state'] == 'up', 'the link to another session manager')


def link_cut(run):
    """In the middle of packets, either way; the stream of the link goes on. Nothing comes twice."""
    with Folder() as folder:
        bridge = SoakBridge(folder)
        with Field(run.dice.random(), manager=bridge, link=dict(dialect='xmpp'), **run.sizes) as field:
            for _ in range(run.rounds):
                field.crowd.load(run.load)
                count = len(bridge.links) + 8
                while len(bridge.links) < count:
                    cut_link(field, bridge)
                field.rest()
            assert field.status()['link']['resumptions'] > 0, 'the link was never resumed'
            assert not field.verdict.duplicates, 'duplicates on a resumed link: %r' % field.verdict.duplicates
            return field


def cut_link(field, bridge):
    """Behind some bytes of what passes now, or at once where nothing does."""
    field.fault('link cut')
    links = len(bridge.links)
    link, dice = bridge.links[-1], field.dice
    end = dice.choice((link.daemon_end, link.manager_end))
    goal = link.passed[end] + dice.randrange(1, 20000)
    link.left[end] = goal - link.passed[end]
    if field.crowd.is_through():
        field.crowd.load(100)
    field.crowd.until(lambda: link.over.is_set() or field.crowd.is_through(), 'the cut')
    link.cut()
    field.crowd.until(lambda: len(bridge.links) > links, 'another connection')
    field.crowd.until(lambda: field.status()['link']['state'] == 'up', 'the link')


def kill_bridged(field, bridge):
    """kill -9 of a session manager behind a link; another one, which knows no session, takes its place. What is sent to it
    again comes back with a 510, the first of which ends the client; the others have nowhere to go (doc/link.md, "510")."""
    field.daemon.may_drop = True
    field.fault('session manager killed')
    field.crowd.fate = 'session manager killed'
    field.shaken += 1
    links = len(bridge.links)
    bridge.kill()
    field.crowd.until(lambda: len(bridge.links) > links, 'another connection')
    field.crowd.until(lambda: field.status()['link']['state'] == 'up', 'the link')


class SoakBridge(Bridge):
    """One that a field can start."""

    def __init__(self, folder):
        super().__init__(folder, dialect='xmpp')
        self.database = os.path.join(folder, 'bridge.db')

    def listen(self):
        return self

    def up(self):
        return self


def other_dialect(run, dialect):
    """Clients killed, before a session manager that speaks that dialect and acknowledges nothing."""
    import servers
    sizes = dict(run.sizes, senders=2, receivers=3, big=20000)
    users = {name: 'secret' for name in ('s0', 's1', 'r0', 'r1', 'r2')}
    manager = servers.server(dialect, users=users)
    with Field(run.dice.random(), manager=manager, link=dict(dialect=dialect), **sizes) as field:
        for round_ in range(2 * run.rounds):
            kill_some(field, round_, 150)
            field.rest()
        return field


def disk_full(run):
    """The store of the embedded session manager can take nothing: what it cannot keep is refused, and nothing else."""
    field = Field(run.dice.random(), **run.sizes)
    field.expected_errors.append(ERRORS['store'])
    with run.disk(field.daemon) as disk, field:
        for _ in range(run.rounds):
            fill_disk(field, disk, run.load)
            disk.free()
            field.rest()
        return field


def fill_disk(field, disk, load):
    """Somebody is away, and cannot be written for; the others talk."""
    crowd = field.crowd
    # Known to be there, so that nothing is stored for them: what could not be forgotten would stay until their next login.
    crowd.ask_all()
    crowd.load(load)
    crowd.until(crowd.progress(0.3), 'part of the load')
    disk.fill()
    field.fault('disk full')
    away = field.dice.choice(crowd.receivers)
    crowd.absent.add(away)
    kill(field, away)
    refused = sum(crowd.errors.values())
    crowd.load(load)
    crowd.until(crowd.is_through, 'everything is sent')
    crowd.until(lambda: sum(crowd.errors.values()) > refused, 'somebody is refused')


def clock_jumps(run):
    """The system's clock goes an hour back, a day forward, while everybody talks. Nobody notices."""
    with Folder() as folder:
        path = os.path.join(folder, 'clock')
        write_clock(path, 0)
        field = Field(run.dice.random(), **run.sizes)
        field.daemon.environment.update(LD_PRELOAD=harness.program('tests/system/libclock_shim.so'), C2SD_CLOCK=path)
        field.daemon.environment['ASAN_OPTIONS'] += ':verify_asan_link_order=0'
        with field:
            for _ in range(run.rounds):
                for offset in (-3600, 86400, 0):
                    jump_clock(field, path, offset, run.load)
                field.rest()
            assert not field.verdict.duplicates, 'duplicates of a clock: %r' % field.verdict.duplicates
            return field


def write_clock(path, offset):
    with open(path, 'r+b' if os.path.exists(path) else 'wb') as file:
        file.write(offset.to_bytes(8, 'little', signed=True))
    os.chmod(path, 0o644)


def jump_clock(field, path, offset, load):
    field.fault('clock jump')
    field.crowd.load(load)
    field.crowd.until(field.crowd.progress(0.5), 'part of the load')
    write_clock(path, offset)


SCENARIOS = {
    'calm': calm,
    'clients-killed': clients_killed,
    'slow-readers': slow_readers,
    'half-open': half_open,
    'network-cut': network_cut,
    'workers-killed': workers_killed,
    'session-manager-killed': session_manager_killed,
    'link-cut': link_cut,
    'disk-full': disk_full,
    'clock-jumps': clock_jumps,
    'sfrom': lambda run: other_dialect(run, 'sfrom'),
    'route': lambda run: other_dialect(run, 'route'),
    'xmpp': lambda run: other_dialect(run, 'xmpp'),
}
