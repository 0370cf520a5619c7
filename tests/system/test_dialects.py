#!/usr/bin/env python3
"""Each dialect of the link, seen from session managers that are slow, silent, rude or gone at any place (scripted.py)."""
import base64
import os
import re
import secrets
import socket

import harness
import scripted
from harness import DaemonCase, Peer
from scripted import fill, match
from xmlstream import STREAM_ERRORS, STREAMS, parse

RECORDINGS = os.path.join(harness.SOURCE, '..', 'dialect', 'recordings')


def recording(name):
    """(line number, who, what) of each line; who is '##' for a remark."""
    found = []
    with open(os.path.join(RECORDINGS, name)) as file:
        for number, line in enumerate(file, 1):
            result = re.match(r'(##|SM->|<-JD|C2S->|->C2S|CLI\d+->|<-CLI\d+) (.*)', line)
            if result:
                found.append((number, *result.groups()))
            else:
                found[-1] = found[-1][:2] + (found[-1][2] + '\n' + line.rstrip('\n'),)
    return found


def elements(text):
    """The elements that stand one behind the other in this text."""
    return harness.XmlStream().feed(("<x xmlns:stream='%s'>%s" % (STREAMS, text)).encode())


class Servers(DaemonCase):
    """Do the session managers of these tests behave as the recorded ones do? A socket manager that says what was said to
    those must read what was answered."""

    def connect(self, server):
        peer = Peer(socket.create_connection(('127.0.0.1', server.sm.port)))
        self.addCleanup(peer.close)
        return peer

    def assert_quiet(self, peer, probe):
        """The answer to the probe is the next that comes."""
        peer.send(probe)
        found = peer.expect()
        self.assertIn('probe', repr(found))

    # What is made anew each time: addresses of sessions, keys, times.
    FRESH = r"(?<=localhost/)(?!deadbeef)(?:[0-9A-F]{8}|[0-9a-f]{8})\b|(?<=stamp=')[^']*"

    def replay(self, name, server, probe, deviations, start=1, end=None):
        server.service.echo = False
        server.listen()
        peer, names, missing = None, {}, dict(deviations)
        lines = recording(name)
        for number, who, text in lines:
            if number < start:
                continue
            if end and text.startswith(end):
                break
            pattern = re.sub(self.FRESH, lambda m: '{r%s}' % re.sub(r'\W', '_', m.group()), text)
            if missing.pop(number, None):
                if who == '<-JD' and text != '[EOF]':
                    for _ in elements(text) or '1':
                        peer.expect()
                continue
            try:
                if text.startswith('[EOF]'):
                    pass
                elif text.startswith('connect '):
                    peer = self.connect(server)
                elif who == 'SM->' and text.startswith('<handshake>'):
                    proof = scripted.sha1(peer.stream.header.get('id') + server.sm.secret)
                    wrong = (number + 1, '<-JD', '[EOF]') in lines
                    peer.send('<handshake>%s</handshake>' % ('x' if wrong else proof))
                elif who == 'SM->':
                    known = re.sub(r'\{(\w+)\}', lambda m: m.group() if m.group(1) in names else m.group(1)[1:], pattern)
                    peer.send(fill(known, names))
                elif text.startswith('<?xml'):
                    expected = re.search(r"xmlns='([^']*)'", text).group(1)
                    self.assertEqual(' from=' in text, 'from' in peer.expect_header().attributes)
                    self.assertEqual(expected, server.sm.namespace)
                elif text.startswith('[nothing'):
                    self.assert_quiet(peer, probe)
                elif who == '<-JD':
                    for one in elements(pattern):
                        if one.get('type') in ('session', 'result'):    # 1.2 gives an address again
                            for fresh in re.findall(r'\{(\w+)\}', one.get('from', '') + one.get('sfrom', '')):
                                if one.get('type') == 'session':
                                    names.pop(fresh, None)
                        found = peer.expect()
                        self.assertTrue(match(one, found, names), 'expected\n%s, got\n%r' % (one.write(), found))
            except AssertionError as error:
                raise AssertionError('line %d: %s' % (number, error)) from None
        self.assertEqual({}, missing)

    PROBE_ROUTE = ("<route type='auth' to='stranger@localhost' from='probe@c2s.localhost'><iq type='get' id='probe'>"
                   "<query xmlns='jabber:iq:auth'><username>stranger</username></query></iq></route>")
    PROBE_SFROM = ("<iq type='get' id='probe' sto='localhost' sfrom='probe@foo-sockets'>"
                   "<query xmlns='urn:probe'/></iq>")

    def test_route_as_jabberd_1_2(self):
        self.replay('jabberd-1.2-route.txt', self.server('route'), self.PROBE_ROUTE, {
            19: 'what is asked for a registration is a matter of configuration'}, start=6)

    def test_route_as_jabberd14(self):
        self.replay('jabberd14-head-route.txt', self.server('route', version='head'), self.PROBE_ROUTE, {
            25: 'what is asked for a registration is a matter of configuration'}, end='7c. subscriptions')

    def test_sfrom(self):
        self.replay('pre-sto-sfrom-main.txt', self.server('sfrom', mute=True), self.PROBE_SFROM, {
            8: 'what is asked for a registration is a matter of configuration', 50: 'its clock'})


