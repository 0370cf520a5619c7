#!/usr/bin/env python3
"""The end of a client, for whatever reason, in each dialect: first the session manager hears that the session is over, then
what the client did not get comes back, in order, each to where it came from; everything that comes is compared whole, as
XML, and nothing else may come (doc/design.md, "No packet vanishes").

How much a client got is known exactly: its receive buffer is small, it does not read, and what its kernel has acknowledged
lies in there, to be looked at (MSG_PEEK)."""
import array
import fcntl
import json
import os
import re
import select
import signal
import socket
import ssl
import termios
import threading
import time
import unittest

import harness
from harness import DaemonCase, Deadline, RawClient, wait_gone
from scripted import FRAMING, HOME
from test_reload import Configuration
from xmlstream import STREAM_ERRORS, XmlStream, parse

BACK, CONSUMED, DROPPED = 'back', 'consumed', 'dropped'
FILLERS = 400
SIZE = 1000
FILLER = "<message id='%s' type='chat' to='{address}' from='bob@localhost/work'><body>" + 'x' * SIZE + "</body></message>"

# Stanzas that may come in a session: what may be different about them when they come back.
STANZAS = [
    "<message id='m1' type='chat' to='{address}' from='bob@localhost/work'><body>all of it</body></message>",
    "<message id='m2' to='{address}' from='bob@localhost/work'><body>no type</body></message>",
    "<message id='m3' type='normal' from='bob@localhost/work'><body>no to</body></message>",
    "<message id='m4' type='headline' to='{address}'><body>no from</body></message>",
    "<message id='m5'><body>neither</body></message>",
    "<message id='m6'/>",
    "<message id='m7' type='groupchat' from='room@localhost/&lt;&amp;&quot;&apos;' xml:lang='de'><body>a&amp;b &lt; c</body>tail</message>",
    '<message id="m8" type="it\'s" from="o\'brien@localhost"><body>quotes</body></message>',
    "<message id='m9' type='a&amp;b&lt;&apos;c'><body xmlns='urn:x'>entities</body></message>",
    "<message id='m10' type='error' to='{address}' from='bob@localhost/work'><body>b</body><error code='404'>Not Found</error></message>",
    "<message id='m11' type=''><body>empty type</body></message>",
    "<message id='m12' xmlns:a='urn:a' a:type='x' a:to='y' a:sto='z' type='chat'><a:error code='511'/><x a:from='w'/></message>",
    "<presence id='p1' to='{address}' from='bob@localhost/work'/>",
    "<presence id='p2' type='unavailable' to='{account}' from='bob@localhost/work'><status>gone</status></presence>",
    "<presence id='p3' type='subscribe' from='bob@localhost'/>",
    "<presence id='p4'/>",
    "<iq id='i1' type='get' from='localhost'><query xmlns='jabber:iq:version'/></iq>",
    "<iq id='i2' type='set' to='{address}' from='{account}'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>",
    "<iq id='i3' type='result' to='{address}' from='bob@localhost/work'><query xmlns='jabber:iq:time'/></iq>",
    "<iq id='i4' type='error' to='{address}' from='bob@localhost/work'><error code='503' type='cancel'>Nobody</error></iq>",
    "<iq id='i5' type='result'/>",
]
# Behind these everything has been said: what is told that it came back after all of them is the last.
LAST = "<message id='last' type='chat' to='{address}' from='bob@localhost/work'><body>the last</body></message>"


def plain(element):
    """For comparing, whole: what stands for the stream's own namespace is none."""
    return (element.name, '' if element.namespace in HOME else element.namespace, sorted(element.attributes.items()),
            element.text, [plain(child) for child in element.children])


def wait_until(condition, what, seconds=None):
    """For what only c2sctl can tell: each look is an answer of the daemon's."""
    deadline = Deadline(seconds)
    while not condition():
        if deadline.left() == 0:
            raise AssertionError('not in time: ' + what)
        time.sleep(0.01)


class Packet:
    """One that the session manager sends: `text` as it goes, what becomes of it when it reaches nobody; `idle`: it does not
    reach a client that is there, either."""

    def __init__(self, text, fate=BACK, idle=False):
        self.text = text
        self.fate = fate
        self.idle = idle

    def __repr__(self):
        return self.text[:120]


class Sfrom:
    """How sessions end, and packets come back, in the dialects with sto and sfrom."""

    dialect = 'sfrom'

    def stamp(self, stanza, names, sfrom='{account}'):
        return re.sub(r'^<([\w:]+)', r"<\1 sto='{me}'" + (" sfrom='%s'" % sfrom if sfrom else ''), stanza).format(**names)

    # stanza, its sfrom, its fate
    OTHERS = [
        ("<message id='o1' type='chat'><body>whose</body></message>", None, DROPPED),
        ("<message id='o2' type='chat'><body>whose</body></message>", '', DROPPED),
        ("<message id='o3' type='chat'><body>of another</body></message>", 'carol@localhost/x&amp;y', BACK),
        ("<message id='o4' type='chat'><body>of a host</body></message>", 'localhost', BACK),
        ("<message id='o5' type='error' to='{address}' from='bob@localhost/work'><body>came back</body>"
         "<error code='510' type='chat'>Disconnected</error></message>", '{account}', DROPPED),
        ("<iq id='o6' type='error' from='bob@localhost/work'><error code='510'>Disconnected</error></iq>", '{account}', DROPPED),
        ("<message id='o7' from='bob@localhost/work'><error code='510'/></message>", '{account}', DROPPED),
        ("<message type='error'><error code='510'>Disconnected</error></message>", 'carol@localhost/home', CONSUMED),
    ]
    OWN = [("<foo id='w1' type='x' xmlns='urn:foo'><error/></foo>", '{account}', BACK)]

    def packets(self, names):
        made = [Packet(self.stamp(stanza, names), BACK) for stanza in STANZAS]
        return made + [Packet(self.stamp(stanza, names, sfrom), fate) for stanza, sfrom, fate in self.OTHERS + self.OWN]

    def packet(self, stanza, names):
        return Packet(self.stamp(stanza, names))

    def back(self, packet):
        element = parse(packet.text)
        attributes = element.attributes
        attributes['sto'], attributes['sfrom'] = attributes['sfrom'], attributes['sto']
        error = parse("<error code='510'>Disconnected</error>")
        error.namespace = element.namespace
        if 'type' in attributes:
            error.attributes['type'] = attributes['type']
        attributes['type'] = 'error'
        element.children.append(error)
        return plain(element)

    def down(self, packet):
        """What the client gets."""
        element = parse(packet.text)
        element.attributes.pop('sto')
        element.attributes.pop('sfrom', None)
        return plain(element)

    def bare(self, names, goodbye=False):
        return plain(parse("<message type='error' sto='{address}' sfrom='{me}'><error code='510'>Disconnected</error></message>"
                           .format(**names)))

    def owner(self, element):
        return element.get('sfrom')


