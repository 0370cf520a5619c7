"""Everything at once: the faults of scenarios.py in the order of the dice, several before everybody comes to rest again."""
import health
from field import ERRORS, Field
from scenarios import cut_for_long, hang_worker, kill, kill_session_manager, kill_worker, reload_daemon

WARM = 3    # rests before memory is looked at for the first time


def everything(run):
    network = run.network() if run.has_namespaces() else None
    with Field(run.dice.random(), network=network, **run.sizes) as field:
        field.daemon.may_lose_workers = True
        field.expected_errors += [ERRORS['worker'], ERRORS['sessiond']]
        before, rounds = None, 0
        while rounds < 2 * WARM or run.left() > 0:
            disturb(field, network, run.load)
            field.rest()
            rounds += 1
            if rounds == WARM:
                before = health.Look(field.daemon)
        after = health.Look(field.daemon)
        print('  memory and descriptors, after %d rounds: %s; after %d: %s' % (WARM, before, rounds, after))
        grown = after.compare(before)
        assert health.sanitized() or not grown, '; '.join(grown)
        return field


def disturb(field, network, load):
    """A load, and some faults while it is on its way."""
    crowd, dice = field.crowd, field.dice
    for user in dice.sample(crowd.receivers, dice.randrange(3)):
        field.fault('slow reader')
        crowd.read(user, chunk=dice.choice((256, 2048, 16384)), pause=dice.choice((0.005, 0.02)))
    crowd.load(load)
    faults = [lambda: kill(field, dice.choice(crowd.receivers)), lambda: kill(field, dice.choice(crowd.receivers)),
              lambda: kill(field, dice.choice(crowd.receivers), linger=True), lambda: kill(field, dice.choice(crowd.senders)),
              lambda: kill_worker(field), lambda: kill_session_manager(field), lambda: reload_daemon(field)]
    for _ in range(dice.randrange(1, 5)):
        crowd.until(crowd.progress(dice.uniform(0.1, 0.5)), 'part of the load')
        dice.choice(faults)()
    rare = dice.randrange(12)
    if rare == 0:
        hang_worker(field)
    elif rare <= 2 and network:
        cut_for_long(field, network, load)