SASL = scripted.SASL
BIND = scripted.BIND
PLAIN = base64.b64encode(b'\0alice\0secret').decode()

# ---- logins, as conversations (scripted.Conversation); `session`: the line that makes the session ----

SESSION = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"
LEGACY_ASK = """
client: <iq type='set' id='a'><query xmlns='jabber:iq:auth'><username>Alice</username><password>secret</password>
 <resource>home</resource></query></iq>"""
SFROM_TALK = """
client: <message to='bob@localhost'><body>up</body></message>
up: <message sto='{address}' sfrom='{me}' to='bob@localhost'><body>up</body></message>
down: <message sto='{me}' sfrom='alice@localhost' from='bob@localhost/x'><body>down</body></message>
gets: <message from='bob@localhost/x'><body>down</body></message>"""
SFROM_LEGACY = """
open:
features:""" + LEGACY_ASK + """
up: <iq type='set' id='a' sto='localhost' sfrom='{me}'><query xmlns='jabber:iq:auth'><username>Alice</username>
 <password>secret</password><resource>home</resource></query></iq>
session: <iq type='result' id='a' sto='{me}' sfrom='{address}'/>
gets: <iq type='result' id='a'/>""" + SFROM_TALK


SASL_ASK = """
open:
features:
client: <auth xmlns='%s' mechanism='PLAIN'>%s</auth>""" % (SASL, PLAIN)
SASL_DONE = """
gets: <success xmlns='%s'/>
open:
features:
client: <iq type='set' id='b'><bind xmlns='%s'><resource>home</resource></bind></iq>""" % (SASL, BIND)
BOUND = """
gets: <iq type='result' id='b'><bind xmlns='%s'><jid>{jid}</jid></bind></iq>
client: <iq type='set' id='s'>%s</iq>
gets: <iq type='result' id='s'/>""" % (BIND, SESSION)
SFROM_SASL = SASL_ASK + """
up: <iq type='set' id='{i}' sto='localhost' sfrom='{me}'><query xmlns='jabber:iq:auth'><username>alice</username>
 <password>secret</password><resource>{r}</resource></query></iq>
session: <iq type='result' id='{i}' sto='{me}' sfrom='{address}'/>""" + SASL_DONE + BOUND + SFROM_TALK

ROUTE_TALK = """
client: <message to='bob@localhost'><body>up</body></message>
up: <route to='{address}' from='{me}'><message to='bob@localhost'><body>up</body></message></route>
down: <route to='{me}' from='{address}'><message from='bob@localhost/x'><body>down</body></message></route>
gets: <message from='bob@localhost/x'><body>down</body></message>"""
ROUTE_LEGACY = """
open:
features:""" + LEGACY_ASK + """
up: <route type='auth' to='alice@localhost/home' from='{me}'><iq type='set' id='a'><query xmlns='jabber:iq:auth'>
 <username>Alice</username><password>secret</password><resource>home</resource></query></iq></route>
down: <route type='auth' to='{me}' from='alice@localhost/home'><iq type='result' id='a'/></route>
up: <route type='session' to='alice@localhost/home' from='{me}'><iq type='result' id='a'/></route>
session: <route type='session' to='{me}' from='{address}'><iq type='result' id='a'/></route>
gets: <iq type='result' id='a'/>""" + ROUTE_TALK
ROUTE_SASL = SASL_ASK + """
up: <route type='auth' to='alice@localhost' from='{me}'><iq type='get' id='{g}'><query xmlns='jabber:iq:auth'>
 <username>alice</username></query></iq></route>
down: <route type='auth' to='{me}' from='alice@localhost'><iq type='result' id='{g}'><query xmlns='jabber:iq:auth'>
 <username>alice</username><password/><resource/></query></iq></route>
up: <route type='auth' to='alice@localhost/{r}' from='{me}'><iq type='set' id='{i}'><query xmlns='jabber:iq:auth'>
 <username>alice</username><password>secret</password><resource>{r}</resource></query></iq></route>
down: <route type='auth' to='{me}' from='alice@localhost/{r}'><iq type='result' id='{i}'/></route>""" + SASL_DONE + """
up: <route type='session' to='alice@localhost/home' from='{me}'><_/></route>
session: <route type='session' to='{me}' from='{address}'/>""" + BOUND + ROUTE_TALK