class Xmpp(Sfrom):
    dialect = 'xmpp'
    OWN = [
        ("<foo id='w1' type='x' xmlns='urn:foo'><error/></foo>", '{account}', CONSUMED),
        ("<a xmlns='urn:xmpp:sm:3' h='7'/>", '{account}', CONSUMED),
        ("<r xmlns='urn:xmpp:sm:3'/>", '{account}', CONSUMED),
    ]

    def bare(self, names, goodbye=False):
        if not goodbye:
            return super().bare(names)
        return plain(parse(("<close xmlns='%s' sto='{address}' sfrom='{me}'/>" % FRAMING).format(**names)))


class Route:
    dialect = 'route'

    # route, its fate; True: it reaches nobody anyway
    OTHERS = [
        ("<route to='{me}' from='{account}/other'><message id='o1' type='chat'><body>another session</body></message></route>", BACK),
        ("<route to='{me}' from='{account}'><message id='o2' type='chat'><body>no session</body></message></route>", DROPPED),
        ("<route to='{me}'><message id='o3' type='chat'><body>whose</body></message></route>", DROPPED, True),
        ("<route to='{me}' from='{address}'/>", CONSUMED, True),
        ("<route to='{me}' from='{address}' a='b' xml:lang='de'><message id='o4'/></route>", BACK),
    ]

    def packets(self, names):
        return [self.packet(stanza, names) for stanza in STANZAS] + \
            [Packet(text.format(**names), *rest) for text, *rest in self.OTHERS]

    def packet(self, stanza, names):
        return Packet("<route to='{me}' from='{address}'>".format(**names) + stanza.format(**names) + '</route>')

    def back(self, packet):
        element = parse(packet.text)
        attributes = element.attributes
        attributes['to'], attributes['from'] = attributes['from'], attributes['to']
        attributes['type'] = 'error'
        attributes.pop('error', None)
        return plain(element)

    def down(self, packet):
        return plain(parse(packet.text).children[0])

    def bare(self, names, goodbye=False):
        return plain(parse("<route type='error' to='{address}' from='{me}'/>".format(**names)))

    def owner(self, element):
        return element.get('from')


FORMS = {form.dialect: form() for form in (Sfrom, Route, Xmpp)}


class Patient:
    """A client whose session is going to end: what it was sent, and how much of that it has got."""

    def __init__(self, case, user, client=None, resource='home', secure=False):
        self.case = case
        self.user = user
        self.client = client or RawClient(case.daemon.listeners[0], receive_buffer=4096)
        self.secure = secure
        identity, address = case.sm.admit(self.client, user, resource, open=client is None)
        self.names = dict(me=identity, address=address, account='%s@localhost' % user, jid='%s@localhost/%s' % (user, resource))
        self.identity = identity
        self.begun = len(self.client.received)
        self.sent = []
        self.came = []
        self.bare = self.goodbye = None

    def send(self, packets):
        self.sent += packets
        self.last = re.search(r" id='\w+'", packets[-1].text).group().encode()
        self.case.sm.send(''.join(packet.text for packet in packets))

    def give(self, count=5):
        """Some that it takes, and then so many that it cannot take them all."""
        form = self.case.form
        first = [form.packet(FILLER % ('t%d' % number), self.names) for number in range(count)]
        self.send(first)
        for number in range(count):
            self.client.expect(lambda e: e.get('id') == 't%d' % number)
        self.send([form.packet(FILLER % ('f%d' % number), self.names) for number in range(FILLERS)])
        self.send(form.packets(self.names) + [form.packet(LAST, self.names)])
        return self

    # -- what it has

    def peek(self):
        """What its kernel has, and has acknowledged, and nobody has read."""
        if self.client.socket.fileno() < 0:
            return b''
        if self.secure:
            return self.client.socket.peek() if isinstance(self.client.socket, ClosableTls) else b''
        waiting = array.array('i', [0])
        fcntl.ioctl(self.client.socket.fileno(), termios.FIONREAD, waiting)
        if waiting[0] == 0:
            return b''
        return self.client.socket.recv(waiting[0], socket.MSG_PEEK)

    def taken(self):
        """How many of the packets have arrived in its kernel, whole."""
        stream = XmlStream()
        stream.feed(b'<x>')
        return len(stream.feed(bytes(self.client.received[self.begun:]) + self.peek()))

    def report(self):
        """What c2sctl says of it; None: it is gone."""
        for line in self.case.daemon.ctl('sessions', '--json', '--account', self.names['account']).stdout.splitlines():
            session = json.loads(line)
            if self.identity.startswith(session.get('id', '-') + '@'):
                return session
        return None

    def held(self):
        """Bytes that the master keeps for it."""
        return self.report()['held']

    def has_arrived(self):
        """Its worker has got all that it was sent."""
        return self.report()['packets_out'] == sum(not packet.idle for packet in self.sent)

    def is_settled(self):
        """The master keeps what it has not acknowledged, and nothing else."""
        if self.secure:
            return self.held() < sum(len(packet.text.encode()) for packet in self.sent)
        return self.held() == sum(len(packet.text.encode()) for packet in self.sent[self.taken():] if not packet.idle)

    # -- what came of it

    def check(self, taken):
        """At least so many have been settled, and no more than have arrived; None: what its kernel has cannot be seen."""
        form, came = self.case.form, [plain(element) for element in self.came]
        if self.bare:
            self.case.assertEqual(form.bare(self.names, self.goodbye), came[0] if came else None, self)
            came = came[1:]
        settled = self.first_back(came)
        if taken is not None:
            self.case.assertGreaterEqual(settled, taken, '%s: too much comes back' % self)
            self.case.assertLessEqual(settled, max(taken, self.taken()), '%s: too little comes back' % self)
        wanted = [packet for packet in self.sent[settled:] if packet.fate is BACK]
        for number, packet in enumerate(wanted):
            self.case.assertEqual(form.back(packet), came[number] if number < len(came) else None,
                                  '%s: number %d of what comes back' % (self, number))
        self.case.assertEqual([], came[len(wanted):], '%s: more than what was sent' % self)

    def first_back(self, came):
        backs = {json.dumps(self.case.form.back(packet)): number for number, packet in enumerate(self.sent)
                 if packet.fate is BACK}
        return backs.get(json.dumps(came[0]), 0) if came else len(self.sent)

    def __repr__(self):
        return self.user


