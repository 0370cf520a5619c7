"""Everything at once: the faults of scenarios.py in the order of the dice, several before everybody comes to rest again. Each of
them is done once, one behind the other, before memory is looked at for the first time."""
import health
from field import ERRORS, Field, Folder
from scenarios import (SoakBridge, cut_for_long, cut_link, hang_worker, kill, kill_bridged, kill_session_manager, kill_worker,
                       leave_half_open, reload_daemon)


def everything(run):
    """With the embedded session manager."""
    network = run.network() if run.has_namespaces() else None
    with Field(run.dice.random(), network=network, **run.sizes) as field:
        go_on(run, field, [kill_session_manager] + [lambda field: cut_for_long(field, network, run.load)] * bool(network))
        return field


def everything_cut(run):
    """With a session manager that has a link to be cut."""
    with Folder() as folder:
        bridge = SoakBridge(folder)
        with Field(run.dice.random(), manager=bridge, link=dict(dialect='xmpp'), **run.sizes) as field:
            go_on(run, field, [lambda field: cut_link(field, bridge), lambda field: kill_bridged(field, bridge)])
            return field


def kill_receiver(field):
    kill(field, field.dice.choice(field.crowd.receivers))


def reset_receiver(field):
    kill(field, field.dice.choice(field.crowd.receivers), linger=True)


def kill_sender(field):
    kill(field, field.dice.choice(field.crowd.senders))


def go_on(run, field, more):
    often = [kill_receiver, reset_receiver, kill_sender, kill_worker, reload_daemon, *more]
    rare = [hang_worker, leave_half_open]
    field.daemon.may_lose_workers = True
    field.expected_errors += [ERRORS['worker'], ERRORS['sessiond']]
    end = run.part()
    for fault in often:
        disturb(field, [fault], run.load)
    before, rounds = health.Look(field.daemon), 0
    while rounds < 2 or run.left() > end:
        disturb(field, field.dice.choices(often, k=field.dice.randrange(1, 5)) +
                field.dice.sample(rare, field.dice.randrange(8) == 0), run.load)
        rounds += 1
    after = health.Look(field.daemon)
    print('  memory and descriptors: %s; after %d more rounds: %s' % (before, rounds, after))
    grown = after.compare(before)
    if grown and not health.sanitized():
        field.complaints.append('; '.join(grown))


def disturb(field, faults, load):
    """A load, and these while it is on its way; then rest."""
    crowd, dice = field.crowd, field.dice
    for user in dice.sample(crowd.receivers, dice.randrange(3)):
        field.fault('slow reader')
        crowd.read(user, chunk=dice.choice((256, 2048, 16384)), pause=dice.choice((0.005, 0.02)))
    crowd.load(load)
    for fault in faults:
        crowd.until(crowd.progress(dice.uniform(0.1, 0.5)), 'part of the load')
        fault(field)
    field.rest()