XMPP_OPEN = """
open:
up: <open xmlns='%s' sto='localhost' sfrom='{me}' to='localhost' version='1.0'><_/></open>
down: <open xmlns='%s' sto='{me}' sfrom='localhost' from='localhost' id='S1' version='1.0'/>
down: <stream:features sto='{me}' sfrom='localhost'><mechanisms xmlns='%s'><mechanism>PLAIN</mechanism></mechanisms>
 <auth xmlns='http://jabber.org/features/iq-auth'/></stream:features>
features:""" % (scripted.FRAMING, scripted.FRAMING, SASL)
XMPP_LEGACY = XMPP_OPEN + LEGACY_ASK + SFROM_LEGACY[SFROM_LEGACY.index("\nup:"):]
XMPP_SASL = XMPP_OPEN + """
client: <auth xmlns='{sasl}' mechanism='PLAIN'>{plain}</auth>
up: <auth xmlns='{sasl}' mechanism='PLAIN' sto='localhost' sfrom='{me}'>{plain}</auth>
down: <success xmlns='{sasl}' sto='{me}' sfrom='localhost'/>
gets: <success xmlns='{sasl}'/>
open:
up: <open xmlns='{framing}' sto='localhost' sfrom='{me}' to='localhost' version='1.0'/>
down: <open xmlns='{framing}' sto='{me}' sfrom='localhost' from='localhost' id='S2' version='1.0'/>
down: <stream:features sto='{me}' sfrom='localhost'><bind xmlns='{bind}'/></stream:features>
features:
client: <iq type='set' id='b'><bind xmlns='{bind}'><resource>home</resource></bind></iq>
up: <iq type='set' id='b' sto='localhost' sfrom='{me}'><bind xmlns='{bind}'><resource>home</resource></bind></iq>
session: <iq type='result' id='b' sto='{me}' sfrom='{address}'><bind xmlns='{bind}'><jid>{address}</jid></bind></iq>
gets: <iq type='result' id='b'><bind xmlns='{bind}'><jid>{address}</jid></bind></iq>""" + SFROM_TALK