class EndsCase(DaemonCase):
    dialect = 'sfrom'

    # What is seen to be acknowledged is settled at once.
    LIMITS = {'unsent_bytes': '4194304', 'settle_seconds': '0'}

    def begin(self, limits=None, **arguments):
        self.form = FORMS[self.dialect]
        self.sm = self.manager(self.dialect)
        limits = dict(self.LIMITS, **(limits or {}))
        self.daemon = self.start_with(self.sm, limits=limits, **arguments)
        self.daemon.may_drop = True     # some of what is sent can neither be delivered nor go back: DROPPED
        self.patients = []
        self.witness = self.daemon.client()
        if arguments.get('tls', 'none') != 'none':
            self.witness.open().starttls()
        self.witness_identity = self.sm.admit(self.witness, 'witness', open=arguments.get('tls', 'none') == 'none')[0]

    def patient(self, user, **arguments):
        patient = Patient(self, user, **arguments)
        self.patients.append(patient)
        return patient

    def ill(self, user, **arguments):
        return self.patient(user, **arguments).give()

    def settle(self, patients=None):
        """Until what they have is known to be theirs."""
        for patient in patients or self.patients:
            wait_until(patient.is_settled, '%s: taken %d of %d, held %r' % (
                patient, patient.taken(), len(patient.sent), patient.held()))

    def kick(self, patient):
        self.daemon.ctl('kick', patient.identity.partition('@')[0])

    def round_trip(self):
        """What is on its way to the session manager has come."""
        self.witness.send("<iq type='get' id='trip' to='x'/>")
        self.sm.expect(lambda e: e.get('id') == 'trip' or (e.name == 'route' and e.children and
                                                          e.children[0].get('id') == 'trip'))

    def collect(self, patients=None, seconds=None):
        """Everything that comes about them, until the last of their packets has come back."""
        patients = {patient.identity: patient for patient in patients or self.patients}
        missing = set(patients)
        deadline = Deadline(seconds)
        while missing or self.sm.link.pending:
            for element in self.sm.link.pending:
                owner = patients.get(self.form.owner(element))
                if owner is None:
                    raise AssertionError('nobody of ours: %r' % element)
                owner.came.append(element)
                if owner.last in element.raw:
                    missing.discard(owner.identity)
            self.sm.link.pending.clear()
            if missing and not self.sm.link._read(deadline):
                raise AssertionError('did not come back: %r' % [(patients[m], patients[m].came[-2:]) for m in missing])

    def check(self, patients=None, exact=True):
        """After the end: all of them have what they should have, and the session manager has nothing else."""
        self.collect(patients)
        self.round_trip()
        self.assertEqual([], self.sm.link.pending)
        for patient in patients or self.patients:
            with self.subTest(patient.user):
                patient.check(patient.had if exact else None)
        self.check_gone(patients or self.patients)
        status = self.daemon.status()
        self.assertTrue(status['packets']['balanced'], status)
        if patients is None:
            self.assertEqual(0, status['packets']['held'], status)

    def stop(self):
        """Nobody is left who has to be waited for."""
        self.witness.leave()
        self.sm.close()
        self.daemon.stop()

    def check_gone(self, patients):
        """What is sent to them now comes back likewise, and nobody is told of an end a second time."""
        for patient in patients:
            patient.came, patient.bare, patient.sent = [], False, []
            patient.send(self.form.packets(patient.names) + [self.form.packet(LAST, patient.names)])
        self.collect(patients)
        for patient in patients:
            with self.subTest(patient.user, gone=True):
                patient.check(0)

    def end(self, name, action, bare=True, goodbye=False, patient=None):
        """It ends in this way. (It goes on not to read.)"""
        patient = patient or next(p for p in self.patients if p.user == name)
        patient.bare, patient.goodbye = bare, goodbye
        patient.had = None if patient.secure else patient.taken()
        action(patient)


# ---- ends that a client makes, or that it is given while it reads nothing ----

def say(text):
    return lambda patient: patient.client.send(text)


def half_close(patient):
    """Of its TCP, whatever is above that."""
    sock = patient.client.socket
    socket.socket.shutdown(sock.socket if isinstance(sock, ClosableTls) else sock, socket.SHUT_WR)


def say_and_half_close(patient):
    patient.client.send('</stream:stream>')
    half_close(patient)


def reset(patient):
    patient.client.reset()


def close_unread(patient):
    """Bytes that nobody reads any more are in its kernel: that answers with a reset."""
    patient.client.close()


