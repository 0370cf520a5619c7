"""The law of the fault tests, and nothing else: what was sent, what arrived, and whether that can be. No sockets, no clock.

A message is *proven* when an iq that its sender sent behind it was answered; what was written behind the last proven one
when a sender went is *maybe*. Each proven message has, when everything has come to rest,

    arrived: read by its receiver (from whichever of its sessions, from offline storage as well), or acknowledged by the
             kernel of a receiver that was killed before it had read it; or
    been refused: come back to its sender as an error.

Else it is lost. What arrives more than once is counted as duplicates, with what became of the session that had it before.

**Order**, of each pair: of first arrivals, later ones come again. What goes the same ways stays in order: sender, session
manager, link, worker and client are queues. A message has another way when it was under way to a session that ended: it comes
back in a 510, behind what was said meanwhile, and goes to a later session or into the store. So with no session ended the order
is strict; each session of the receiver's that ended makes two ways of each, and there can be no more numbers in falling order,
one behind the other, than there are ways. What was stored (it has a stamp) is looked at for itself, since pages of it are
handed over while newer ones come: it may have gone through the store, or not, in each of the sessions.
"""
import bisect
from collections import Counter

READ, KERNEL = 'read', 'kernel'


def longest_fall(numbers):
    """How many of these are each smaller than the one before, at most?"""
    ends = []   # of the best falls of each length, negated: rising
    for number in numbers:
        place = bisect.bisect_left(ends, -number)
        ends[place:place + 1] = [-number]
    return len(ends)


class Verdict:
    def __init__(self):
        self.counts = Counter()     # sent, maybe, read, kernel, stored, refused, late, arrivals
        self.duplicates = Counter()     # by what became of the session that had it before
        self.lost = []      # (sender, receiver, number)
        self.strange = []   # never written, or not to that receiver, or changed on the way
        self.disorder = []      # (sender, receiver, how many fell, how many might)

    @property
    def good(self):
        return not (self.lost or self.strange or self.disorder)

    def add(self, other):
        self.counts += other.counts
        self.duplicates += other.duplicates
        self.lost += other.lost
        self.strange += other.strange
        self.disorder += other.disorder

    def complaints(self):
        said = []
        for name, found in (('lost', self.lost), ('strange', self.strange), ('out of order', self.disorder)):
            if found:
                said.append('%s: %d: %s' % (name, len(found), ', '.join('/'.join(map(str, item)) for item in found[:12])))
        return said


class Books:
    """From one rest to the next."""

    def __init__(self):
        self.arrivals = {}      # (sender, number) -> [(receiver, session, how, stamped)]
        self.order = {}         # (sender, receiver) -> [(session, number, stamped)]
        self.refused = set()    # (sender, number)
        self.ended = Counter()  # receiver -> sessions of it that ended
        self.fates = {}         # session -> why it ended
        self.strange = []
        self.newest = 0         # session

    def arrive(self, receiver, session, sender, number, how=READ, stamped=False):
        before = self.arrivals.setdefault((sender, number), [])
        before.append((receiver, session, how, stamped))
        self.order.setdefault((sender, receiver), []).append((session, number, stamped))

    def refuse(self, sender, number):
        self.refused.add((sender, number))

    def change(self, receiver, text):
        """Something that no sender has written."""
        self.strange.append((receiver, text))

    def end(self, receiver, session, fate):
        self.ended[receiver] += 1
        self.fates[session] = fate

    def missing(self, ranges, target):
        """Proven and neither here nor there."""
        return [(sender, target(sender, number), number) for sender, first, proven, _ in ranges
                for number in range(first, proven + 1)
                if (sender, number) not in self.arrivals and (sender, number) not in self.refused]

    def close(self, ranges, target, shaken=0):
        """ranges: (sender, first, proven, written) of each of a sender's lives. target(sender, number): its receiver.
        shaken: how often everybody's session ended at once, beside what end() was told."""
        verdict = Verdict()
        verdict.strange = list(self.strange)
        known = {}
        for sender, first, proven, written in ranges:
            known.setdefault(sender, []).append((first, written))
            verdict.counts['sent'] += proven - first + 1
            verdict.counts['maybe'] += written - proven
        verdict.lost = self.missing(ranges, target)
        verdict.counts['refused'] = len(self.refused)
        for (sender, number), places in self.arrivals.items():
            self._look_at(verdict, sender, number, places, known, target)
        for (sender, receiver), sequence in self.order.items():
            self._look_at_order(verdict, sender, receiver, sequence, self.ended[receiver] + shaken)
        return verdict

    def _look_at(self, verdict, sender, number, places, known, target):
        if not any(first <= number <= written for first, written in known.get(sender, ())):
            verdict.strange.append((sender, number, 'was never sent, or came long ago'))
        for receiver, session, how, stamped in places:
            if receiver != target(sender, number):
                verdict.strange.append((sender, number, 'came to ' + receiver))
            verdict.counts['arrivals'] += 1
        verdict.counts['kernel' if all(place[2] == KERNEL for place in places) else 'read'] += 1
        verdict.counts['stored'] += all(place[3] for place in places)
        sessions = sorted(place[1] for place in places)
        for before, _ in zip(sessions, sessions[1:]):
            verdict.duplicates[self.fates.get(before, 'session goes on')] += 1
        if (sender, number) in self.refused:
            verdict.duplicates['refused as well'] += 1

    def _look_at_order(self, verdict, sender, receiver, sequence, ended):
        seen, ways = set(), {False: [], True: []}
        for _, number, stamped in sorted(sequence, key=lambda item: item[0]):  # stable: sessions one behind the other
            if number not in seen:
                seen.add(number)
                ways[stamped].append(number)
        for stamped, numbers in ways.items():
            most = (4 if stamped else 2) ** min(ended, 10)
            fall = longest_fall(numbers)
            verdict.counts['late'] += sum(number < highest for number, highest in
                                          zip(numbers[1:], running_highest(numbers)))
            if fall > most:
                verdict.disorder.append((sender, receiver, 'stamped' if stamped else 'plain', fall, most))


def running_highest(numbers):
    highest = 0
    for number in numbers:
        highest = max(highest, number)
        yield highest