class Steps(DaemonCase):
    """One conversation, disturbed behind each of its steps; subclasses say in which dialect, and what is said."""

    dialect = 'sfrom'
    script = None
    extra = ''
    limits = {'settle_seconds': 0}   # what is asked behind each step is whether nothing is held
    names = {'address': 'alice@localhost/home'}
    WORDS = dict(jid='alice@localhost/home', plain=PLAIN, sasl=SASL, bind=BIND, framing=scripted.FRAMING)

    @classmethod
    def steps(cls):
        text = cls.script
        for word, meaning in cls.WORDS.items():
            text = text.replace('{%s}' % word, meaning)
        return scripted.Conversation.steps(text)

    def setUp(self):
        self.sm = self.manager(self.dialect)
        self.daemon = self.start_with(self.sm, extra=self.extra, limits=self.limits)
        # Somebody whose session nobody disturbs.
        self.bob = self.daemon.client()
        self.bob.identity, self.bob.address = self.sm.admit(self.bob, 'bob')

    def conversation(self):
        return scripted.Conversation(self.sm, self.daemon.client(), **self.names)

    def each(self, disturb, verbs=None, before=None, fresh=False):
        """disturb(conversation up to a step, the step, what has not been said) behind each step of these verbs, or
        before each of those, but for those whose effect is still on its way. `fresh`: with a daemon of its own."""
        steps = self.steps()
        for number, step in enumerate(steps):
            rest = steps[number + 1:]
            following = rest[0][0] if rest else None
            if (verbs and step[0] not in verbs) or (before and following not in before) or \
                    (following == 'up' and step[0] != 'gets' and not (step[0] == 'down' and before)):
                continue
            with self.subTest(step=number, line=' '.join(step)[:60]):
                if fresh:   # because it tries again later and later when it loses its link again and again
                    self.daemon.cleanup()
                    self.setUp()
                talk = self.conversation()
                self.go_on(talk, steps[:number + 1])
                disturb(talk, step[0], rest)
                talk.client.close()

    @staticmethod
    def go_on(talk, steps):
        for step in steps:
            talk.step(*step)

    def go_on_to_the_end(self, talk, steps):
        self.go_on(talk, steps)
        talk.client.leave()
        self.expect_the_end(talk, goodbye=True)
        self.assert_quiet()

    def assert_quiet(self, under_way=None):
        """Nothing is on the link but what this round trip puts there, and no packet has vanished. A packet with that text may
        come back: it was on its way."""
        text = 'quiet ' + secrets.token_hex(4)
        self.bob.message('x@localhost', text)
        found = self.sm.expect()
        if under_way and text not in repr(found):
            self.assertIn(under_way, repr(found))
            found = self.sm.expect()
        self.assertIn(text, repr(found))
        self.sm.deliver(self.bob.identity, self.bob.address, "<message><body>%s</body></message>" % text)
        self.bob.expect_message(text)
        deadline = harness.Deadline()
        while True:     # until the last bytes of all are acknowledged
            packets = self.daemon.status()['packets']
            self.assertTrue(packets['balanced'], packets)
            if packets['held'] == 0:
                return packets
            self.assertTrue(deadline.left(), packets)

    # What is said of the end, and what comes back, in this dialect; others say it otherwise.

    def expect_the_end(self, talk, goodbye=False):
        """c2sd says, once, that the client's session is over: or an answer that was to make it comes back."""
        found = self.sm.expect()
        self.assertEqual(('error', talk.names['address'], talk.names['me']),
                         (found.get('type'), found.get('sto'), found.get('sfrom')), found)
        self.assertTrue(found.has_510(), found)

    def expect_the_end_before_login(self, talk):
        """Nobody is told: nobody knows of the client."""

    def end(self, talk):
        """The session manager ends it: the condition that the client is told."""
        self.sm.end(talk.names['me'], talk.names['address'] if talk.granted else 'localhost')
        return 'undefined-condition'

    def is_lost_with_link(self, talk, verb):
        """Was it asked for what it cannot know the answer of?"""
        return verb == 'up' and not talk.granted

    def cut_link(self, talk, verb, rest):
        self.sm.drop()
        if self.is_lost_with_link(talk, verb):
            talk.client.expect_stream_error('remote-connection-failed')
            self.sm.up()
            self.assert_quiet()
        else:
            self.sm.up()
            self.go_on_to_the_end(talk, rest)

    def test_all_of_it(self):
        self.go_on_to_the_end(self.conversation(), self.steps())

    def test_client_gone_behind_each_step(self):
        def disturb(talk, verb, rest):
            mark = self.daemon.log.mark()
            talk.client.reset()
            self.daemon.log.wait('client ended', since=mark)
            if talk.granted:
                self.expect_the_end(talk)
            else:
                self.expect_the_end_before_login(talk)
                if rest and rest[0][0] in ('down', 'done', 'session'):
                    talk.step(*rest[0])
                if talk.granted:    # to nobody: it comes back, and so is ended
                    self.expect_the_end(talk)
            # What it got last may come back, too: behind a reset nobody knows whether it was read.
            self.assert_quiet(under_way='<body>down</body>' if verb in ('down', 'gets') and talk.granted else None)
        self.each(disturb)

    def test_link_cut_behind_each_step(self):
        self.each(self.cut_link, ('features', 'up', 'session', 'down', 'done', 'gets'), fresh=True)

    def test_session_manager_ends_it_behind_each_step(self):
        def disturb(talk, _verb, _rest):
            if 'me' not in talk.names:  # it does not know of the client yet
                talk.client.leave()
                return
            condition = self.end(talk)
            if condition:
                talk.client.expect_stream_error(condition)
            else:
                talk.client.leave()
            self.assert_quiet()
        self.each(disturb)

    def test_answers_twice(self):
        """What comes a second time is data for the client or nothing; the conversation goes on."""
        def disturb(talk, _verb, rest):
            with self.sm.together():
                talk.step(*rest[0])
                talk.again()
            self.go_on_to_the_end(talk, rest[1:])
        self.each(disturb, before=('session', 'down', 'done'))

    # Of no login: neither its id nor its sender is what was asked for.
    strange = ("<iq type='result' id='strange' sto='{me}' sfrom='localhost'/>",
               "<iq type='result' id='strange' sto='{me}' sfrom='alice@localhost/home'/>",
               "<message id='strange' sto='{me}' sfrom='eve@localhost'/>")

    def test_answers_of_strangers(self):
        """They change nothing."""
        def disturb(talk, _verb, rest):
            for line in self.strange:
                talk.step('down', line)
            self.go_on_to_the_end(talk, rest)
        self.each(disturb, before=('session',))

    def test_session_and_its_end_at_once(self):
        def disturb(talk, _verb, rest):
            with self.sm.together():
                talk.step(*rest[0])
                condition = self.end(talk)
            talk.client.expect_stream_error(condition)
            self.assert_quiet()
        self.each(disturb, before=('session',))


    # What refuses the login, in place of the line that has this verb the first time; and what the client reads.
    refused = None

    def test_refused_and_tried_again(self):
        verb, refusals = self.refused
        steps = self.steps()
        place = [step[0] for step in steps].index(verb)
        begin = [step[0] for step in steps].index('client')
        for line, condition in refusals:
            with self.subTest(line=line):
                talk = self.conversation()
                self.go_on(talk, steps[:place])
                talk.step('down', line)
                found = talk.client.expect()
                self.assertIn(condition, repr(found))
                self.go_on_to_the_end(talk, steps[begin:])


# For classes that disturb it in another way.
NOT_AGAIN = {name: None for name in dir(Steps) if name.startswith('test_')}


LEGACY_REFUSALS = [("<iq type='error' id='a' sto='{me}' sfrom='localhost'><error code='%s'>Refused</error></iq>" % code,
                    "<error code='%s'>Refused</error>" % code) for code in ('401', '406', '503')]
SASL_REFUSALS = [("<iq type='error' id='{i}' sto='{me}' sfrom='localhost'><error code='%s'>Refused</error></iq>" % code,
                  '<%s/>' % name) for code, name in (('401', 'not-authorized'), ('500', 'temporary-auth-failure'),
                                                     ('502', 'temporary-auth-failure'))]