class Table(EndsCase):
    """Each in a session with packets on their way; all beside each other, because some take c2sd five seconds."""

    LIMITS = dict(EndsCase.LIMITS, stanza_bytes=20000, elements=20, depth=10, attributes=9)
    BROKEN = {
        'notwellformed': '<message><body></message>',
        'comment': '<!-- x -->',
        'badprefix': '<message><x:y/></message>',
        'text': 'text',
        'stanzabytes': '<message><body>' + 'x' * 20001 + '</body></message>',
        'elements': '<message>' + '<x/>' * 20 + '</message>',
        'depth': '<message>' + '<x>' * 10 + '</x>' * 10 + '</message>',
        'attributes': '<message ' + ' '.join("a%d=''" % n for n in range(10)) + '/>',
    }

    def check_cut(self):
        """Of what has come back nothing arrives after all, however late they read."""
        for patient in self.patients:
            if patient.client.ended:
                continue
            before = patient.peek()
            patient.client.received.clear()
            patient.client.expect_close()
            self.assertTrue(patient.client.truncated, patient)
            self.assertEqual(before, bytes(patient.client.received), patient)

    def test_of_itself(self):
        self.begin()
        ends = {
            'closed': (say('</stream:stream>'), True), 'halfclosed': (half_close, False),
            'closedboth': (say_and_half_close, True), 'streamerror': (say('<stream:error/>'), True), 'reset': (reset, False), 'unread': (close_unread, False),
        }
        ends.update((name, (say(text), False)) for name, text in self.BROKEN.items())
        for name in ends:
            self.ill(name)
        self.settle()
        for name, (action, goodbye) in ends.items():
            self.end(name, action, goodbye=goodbye)
        self.check()
        self.check_cut()
        self.stop()

    def test_of_others(self):
        """Of the operator, and of the session manager: only of the former it must be told."""
        self.begin()
        ends = {'kicked': (self.kick, True), 'ended': (self.ended, False), 'endedreset': (self.ended_and_reset, False),
                'replaced': (self.replaced, False), 'superseded': (self.superseded, self.dialect == 'route')}
        ends.update(self.more_ends())
        for name in ends:
            self.ill(name)
        self.settle()
        for name, (action, bare) in ends.items():
            self.end(name, action, bare=bare)
        self.check()
        self.check_cut()
        for name in self.heirs:
            self.assert_lives(*self.heirs[name])
        self.stop()

    def more_ends(self):
        return {}

    def setUp(self):
        self.heirs = {}

    def ended(self, patient):
        self.sm.end(patient.identity, patient.names['address'])

    def ended_and_reset(self, patient):
        """The worker may hear of either first; the master has heard of the end."""
        self.ended(patient)
        self.round_trip()
        patient.client.reset()

    def inherit(self, patient):
        """A later login is given the same address."""
        heir = self.daemon.client()
        identity, address = self.sm.admit(heir, patient.user)
        self.heirs[patient.user] = (heir, identity, address)

    def replaced(self, patient):
        self.inherit(patient)
        self.ended(patient)

    def superseded(self, patient):
        """Its session manager has not said that it is replaced."""
        self.inherit(patient)
        patient.client.reset()

    def assert_lives(self, client, identity, address):
        self.sm.deliver(identity, address, "<message id='lives'/>")
        client.expect(lambda e: e.get('id') == 'lives')


class RouteTable(Table):
    dialect = 'route'

    def more_ends(self):
        # What is not the end of a session to whoever says it is ended by us.
        return {'timeout': (lambda patient: self.sm.end(patient.identity, patient.names['address'], 'Internal Timeout'), True),
                'removed': (lambda patient: self.sm.end(patient.identity, patient.names['address'], 'Removed'), False)}


class XmppTable(Table):
    dialect = 'xmpp'

    ERROR = "<stream:error sto='{me}' sfrom='%s'><conflict xmlns='{errors}'/></stream:error>"
    CLOSE = "<close xmlns='{framing}' sto='{me}' sfrom='%s'/>"

    def more_ends(self):
        def tell(text):
            return lambda patient: self.sm.send(text.format(framing=FRAMING, errors=STREAM_ERRORS, **patient.names))

        address = '{address}'
        return {'error': (tell(self.ERROR % address + self.CLOSE % address), False), 'erroralone': (tell(self.ERROR % address), False),
                'close': (tell(self.CLOSE % address), False), 'hostcloses': (tell(self.ERROR % 'localhost' + self.CLOSE % 'localhost'), False)}


class Causes(EndsCase):
    """Ends that need settings of their own, or that end more than one."""

    def all_end(self, action=lambda patient: None, **arguments):
        self.settle()
        for patient in self.patients:
            self.end(patient.user, action, **arguments)

    def finish(self):
        self.check()
        self.stop()

    def reasons(self):
        return self.daemon.status()['ended']['reasons']

    def test_silent_for_too_long(self):
        """The witness speaks."""
        self.begin(limits={'idle_seconds': '2'})
        self.ill('idle')
        self.all_end()
        wait_until(lambda: self.round_trip() or self.reasons().get('idle-timeout'), 'somebody idle')
        deadline = Deadline(10)     # for c2sd's five
        while deadline.left() and not self.patients[0].came:
            self.witness.send(' ')
            self.sm.link._read(Deadline(0.2))
            self.patients[0].came += [e for e in self.sm.link.pending if self.patients[0].last in e.raw]
        self.patients[0].came = []
        self.finish()

    def test_not_bound_in_time(self):
        """A session that its client has not heard of."""
        self.begin(limits={'login_seconds': '2'}, extra='  <sasl plain="always"/>\n')
        client = self.daemon.client().open()
        client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGxhdGUAc2VjcmV0</auth>")
        asked = self.sm.expect('iq')
        patient = Patient.__new__(Patient)
        patient.__dict__.update(case=self, user='late', client=client, identity=asked.get('sfrom'), sent=[], came=[], goodbye=None,
                                bare=True, had=0, begun=len(client.received), secure=False)
        address = 'late@localhost/' + asked.child('query').child_text('resource')
        patient.names = dict(me=patient.identity, address=address, account='late@localhost', jid=address)
        self.sm.send("<iq type='result' id='%s' sto='%s' sfrom='%s'/>" % (asked.get('id'), patient.identity, address))
        client.expect('success')
        patient.send(self.form.packets(patient.names) + [self.form.packet(LAST, patient.names)])
        self.patients.append(patient)
        client.expect_stream_error('connection-timeout')
        self.finish()

    def test_too_much_at_once(self):
        self.begin(limits={'unsent_bytes': '65536', 'unsent_soft_bytes': '65536'})
        self.ill('hasty').had = None
        self.patients[0].bare = True
        self.check(exact=False)
        self.assertEqual({'too-slow': 1}, self.reasons())
        self.stop()

    def test_takes_nothing(self):
        """Time passes, and it has been sent more than a little."""
        self.begin(limits={'stall_seconds': '1', 'unsent_soft_bytes': '4096'})
        self.ill('slow').bare = True
        self.ill('other').bare = True
        self.check(exact=False)
        self.assertEqual({'too-slow': 2}, self.reasons())
        self.stop()

    def test_in_the_way_of_others(self):
        self.begin(limits={'held_bytes': '1048576', 'unsent_bytes': '262144', 'unsent_soft_bytes': '262144'})
        big = FILLER.replace('x' * SIZE, 'x' * 20000)
        for number in range(8):
            patient = self.patient('full%d' % number)
            patient.bare = True
            patient.send([self.form.packet(big % ('f%d' % n), patient.names) for n in range(12)] +
                         self.form.packets(patient.names) + [self.form.packet(LAST, patient.names)])
        reasons = {}
        wait_until(lambda: reasons.update(self.reasons()) or 'too-slow' in reasons, 'room is made')
        gone = reasons['too-slow']
        self.assertLess(gone, 8)
        for patient in self.patients:
            patient.client.reset()
        self.check(exact=False)
        self.stop()

    def test_throttled(self):
        """It is not read; what ends it is seen all the same."""
        self.begin(limits={'rate_bytes': '1024', 'burst_bytes': '65536', 'stanza_bytes': '65536'})
        for name in ('kicked', 'reset', 'unread', 'ended'):
            self.ill(name).client.send(' ' * 140000)
        wait_until(lambda: self.daemon.status()['throttled'] == 4, 'all are throttled')
        self.settle()
        self.end('kicked', self.kick)
        self.end('reset', reset)
        self.end('unread', close_unread)
        self.end('ended', lambda patient: self.sm.end(patient.identity, patient.names['address']), bare=False)
        self.finish()

    def test_link_stopped(self):
        """Nor is it while the session manager reads nothing."""
        self.begin()
        for name in ('kicked', 'reset', 'unread'):
            self.ill(name)
        self.settle()
        patient, stanza = self.patient('loud'), ("<message to='x@y'><body>%s</body></message>" % ('x' * 8000)).encode()
        patient.client.socket.setblocking(False)
        sent = 0
        deadline = Deadline()
        while deadline.left():
            try:
                sent += patient.client.socket.send(stanza[sent % len(stanza):])
            except BlockingIOError:
                if self.daemon.status()['link']['queued_bytes'] > 4194304:
                    break
        self.end('kicked', self.kick)
        self.end('reset', reset)
        self.end('unread', close_unread)
        wait_until(lambda: self.daemon.status()['clients'] == 2, 'they are gone')
        self.patients.remove(patient)
        identity = patient.identity
        patient.client.reset()
        self.sm.expect(lambda e: e.has_510() and e.get('sfrom') == identity)
        self.sm.link.pending[:] = [e for e in self.sm.link.pending if e.get('sfrom') != identity]
        self.finish()

    def test_no_tls(self):
        """What is behind the handshake is none."""
        self.begin(tls='starttls')
        for name in ('garbage', 'truncated', 'notified', 'reset'):
            client = RawClient(self.daemon.listeners[0], receive_buffer=4096)
            self.ill(name, client=client.open().starttls(), secure=True)
        self.settle()
        self.end('garbage', lambda patient: os.write(patient.client.socket.fileno(), b'x' * 100))
        self.end('truncated', half_close)
        self.end('reset', reset)
        self.end('notified', lambda patient: os.write(patient.client.socket.fileno(), b''))
        self.end('notified', reset)
        self.check(exact=False)
        self.stop()

    def test_retired(self):
        """Its worker is drained, and has been told not to wait for ever."""
        self.begin()
        self.daemon.may_lose_workers = True
        configuration = Configuration(self.daemon)
        configuration.workers['retire'] = '1'
        configuration.write()
        self.daemon.ctl('reload')
        number = 1 - int(self.witness_identity.split('.')[1])
        while not self.patients or self.patients[-1].identity.split('.')[1] != str(number):
            self.ill('retired%d' % len(self.patients))
        self.settle()
        stays = [p for p in self.patients if p.identity.split('.')[1] != str(number)]
        goes = [p for p in self.patients if p not in stays]
        for patient in goes:
            self.end(patient.user, lambda patient: None)
        self.daemon.ctl('drain', str(number))
        self.check(goes)
        for patient in stays:
            self.end(patient.user, self.kick)
        self.patients = stays
        if stays:
            self.check()
        self.stop()

    def test_no_memory(self):
        """Its worker cannot have any more."""
        if harness.is_sanitized(harness.program('worker/c2sd-worker')):
            self.skipTest('a sanitizer takes what it wants')
        self.begin(limits={'unsent_bytes': '268435456', 'unsent_soft_bytes': '268435456', 'held_bytes': '1073741824'})
        self.daemon.may_lose_workers = True
        number = 1 - int(self.witness_identity.split('.')[1])
        configuration = Configuration(self.daemon)
        configuration.workers['memory'] = '64'
        configuration.write()
        self.daemon.ctl('reload')
        self.daemon.ctl('drain', str(number))
        self.daemon.log.wait(r'worker %d started' % number, count=2)
        self.daemon.ctl('wait')
        patient = self.patient('poor')
        self.assertEqual(str(number), patient.identity.split('.')[1])
        big = FILLER.replace('x' * SIZE, 'x' * 50000)
        patient.bare = True
        patient.send([self.form.packet(big % ('f%d' % n), patient.names) for n in range(1500)] +
                     [self.form.packet(LAST, patient.names)])
        self.check(exact=False)
        self.assertEqual(1, sum(self.reasons().get(reason, 0) for reason in ('broken', 'worker-died')), self.reasons())
        self.stop()

    def test_dead(self):
        """Its machine has no room, and after a while it is as good as gone: below the soft bound TCP says so."""
        self.begin(limits={'dead_seconds': '2', 'stall_seconds': '60'})
        self.ill('dead').bare = True
        self.check(exact=False)
        self.assertEqual({'lost': 1}, self.reasons())
        self.assertEqual({'dead-seconds': 1}, self.daemon.status()['ended']['limits'])
        self.stop()

    def test_shutdown(self):
        self.begin()
        for number in range(3):
            self.ill('left%d' % number)
        self.settle()
        for patient in self.patients:
            self.end(patient.user, lambda patient: None)
        self.daemon.process.send_signal(signal.SIGTERM)
        self.witness.expect_stream_error('system-shutdown')
        names, witness = {p.identity: p for p in self.patients}, []
        self.sm.link.expect_close()
        for element in self.sm.link.pending:
            (names[self.form.owner(element)].came if self.form.owner(element) in names else witness).append(element)
        for patient in self.patients:
            with self.subTest(patient.user):
                patient.check(patient.had)
        self.assertEqual(1, len(witness))
        self.sm.close()
        self.assertEqual(0, self.daemon.process.wait(harness.TIMEOUT))


class XmppCauses(Causes):
    dialect = 'xmpp'
    test_not_bound_in_time = test_link_stopped = test_no_tls = test_in_the_way_of_others = test_retired = test_dead = \
        test_no_memory = None