def in_routes(refusals, sender):
    """As jabberd says them."""
    return [("<route type='auth' to='{me}' from='%s'>%s</route>" % (sender, line.replace(" sto='{me}' sfrom='localhost'", '')),
             told) for line, told in refusals]


class SfromLegacy(Steps):
    script = SFROM_LEGACY
    refused = ('session', LEGACY_REFUSALS)


class SfromSasl(Steps):
    script = SFROM_SASL
    refused = ('session', SASL_REFUSALS)
    extra = '<sasl plain="always"/>'


class Route(Steps):
    dialect = 'route'
    names = {'address': 'alice@localhost/5a5a'}
    strange = ("<route type='auth' to='{me}' from='alice@localhost/home'><iq type='result' id='strange'/></route>",
               "<route to='{me}' from='eve@localhost/1'><message id='strange'/></route>",
               "<route to='{me}' from='eve@localhost/1'/>", "<message id='strange' to='{me}' type='error'/>")

    def expect_the_end(self, talk, goodbye=False):
        found = self.sm.expect()
        self.assertEqual(('route', 'error', talk.names['address'], talk.names['me']),
                         (found.name, found.get('type'), found.get('to'), found.get('from')), found)

    def end(self, talk):
        self.sm.end(talk.names['me'], talk.names['address'] if talk.granted else 'alice@localhost/home')
        verb, text = talk.last
        if talk.granted:
            return 'conflict'
        if verb == 'up' and "type='auth'" in text and not self.extra:
            return 'not-authorized'
        if verb == 'up':    # it may try again
            talk.client.expect(lambda e: e.name == 'failure' or (e.name, e.get('type')) == ('iq', 'error'))
        return None


class RouteLegacy(Route):
    script = ROUTE_LEGACY
    refused = ('down', in_routes(LEGACY_REFUSALS, 'alice@localhost/home'))


class RouteSasl(Route):
    script = ROUTE_SASL
    refused = ('down', in_routes([(line.replace('{i}', '{g}'), told) for line, told in SASL_REFUSALS], 'alice@localhost'))
    extra = '<sasl plain="always"/>'


class Xmpp(Steps):
    dialect = 'xmpp'
    strange = (Steps.strange[0], Steps.strange[2])  # whatever comes from a full JID makes a session

    def expect_the_end(self, talk, goodbye=False, address=None):
        address = address or talk.names['address']
        found = self.sm.expect()
        if found.get('sto') == 'localhost' != address:
            # It was gone before c2sd knew of its session: its stream has ended, and the answer that made the session goes back.
            self.assertTrue(found.has_510(), found)
            found = self.sm.expect()
        self.assertEqual((address, talk.names['me']), (found.get('sto'), found.get('sfrom')), found)
        self.assertEqual('close' if goodbye else '510', 'close' if found.name == 'close' else found.has_510() and '510')

    def expect_the_end_before_login(self, talk):
        if 'me' in talk.names:
            self.expect_the_end(talk, address='localhost')

    def cut_link(self, talk, verb, rest):
        """All that the session manager has of clients is over with it, and all are told: who was about to log in at once."""
        self.sm.drop()
        if 'me' in talk.names and not talk.granted:
            talk.client.expect_stream_error('remote-connection-failed')
        self.sm.up()
        if talk.granted:
            talk.client.expect_stream_error('remote-connection-failed')
        elif 'me' in talk.names:
            self.expect_the_end_before_login(talk)
        self.bob.expect_stream_error('remote-connection-failed')
        self.bob = self.daemon.client()
        self.bob.identity, self.bob.address = self.sm.admit(self.bob, 'bob')
        if 'me' not in talk.names:
            self.go_on_to_the_end(talk, rest)
        self.assert_quiet()


class XmppLegacy(Xmpp):
    script = XMPP_LEGACY
    refused = ('session', LEGACY_REFUSALS)


class XmppSasl(Xmpp):
    script = XMPP_SASL.replace("\ndown: <success", "\ndone: <success")
    refused = ('done', [("<failure xmlns='{sasl}' sto='{me}' sfrom='localhost'><%s/></failure>".replace('{sasl}', SASL) % name,
                         '<%s/>' % name) for name in ('not-authorized', 'temporary-auth-failure', 'account-disabled')])


class Held(Steps):
    """What comes for a session whose client does not know its address yet."""

    script = SFROM_SASL
    extra = '<sasl plain="always"/>'

    limits = {'settle_seconds': 0, 'unsent_bytes': 65536}

    def to_the_session(self):
        talk, steps = self.conversation(), self.steps()
        place = [step[0] for step in steps].index('session') + 1
        self.go_on(talk, steps[:place])
        return talk, steps[place:]

    def bodies(self, talk, count, text='x'):
        for number in range(count):
            self.sm.deliver(talk.names['me'], talk.names['address'],
                            "<message id='%d'><body>%s</body></message>" % (number, text))

    def test_in_order_behind_the_binding(self):
        talk, rest = self.to_the_session()
        self.bodies(talk, 20)
        bound = [step[1].startswith("<iq type='result' id='b'>") for step in rest].index(True) + 1
        self.go_on(talk, rest[:bound])
        self.assertEqual([str(n) for n in range(20)], [talk.client.expect('message').get('id') for _ in range(20)])
        self.go_on_to_the_end(talk, rest[bound:])

    def test_too_much(self):
        """The client is ended, and all of it comes back, in its order behind the end."""
        talk, _ = self.to_the_session()
        self.bodies(talk, 40, 'x' * 4000)
        talk.client.expect('success')
        talk.client.expect_stream_error('resource-constraint')
        talk.client.close()
        self.expect_the_end(talk)
        for number in range(40):
            back = self.sm.expect('message')
            self.assertTrue(back.has_510(), back)
            self.assertEqual(str(number), back.get('id'))
        self.assert_quiet()

    def test_client_that_goes_meanwhile(self):
        talk, _ = self.to_the_session()
        self.bodies(talk, 3)
        talk.client.expect('success')
        talk.client.reset()
        self.expect_the_end(talk)
        self.assertEqual(['0', '1', '2'], [self.sm.expect('message').get('id') for _ in range(3)])
        self.assert_quiet()

    locals().update(NOT_AGAIN)


class StreamErrors(Steps):
    """What a session manager says of a stream, as the client reads it (dialect xmpp)."""

    dialect = 'xmpp'
    script = XMPP_SASL
    tests = ("<see-other-host xmlns='{e}'>other.example:5222</see-other-host>",
             "<host-unknown xmlns='{e}'/>",
             "<conflict xmlns='{e}'/><text xmlns='{e}' xml:lang='de'>Ersetzt &lt;hier&gt; &amp; jetzt</text>",
             "<system-shutdown xmlns='{e}'/>",
             "<undefined-condition xmlns='{e}'/><text xmlns='{e}'>too much</text>"
             "<escape-your-data xmlns='urn:example:app' why='x'><y/></escape-your-data>",
             "<p:policy-violation xmlns:p='{e}'/><q:own xmlns:q='urn:example:q' q:a='1'/>")

    def each_point(self, disturb, first='up'):
        """Behind the client's header (answered, with first='features'), and in session."""
        steps = self.steps()
        for number in (next(n for n, step in enumerate(steps) if step[0] == first) + 1, len(steps)):
            talk = self.conversation()
            self.go_on(talk, steps[:number])
            with self.subTest(step=number):
                disturb(talk)

    def tell(self, talk, error):
        sender = talk.names['address'] if talk.granted else 'localhost'
        self.sm.send(("<stream:error sto='{me}' sfrom='%s'>%s</stream:error><close xmlns='%s' sto='{me}' sfrom='%s'/>" % (
            sender, error, scripted.FRAMING, sender)).replace('{me}', talk.names['me']))

    def test_all_of_it_reaches_the_client(self):
        for text in self.tests:
            error = text.replace('{e}', STREAM_ERRORS)

            def disturb(talk):
                self.tell(talk, error)
                found = talk.client.expect('error')
                wanted = parse('<stream:error>%s</stream:error>' % error)
                self.assertTrue(match(wanted, found, {}), found)
                talk.client.expect_end()
                talk.client.close()
                self.assert_quiet()
            self.each_point(disturb)

    def test_close_alone(self):
        def disturb(talk):
            sender = talk.names['address'] if talk.granted else 'localhost'
            self.sm.send("<close xmlns='%s' sto='%s' sfrom='%s'/>" % (scripted.FRAMING, talk.names['me'], sender))
            talk.client.expect_end()
            self.assertFalse([e for e in talk.client.pending if e.name == 'error'])
            talk.client.close()
            self.assert_quiet()
        self.each_point(disturb, first='features')

    def test_clients_own_goodbye(self):
        def disturb(talk):
            talk.client.leave()
            self.expect_the_end(talk, goodbye=True, address=None if talk.granted else 'localhost')
            self.assert_quiet()
        self.each_point(disturb, first='features')

    def test_close_instead_of_a_header(self):
        talk = self.conversation()
        self.go_on(talk, self.steps()[:2])
        self.sm.send("<close xmlns='%s' sto='%s' sfrom='localhost'/>" % (scripted.FRAMING, talk.names['me']))
        talk.client.expect_close()
        talk.client.close()
        self.assert_quiet()

    expect_the_end = Xmpp.expect_the_end
    locals().update(NOT_AGAIN)


del Steps, Route, Xmpp   # or their tests would be found, too