class Workers(EndsCase):
    """A worker dies: all its clients end, nobody else's."""

    def victim(self):
        """A worker, not that of the witness; and whom it has."""
        number = 1 - int(self.witness_identity.split('.')[1])
        pid = next(worker['pid'] for worker in self.daemon.status()['workers'] if worker['number'] == number)
        return pid, [patient for patient in self.patients if patient.identity.split('.')[1] == str(number)]

    def die(self, how, wait=20):
        """One of them does; another takes its place at once, and what the dead one's clients had not got is back."""
        self.settle()
        pid, mine = self.victim()
        self.assertEqual(3, len(mine))
        for patient in mine:
            self.end(patient.user, lambda patient: None)
        os.kill(pid, how)
        self.assertEqual([], wait_gone([pid], wait))
        identities = {patient.identity for patient in self.patients}
        self.check(mine)
        for patient in mine:
            self.patients.remove(patient)
            patient.client.expect_close()
        self.daemon.wait_ready()
        self.assertEqual(2, len(self.daemon.worker_pids()))
        self.generation += 1
        for number in range(3):
            name = 'heir%d%s' % (number, 'abc'[self.generation])
            self.assertNotIn(self.ill(name).identity, identities)

    def begin(self, **arguments):
        super().begin(**arguments)
        self.daemon.may_lose_workers = True
        self.generation = 0
        for number in range(5):
            self.ill('born%d' % number)

    def test_killed_twice(self):
        self.begin()
        self.die(signal.SIGKILL)
        self.die(signal.SIGKILL)

    @unittest.skipIf(harness.is_sanitized(harness.program('worker/c2sd-worker')), 'a sanitizer says what it died of')
    def test_crashed(self):
        self.begin()
        self.die(signal.SIGSEGV)

    def test_hangs(self):
        """It is found out by its silence, in about twelve seconds."""
        self.begin()
        self.settle()
        pid, mine = self.victim()
        for patient in mine:
            self.end(patient.user, lambda patient: None)
        os.kill(pid, signal.SIGSTOP)
        self.assertEqual([], wait_gone([pid], 40))
        self.daemon.log.wait('unresponsive pid=%d' % pid)
        self.daemon.log.lines[:] = [line for line in self.daemon.log.lines if 'unresponsive' not in line]   # it is meant to be
        self.check(mine)

    def test_nothing_was_read(self):
        """Everything lies in the socketpair, or waits for it, when the worker dies."""
        self.begin()
        self.settle()
        pid, mine = self.victim()
        os.kill(pid, signal.SIGSTOP)
        for patient in mine:
            self.end(patient.user, lambda patient: None)
            patient.send([self.form.packet(FILLER % ('late%d' % number), patient.names) for number in range(50)] +
                         [self.form.packet(LAST.replace("'last'", "'verylast'"), patient.names)])
        self.sm.send(self.form.packet("<message id='here'/>", {'me': next(iter(
            p.identity for p in self.patients if p not in mine)), 'account': 'x@localhost', 'address': 'x@localhost/y'}).text)
        os.kill(pid, signal.SIGKILL)
        self.check(mine)


class Closing(EndsCase):
    """What is on its way when a client ends is not destroyed by that: who goes on to read gets all of it, and learns why."""

    # Longer than any test: nothing is settled but by a FIN.
    LIMITS = dict(EndsCase.LIMITS, settle_seconds='60')
    tls = 'none'

    def begin(self, **arguments):
        limits = dict(self.LIMITS, **arguments.pop('limits', {}))
        super().begin(limits=limits, tls=self.tls, **arguments)

    def patient(self, user, **arguments):
        """In whose worker everything is."""
        if self.tls != 'none':
            client = RawClient(self.daemon.listeners[0], receive_buffer=4096)
            arguments = dict(client=client.open().starttls(), secure=True)
        patient = super().patient(user, **arguments).give()
        wait_until(patient.has_arrived, 'all has come to its worker')
        return patient

    def read_all(self, patient, condition=None):
        """Everything that it was sent, whole and in order; a stream error where there is one; the end, by no reset."""
        client = patient.client
        if condition:
            client.expect_stream_error(condition)
        else:
            client.expect_end()
        self.assertFalse(client.truncated)
        self.assertEqual([self.form.down(packet) for packet in patient.sent[5:]], [plain(e) for e in client.pending])

    def check_nothing_back(self, *patients, goodbye=False, close=True):
        """Only that they are gone."""
        for patient in patients:
            if close:
                patient.client.close()
        wait_until(lambda: self.daemon.status()['clients'] == 1, 'they are gone')
        self.round_trip()
        for patient in patients:
            patient.came = [e for e in self.sm.link.pending if self.form.owner(e) == patient.identity]
            self.assertEqual([self.form.bare(patient.names, goodbye)], [plain(e) for e in patient.came])
        self.assertEqual(len(patients), len(self.sm.link.pending))
        self.stop()

    def test_kicked(self):
        self.begin()
        patient = self.patient('kicked')
        self.kick(patient)
        self.read_all(patient, 'policy-violation')
        self.check_nothing_back(patient)

    def test_half_closed(self):
        """It says nothing any more, and goes on to read."""
        self.begin()
        patient = self.patient('halfclosed')
        half_close(patient)
        self.read_all(patient)
        self.check_nothing_back(patient)

    def test_closed(self):
        self.begin()
        patient = self.patient('closed')
        patient.client.send('</stream:stream>')
        self.read_all(patient)
        self.check_nothing_back(patient, goodbye=True)

    def test_closed_and_half_closed(self):
        self.begin()
        patient = self.patient('both')
        say_and_half_close(patient)
        self.read_all(patient)
        self.check_nothing_back(patient, goodbye=True)

    @unittest.skipIf(harness.is_sanitized(harness.program('worker/c2sd-worker')), 'with a sanitizer five seconds are too short')
    def test_much_is_unread(self):
        """By us: to close would be to reset."""
        self.begin(limits={'rate_bytes': '1024', 'burst_bytes': '65536', 'stanza_bytes': '65536'})
        patient = self.patient('loud')
        # No more than any socket holds: behind what it does not, an end is not heard of in five seconds.
        patient.client.send(' ' * 90000)
        wait_until(lambda: self.daemon.status()['throttled'] == 1, 'it is throttled')
        self.kick(patient)
        self.read_all(patient, 'policy-violation')
        self.check_nothing_back(patient)

    def test_much_too_much(self):
        """It goes on for as long as it can."""
        self.begin(limits={'stanza_bytes': '20000'})
        patient = self.patient('louder')
        patient.client.send('<message><body>')
        writer = threading.Thread(target=self.pour, args=(patient.client.socket.fileno(),), daemon=True)
        if self.tls == 'none':      # two threads at one TLS are too many
            writer.start()
        else:
            patient.client.send('x' * 200000)
        self.read_all(patient, 'policy-violation')
        self.pours = False
        if self.tls == 'none':
            writer.join()
        self.check_nothing_back(patient)

    def pour(self, fd):
        """Whatever is taken, until it is said that it is enough."""
        self.pours = True
        while self.pours:
            select.select([], [fd], [], 0.1)
            try:
                os.write(fd, b'x' * 10000)
            except BlockingIOError:
                pass
            except OSError:
                return

    def test_reset_behind_everything(self):
        """It has read all, but who knows that: the last second of it comes back."""
        self.begin()
        patient = self.patient('reset')
        patient.client.expect(lambda e: e.get('id') == 'last')
        self.end('reset', reset)
        self.collect()
        self.assertEqual(b"id='t0'", patient.came[1].raw[patient.came[1].raw.index(b"id='t"):][:7])
        patient.check(0)
        self.round_trip()
        self.assertEqual([], self.sm.link.pending)
        self.stop()

    def test_end_behind_everything(self):
        """It has read all and closes: nothing comes back."""
        self.begin()
        patient = self.patient('done')
        patient.client.expect(lambda e: e.get('id') == 'last')
        self.check_nothing_back(patient)