class Life(DaemonCase):
    """On the small servers of each dialect, what makes sessions come and go."""

    USERS = {'alice': 'secret', 'bob': 'secret'}

    def each(self, test):
        for dialect, more in (('sfrom', {}), ('route', {}), ('route', {'version': 'head'}), ('xmpp', {})):
            with self.subTest(dialect=dialect, **more):
                self.service = self.server(dialect, users=self.USERS, **more)
                self.daemon = self.start_with(self.service, limits={'settle_seconds': 0})
                test()
                self.assert_balanced()
                self.daemon.cleanup()

    def assert_balanced(self):
        deadline = harness.Deadline()
        while True:
            packets = self.daemon.status()['packets']
            self.assertTrue(packets['balanced'] and packets['dropped'] == 0, packets)
            if packets['held'] == 0:
                return
            self.assertTrue(deadline.left(), packets)

    def test_chat_and_presence(self):
        def test():
            alice, bob = self.daemon.login('alice').available(), self.daemon.login('bob', resource='work').available()
            harness.chat(alice, bob, 'alice@localhost/home', 'bob@localhost')
            bob.leave()
            self.service.wait_for(lambda: not self.service.service.sessions_of('bob'))
            alice.message('bob@localhost', 'later')
            alice.settle()
            self.daemon.login('bob').available().expect_message('later')
        self.each(test)

    def test_wrong_password(self):
        def test():
            client = self.daemon.client().open()
            for password in ('wrong', ''):
                self.assertEqual('error', client.try_login('alice', password or 'x', 'home').get('type'))
            self.assertEqual('error', client.try_login('nobody', 'secret', 'home').get('type'))
            client.login('alice')
        self.each(test)

    def test_replaced_session(self):
        def test():
            first = self.daemon.login('alice').available()
            second = self.daemon.login('alice').available()
            first.expect_stream_error('conflict')
            self.assertEqual(1, len(self.service.service.sessions_of('alice')))
            harness.chat(second, self.daemon.login('bob').available(), 'alice@localhost', 'bob@localhost')
        self.each(test)

    def test_kicked(self):
        def test():
            alice = self.daemon.login('alice').available()
            self.service.kick('alice')
            alice.expect('error')
            alice.expect_end()
            self.daemon.login('alice').available()
        self.each(test)

    def test_sessions_forgotten_with_the_link(self):
        """route: each is started again, and nobody notices; else they end, and may come back."""
        def test():
            alice, bob = self.daemon.login('alice').available(), self.daemon.login('bob').available()
            self.service.forget()
            self.service.drop()
            self.service.up()
            if self.service.sm.dialect == 'route':
                alice.message('bob@localhost', 'first')
                bob.settle()
                alice.settle()
            else:
                for client in (alice, bob):
                    client.message('bob@localhost', 'lost')
                    client.expect('error')
                    client.expect_end()
                alice, bob = self.daemon.login('alice').available(), self.daemon.login('bob').available()
            harness.chat(alice, bob, 'alice@localhost', 'bob@localhost')
        self.each(test)


class Slow(DaemonCase):
    """A session manager that takes its time, and one that says nothing (TableServer)."""

    RULE = ("<iq type='set' id='{id}' sto='{host}' sfrom='{me}'><query xmlns='jabber:iq:auth'>"
            "<username>{user}</username><_/></query></iq>")
    ANSWER = "<iq type='result' id='{id}' sto='{me}' sfrom='{user}@{host}/home'/>"

    def start_on(self, *rule):
        self.table = scripted.TableServer(self.manager(), [rule])
        self.addCleanup(self.table.close)
        self.daemon = self.start_with(self.table, limits={'login_seconds': 60, 'settle_seconds': 0})

    def ask(self):
        client = self.daemon.client().open()
        client.send("<iq type='set' id='a'><query xmlns='jabber:iq:auth'><username>alice</username><password>x</password>"
                    "<resource>home</resource></query></iq>")
        return client

    def test_answer_that_waits(self):
        self.start_on(self.RULE, scripted.HOLD, self.ANSWER)
        client = self.ask()
        client.send('<presence/>' * 3)  # what it says behind its login waits as well
        self.table.release()
        self.assertEqual('result', client.expect('iq').get('type'))
        self.table.wait_for(lambda: len(self.table.came) == 4)
        self.assertEqual({'alice@localhost/home'}, {e.get('sto') for e in self.table.came[1:]})

    def test_link_cut_instead_of_an_answer(self):
        self.start_on(self.RULE, scripted.CUT)
        self.ask().expect_stream_error('remote-connection-failed')


class Recording(DaemonCase):
    """c2sd where jadc2s was: what the recorded client and the recorded jabberd said, and what both of them got."""

    # Where c2sd does something else, and why.
    DEVIATIONS = {
        37: 'jadc2s loses what reaches nobody; it comes back',
        41: 'a client of before RFC 3920 is told in its own way', 42: 'a session that jabberd has ended is not ended again',
        77: 'likewise; and no such element is taken, whatever its end',
    }

    def setUp(self):
        self.sm = self.manager('route', name='jadc2s')
        self.daemon = self.start_with(self.sm, link={'notify': 'connections@foo.com'}, hosts=('foo.com',))
        self.clients, self.told, self.names = {}, [], {}

    def expect_up(self, text):
        """Notifications may come a little earlier or later than they did."""
        for wanted in elements(text):
            if wanted.name == 'message':
                self.told.append(wanted)
                continue
            found = self.sm.expect('route')
            self.assertTrue(match(wanted, found, self.names), 'expected\n%s, got\n%r' % (wanted.write(), found))

    def expect_down(self, client, text):
        if text.startswith('<stream:stream'):
            client.expect_header()
            text = text[text.index('>') + 1:]
        if text == '[EOF]':
            client.expect_close()
            client.socket.close()
        elif text.startswith('<'):
            for wanted in elements(text.replace('</stream:stream>', '')):
                found = client.expect()
                self.assertTrue(match(wanted, found, self.names), 'expected\n%s, got\n%r' % (wanted.write(), found))

    def line(self, number, who, text):
        name = re.search(r'CLI\d+', who)
        if name and who.endswith('->') and text.startswith('<?xml'):
            self.names.pop('me', None)
            self.clients[name.group()] = self.daemon.client()
        if name and who.endswith('->'):
            self.clients[name.group()].send(text)
        elif who == 'C2S->' and number == 37:
            found = self.sm.expect('route')
            self.assertEqual(('error', 'carol@foo.com/1'), (found.get('type'), found.get('to')), found)
        elif number in self.DEVIATIONS or text == '[nothing]':
            self.told += [e for e in elements(text.replace('</stream:stream>', '')) if e.name == 'message']
        elif name:
            self.expect_down(self.clients[name.group()], text)
        elif who == 'C2S->':
            self.expect_up(re.sub("sid='[0-9]+'", "sid='*'", text.replace('7@jadc2s', '{me}')))
        elif who == '->C2S':
            self.sm.send(fill(text.replace('7@jadc2s', '{me}'), self.names))

    def test_jadc2s(self):
        for number, who, text in recording('jadc2s-714f22d9-route.txt'):
            if text.startswith('unknown host'):
                break
            if number > 5 and who != '##':
                try:
                    self.line(number, who, text)
                except AssertionError as error:
                    raise AssertionError('line %d: %s' % (number, error)) from None
            if number == 9:     # nobody answered; c2sd asks one thing at a time
                self.sm.send(fill("<route type='auth' from='foo.com' to='{me}'><iq type='result' id='r0'/></route>",
                                  self.names))
                self.clients['CLI1'].expect('iq')
            if number == 51:
                self.clients['CLI2'].close()
        for wanted in self.told:
            found = self.sm.expect('message')
            wanted.attributes['from'] = '*'
            self.assertTrue(match(wanted, found, {}), 'expected\n%s, got\n%r' %
                            (wanted.write(), found))


class Links(DaemonCase):
    """A session manager that is rude to all at once."""

    def each(self, test, lost=False):
        for dialect in ('sfrom', 'route', 'xmpp'):
            with self.subTest(dialect=dialect):
                self.sm = self.manager(dialect)
                self.daemon = self.start_with(self.sm, limits={'settle_seconds': 0})
                self.alice = self.daemon.client()
                self.at = self.sm.admit(self.alice, 'alice')
                test()
                if lost and dialect == 'xmpp':  # there no session outlives its link
                    self.alice.expect_stream_error('remote-connection-failed')
                    self.alice = self.daemon.client()
                    self.at = self.sm.admit(self.alice, 'alice')
                self.sm.deliver(*self.at, "<message><body>still here</body></message>")
                self.alice.expect_message('still here')
                self.alice.message('bob@localhost', 'still heard')
                self.assertIn('still heard', repr(self.sm.expect(lambda e: 'still heard' in repr(e))))
                self.assertTrue(self.daemon.status()['packets']['balanced'])
                self.daemon.cleanup()

    def test_overridden(self):
        """Another has taken the name: the link is lost, the sessions are not (but in xmpp)."""
        def test():
            self.sm.override()
            self.sm.up()
        self.each(test, lost=True)

    def test_link_lost_in_a_packet(self):
        def test():
            self.sm.send("<message sto='%s'><body>half" % self.at[0])
            self.sm.drop()
            self.sm.up()
        self.each(test, lost=True)

    def test_packets_that_are_not_well_formed(self):
        """Each costs itself."""
        def test():
            for inner in ('<message><body>&nbsp;</body></message>', "<message a='1' a='2'/>", '<x:message/>',
                          '<message><body>\1</body></message>'):
                if self.sm.dialect == 'route':
                    self.sm.send("<route to='%s' from='%s'>%s</route>" % (*self.at, inner))
                else:
                    self.sm.send(inner.replace('message', "message sto='%s' sfrom='alice@localhost'" % self.at[0], 1))
        self.each(test)

    def test_things_that_are_nobodys(self):
        def test():
            self.daemon.may_drop = True
            for text in ('<message/>', '<route/>', "<open xmlns='%s'/>" % scripted.FRAMING,
                         "<iq type='result' to='x' sto='x'/>",
                         "<route to='@%s' from='x'/>" % self.sm.name, "<route type='session' to='%s' from='x'/>" % self.sm.name,
                         "<close xmlns='%s' sto='%s' sfrom='elsewhere'/>" % (scripted.FRAMING, 'x@' + self.sm.name)):
                self.sm.send(text)
        self.each(test)


if __name__ == '__main__':
    harness.main()