class ClosableTls:
    """TLS that can say that it is over and go on to read, which SSLSocket cannot."""

    def __init__(self, sock):
        self.socket = sock
        self.fileno, self.close = sock.fileno, sock.close
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = harness.tls_context().wrap_bio(self.incoming, self.outgoing, server_hostname='localhost')
        self.fed, self.peeked, self.seen = b'', 0, b''
        while not self._try(self.tls.do_handshake):
            select.select([sock], [], [], harness.TIMEOUT)
            self.feed(sock.recv(65536))

    def feed(self, data):
        self.fed += data
        self.incoming.write(data)

    def _try(self, call):
        try:
            call()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.socket.sendall(self.outgoing.read())
        return True

    def notify(self):
        self._try(self.tls.unwrap)

    def send(self, data):
        self._try(lambda: self.tls.write(data))
        return len(data)

    def peek(self):
        """What lies in the kernel, as far as whole records of it are there. Behind this nothing can be read any more."""
        waiting = array.array('i', [0])
        fcntl.ioctl(self.fileno(), termios.FIONREAD, waiting)
        if waiting[0] > self.peeked:
            self.feed(self.socket.recv(waiting[0], socket.MSG_PEEK)[self.peeked:])
            self.peeked = waiting[0]
        try:
            while more := self.tls.read(65536):
                self.seen += more
        except ssl.SSLWantReadError:
            pass
        return self.seen

    def make_room(self):
        """More may come than what was seen."""
        if self.peeked > 0:
            self.peeked -= len(self.socket.recv(self.peeked))

    def is_torn(self):
        """Behind the last whole record is a part of one: RFC 8446 5.1."""
        end = 0
        while end < len(self.fed):
            end += 5 + int.from_bytes(self.fed[end + 3:end + 5], 'big')
        return end > len(self.fed)

    def recv(self, _size):
        data = self.socket.recv(65536)
        if data:
            self.feed(data)
        else:
            self.incoming.write_eof()
        found = bytearray()
        try:
            while True:
                more = self.tls.read(65536)
                found += more
                if not more:
                    return bytes(found)
        except ssl.SSLError:
            if not found and data:
                raise
            return bytes(found)


class TlsClosing(Closing):
    tls = 'starttls'

    def closable(self, user, receive_buffer=4096):
        client = RawClient(self.daemon.listeners[0], receive_buffer=receive_buffer).open()
        client.send("<starttls xmlns='%s'/>" % harness.TLS)
        client.expect('proceed')
        client.socket = ClosableTls(client.socket)
        client.stream = XmlStream()
        patient = EndsCase.patient(self, user, client=client.open(), secure=True).give()
        wait_until(patient.has_arrived, 'all has come to its worker')
        return patient

    def test_part_of_a_record(self):
        """Its TCP has acknowledged it, and nobody can read it: it is not settled. Whole ones are."""
        self.begin(limits=EndsCase.LIMITS)
        patient = self.closable('records', 50000)

        def is_settled():
            rest = patient.sent[patient.taken():]
            if patient.held() != sum(len(packet.text.encode()) for packet in rest if not packet.idle):
                return False
            # All that there is room for may end with a record.
            if not patient.client.socket.is_torn():
                patient.client.socket.make_room()
            return patient.client.socket.is_torn()

        wait_until(is_settled, 'what it has is settled, and nothing else')
        self.assertIn(patient.taken(), range(6, FILLERS))
        patient.bare, patient.had = True, patient.taken()
        # With the end of it comes a last look.
        half_close(patient)
        self.check()
        self.stop()

    def test_notified(self):
        """Its TLS is closed in one direction (RFC 8446 6.1), and it reads on in the other."""
        self.begin()
        patient = self.closable('notified')
        client = patient.client
        client.socket.notify()
        self.read_all(patient)
        self.check_nothing_back(patient)


class Upgrade(EndsCase):
    """STARTTLS behind something that was said in clear text: whatever comes under the id of that time goes back, though the
    same connection logs in and gets packets later."""

    def test_behind_a_registration(self):
        self.begin(tls='starttls', tls_options={'required': 'no'})
        client = self.daemon.client().open()
        client.send("<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>")
        before = self.sm.expect('iq').get('sfrom')
        self.sm.send("<iq type='result' id='r1' sto='%s' sfrom='localhost'><query xmlns='jabber:iq:register'/></iq>" % before)
        client.expect('iq')
        client.send("<starttls xmlns='%s'/>" % harness.TLS)
        client.expect('proceed')
        self.sm.send("<message id='early' sto='%s' sfrom='localhost'><body>too early</body></message>" % before)
        client.secure()
        patient = self.patient('alice', client=client.open(), secure=True)
        self.assertNotEqual(before, patient.identity)
        patient.send([self.form.packet(LAST, patient.names)])
        client.expect('message')
        wait_until(lambda: self.daemon.status()['packets']['held'] == 0, 'all is settled')
        self.assertEqual('510', self.sm.expect(lambda e: e.get('id') == 'early').child('error').get('code'))


class Comeback(DaemonCase):
    """Session managers that do something with what comes back, as the recorded ones did: messages go to another session of
    the account, or wait for its next login."""

    COUNT = 300

    def begin(self, **arguments):
        """Alice and bob, who does not read, and whom alice has sent more than he can take."""
        self.serve(limits=EndsCase.LIMITS, **arguments)
        self.daemon.may_lose_workers = True
        self.alice = self.daemon.login('alice').available()
        self.bob = self.log_in(RawClient(self.daemon.listeners[0], receive_buffer=4096))
        self.begun = len(self.bob.received)
        self.port = self.bob.socket.getsockname()[1]

    def serve(self, **arguments):
        self.manager = self.server('sfrom', users={'alice': 'secret', 'bob': 'secret'}, mute=True)
        self.daemon = self.start_with(self.manager, **arguments)

    def log_in(self, client=None, resource='home'):
        client = client or self.daemon.client()
        return client.open().login('bob', resource=resource).available() and client

    def flood(self):
        for number in range(self.COUNT):
            kind = " type='chat'" if number % 2 else ''
            self.alice.send("<message id='n%d' to='bob@localhost/home'%s><body>%s</body></message>" % (
                number, kind, 'x' * SIZE))
        self.alice.settle()
        self.had = []
        wait_until(self.is_settled, 'bob has %r' % self.had[-1:])

    def session(self):
        """Bob's first."""
        lines = self.daemon.ctl('sessions', '--json', '--account', 'bob@localhost').stdout.splitlines()
        return next((session for session in map(json.loads, lines) if session.get('port') == self.port), None)

    def taken(self):
        """What bob's kernel has."""
        stream, waiting = XmlStream(), array.array('i', [0])
        stream.feed(b'<x>')
        if self.bob.socket.fileno() < 0:
            return self.had
        fcntl.ioctl(self.bob.socket.fileno(), termios.FIONREAD, waiting)
        bytes_there = self.bob.socket.recv(waiting[0], socket.MSG_PEEK) if waiting[0] else b''
        return self.numbers(stream.feed(bytes(self.bob.received[self.begun:]) + bytes_there))

    def is_settled(self):
        self.had = self.taken()
        return self.daemon.status()['packets']['held'] == self.COUNT - len(self.had)

    @staticmethod
    def numbers(elements):
        return [(int(e.get('id')[1:]), e.get('type')) for e in elements if e.name == 'message' and (e.get('id') or '')[:1] == 'n']

    def wait_last(self, client):
        last = client.expect(lambda e: e.get('id') == 'n%d' % (self.COUNT - 1))
        found, client.pending = self.numbers(client.pending + [last]), []
        return found

    def check(self, client):
        """All that the first bob has not got comes to this one: in order, as what it was; then nothing happens any more."""
        found = self.wait_last(client)
        wanted = [(number, 'chat' if number % 2 else None) for number in range(self.COUNT)]
        found = [(number, None if kind == 'normal' else kind) for number, kind in found]
        # Nobody can look into a socket that is reset; TCP may have tried the full window once more, and one message have come by that.
        most = len(self.taken()) + (self.bob.socket.fileno() < 0)
        self.assertTrue(len(self.had) <= self.COUNT - len(found) <= most, (self.had, found[:3]))
        self.assertEqual(wanted[-len(found):], found)
        before = self.daemon.status()['packets']
        for _ in range(3):
            client.settle()
            self.alice.settle()
        after = self.daemon.status()['packets']
        self.assertTrue(after['balanced'])
        self.assertEqual(before['bounced'], after['bounced'], 'it goes to and fro')
        self.assertEqual([], self.numbers(client.pending))
        self.alice.message('bob@localhost/%s' % client.resource, 'still there')
        client.expect_message('still there')
        client.message('alice@localhost/home', 'and back')
        self.alice.expect_message('and back')

    def kill_its_worker(self):
        number = self.session()['worker']
        os.kill(next(w['pid'] for w in self.daemon.status()['workers'] if w['number'] == number), signal.SIGKILL)

    def gone(self):
        wait_until(lambda: self.session() is None, 'bob is gone')

    def come(self, resource='home'):
        client = self.log_in(resource=resource)
        client.resource = resource
        return client

    # -- for whatever reason; where do his messages go

    def test_next_login(self):
        """From where they wait, after a reset."""
        self.begin()
        self.flood()
        self.bob.reset()
        self.gone()
        self.check(self.come())

    def test_next_login_after_a_kick(self):
        self.begin()
        self.flood()
        self.daemon.ctl('kick', self.session()['id'])
        wait_until(lambda: self.session() is None and self.daemon.status()['packets']['held'] == 0, 'bob is gone', 30)
        self.check(self.come('another'))

    def test_other_resource(self):
        self.begin()
        work = self.come('work')
        self.flood()
        self.bob.reset()
        self.check(work)

    def test_other_resource_when_the_worker_dies(self):
        self.begin(workers=3)
        work = self.come('work')
        self.flood()
        self.kill_its_worker()
        self.check(work)

    def test_replaced(self):
        """The later login gets them, and is not ended by the end of the one before."""
        self.begin()
        self.flood()
        self.check(self.come('home'))

    def test_replaced_while_its_worker_hangs(self):
        """Neither its end nor what the session manager said of it was read when the later login came."""
        self.begin(workers=3)
        self.flood()
        number = self.session()['worker']
        pid = next(w['pid'] for w in self.daemon.status()['workers'] if w['number'] == number)
        os.kill(pid, signal.SIGSTOP)
        self.bob.reset()
        later = self.come('home')
        os.kill(pid, signal.SIGKILL)
        self.check(later)


class RouteComeback(Comeback):
    def serve(self, **arguments):
        self.manager = self.server('route', users={'alice': 'secret', 'bob': 'secret'})
        self.daemon = self.start_with(self.manager, **arguments)


class XmppComeback(Comeback):
    def serve(self, **arguments):
        self.manager = self.server('xmpp', users={'alice': 'secret', 'bob': 'secret'})
        self.daemon = self.start_with(self.manager, **arguments)


class EmbeddedComeback(Comeback):
    def serve(self, **arguments):
        self.daemon = self.start(users=('alice', 'bob'), **arguments)


class EmbeddedSfromComeback(Comeback):
    def serve(self, **arguments):
        self.daemon = self.start(users=('alice', 'bob'), embedded={'dialect': 'sfrom'}, **arguments)


class RouteWorkers(Workers):
    dialect = 'route'
    test_hangs = None


class XmppWorkers(Workers):
    dialect = 'xmpp'
    test_hangs = None


if __name__ == '__main__':
    harness.main()
