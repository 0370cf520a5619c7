"""Session managers for tests: the other end of a link, in each dialect, doing whatever a test wants.

1. Step by step. `self.manager(dialect=...)` of a DaemonCase gives a ScriptedSM (sfrom), RouteSM or XmppSM. Nothing in it
   happens by itself, and anything can be sent at any time:

       sm = self.manager(dialect='route')
       daemon = self.start_with(sm)                 # the link is up
       client = daemon.client()
       identity, address = sm.admit(client, 'alice')            # a login with jabber:iq:auth, played by both ends
       sm.deliver(identity, address, "<message><body>x</body></message>")
       sm.end(identity, address)                    # what this dialect says when a session is over
       sm.send(anything); sm.expect('route'); sm.drop(); sm.refuse(); sm.up(); sm.override()

2. A conversation of a client, c2sd and the session manager, as text: class Conversation below.

3. A table: `TableServer(manager, rules)` answers by itself, in a thread: what arrives -> what is answered. A rule is a
   pattern as in a conversation and any number of answers; the first that matches counts, what none matches gets no answer.
   HOLD in front of the answers keeps them until `release()`, CUT among them cuts the link there.

       server = TableServer(self.manager(), [
           ("<iq type='set' id='{id}' sto='{host}' sfrom='{me}'><_/></iq>",
            "<iq type='result' id='{id}' sto='{me}' sfrom='alice@{host}/home'/>")])

4. Small complete servers that real clients can live on: SfromServer (jabber:iq:auth only), RouteServer (jabberd 1.2, or
   with version='head' jabberd14) and XmppServer; `self.server('route', users={'alice': 'secret'})` of a DaemonCase makes
   one, and start_with() starts a daemon on it. Accounts, sessions, rosters, subscriptions and messages of those who are
   away live in memory, and in `server.service`, for one host, 'localhost'. `server.drop()` cuts the link (it comes back by
   itself), `server.forget()` loses all sessions, as a restart would, `server.kick(user)` ends somebody's.

Names as in doc/link.md. What the servers do was compared with recordings of the real ones: test_dialects.py.
"""
import contextlib
import hashlib
import os
import re
import secrets
import select
import socket
import textwrap
import threading
from xml.sax.saxutils import escape, quoteattr

from harness import TIMEOUT, Deadline, Peer, free_port
from xmlstream import SASL, STREAM_ERRORS, STREAMS, XML, parse

FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing'
BIND = 'urn:ietf:params:xml:ns:xmpp-bind'
SESSION = 'urn:ietf:params:xml:ns:xmpp-session'
STANZAS = 'urn:ietf:params:xml:ns:xmpp-stanzas'
ROSTER = 'jabber:iq:roster'
AUTH = 'jabber:iq:auth'
REGISTER = 'jabber:iq:register'
# Whatever is written without a namespace on some stream.
HOME = ('jabber:client', 'jabber:sockets', 'jabberd:sockets', 'jabber:component:accept', '')


def sha1(text):
    return hashlib.sha1(text.encode()).hexdigest()


# ---- patterns ----

def _match_text(pattern, found, names):
    """`{name}` stands for what it was the first time, or for anything; `*` for anything."""
    if pattern == '*':
        return True
    parts = re.split(r'\{(\w+)\}', pattern)
    expression, fresh = '', []
    for number, part in enumerate(parts):
        if number % 2 == 0:
            expression += re.escape(part)
        elif part in names:
            expression += re.escape(names[part])
        elif part in fresh:
            expression += '(?P=%s)' % part
        else:
            expression += '(?P<%s>.*)' % part
            fresh.append(part)
    result = re.fullmatch(expression, found, re.S)
    if result:
        names.update(result.groupdict())
    return result is not None


def match(pattern, found, names):
    """Is `found` what the pattern says: name, namespace, all attributes, all text, all children in their order? A child <_/>
    stands for any number of any children, an attribute _='' for any further attributes. Fills in `names`."""
    def space(element):
        return '' if element.namespace in HOME else element.namespace

    if (pattern.name, space(pattern)) != (found.name, space(found)):
        return False
    wanted = dict(pattern.attributes)
    others = wanted.pop('_', None)
    if not wanted.keys() <= found.attributes.keys() or (others is None and wanted.keys() != found.attributes.keys()):
        return False
    if not all(_match_text(value, found.attributes[key], names) for key, value in wanted.items()):
        return False
    children = pattern.children
    if children and children[-1].name == '_':
        return all(match(*pair, names) for pair in zip(children[:-1], found.children)) and \
            len(children) - 1 <= len(found.children)
    return _match_text(pattern.text, found.text, names) and len(children) == len(found.children) and \
        all(match(*pair, names) for pair in zip(children, found.children))


def fill(text, names):
    return re.sub(r'\{(\w+)\}', lambda m: escape(names[m.group(1)], {"'": '&apos;'}), text)


class Conversation:
    """What a client, c2sd and a session manager say to each other, as text, one step a line; a line that begins with a blank
    belongs to the one above it.

        client: XML         the client sends it
        up:     PATTERN     it is the next that comes to the session manager
        down:   XML         the session manager sends it (done: likewise; it says that the password was right)
        session: XML        likewise; the session exists from then on (`granted`)
        gets:   PATTERN     it is the next that comes to the client
        open:               the client begins a stream, its first or the one behind SASL
        features:           the client's features come, whatever they are
        closed:             the client's stream and its connection are ended

    `{name}`s are kept in `names` from one line to the next. What is expected is compared whole (match).
    """

    def __init__(self, sm, client, **names):
        self.sm = sm
        self.client = client
        self.names = names
        self.granted = False
        self.last = None        # step
        self._said = None       # the last that the session manager sent
        self._got = None        # the last that the client was to get
        self._twice = False

    @staticmethod
    def steps(text):
        lines = []
        for line in textwrap.dedent(text).strip('\n').split('\n'):
            if line.startswith(' '):
                lines[-1] += line.strip() if line.strip().startswith('<') else line
            elif line.strip() and not line.startswith('#'):
                lines.append(line)
        return [(verb, rest.strip()) for verb, _, rest in (line.partition(':') for line in lines)]

    def play(self, text):
        for step in self.steps(text):
            self.step(*step)
        return self

    def step(self, verb, text=''):
        self.last = (verb, text)
        getattr(self, '_' + verb)(text)

    def _compare(self, text, found, who):
        before = dict(self.names)
        if not match(parse(text), found, self.names):
            raise AssertionError('%s: expected\n  %s\nwith %r, got\n  %r' % (who, text, before, found))

    def _client(self, text):
        self.client.send(fill(text, self.names))

    def _down(self, text):
        self._said = fill(text, self.names)
        self.sm.send(self._said)

    _done = _down

    def _session(self, text):
        self.granted = True
        self._down(text)

    def _up(self, text):
        self._compare(text, self.sm.expect(), 'up')

    def again(self):
        """The session manager says once more what it said last; the client may get that, too."""
        self.sm.send(self._said)
        self._twice = True

    def _gets(self, text):
        found = self.client.expect()
        while found.get('id') == 'strange':     # something that the test has sent to see it do no harm
            found = self.client.expect()
        if self._twice and (found.name == 'features' or found.get('id') == self.names.get('i', '') or self._got and
                            not match(parse(text), found, dict(self.names)) and
                            match(parse(self._got), found, self.names)):
            found = self.client.expect()
        self._got = text
        self._compare(text, found, 'gets')

    def _open(self, _text):
        self.client.open(to=self.names.get('host', 'localhost'), wait=False)

    def _features(self, _text):
        self.client.expect_header()
        self.names['stream'] = self.client.stream.header.get('id')
        self.client.features = self.client.expect('features')

    def _closed(self, _text):
        self.client.expect_end()
        self.client.close()


# ---- step by step ----

def probe_of(element):
    """The iq with which c2sd asks whether a session is still there, in whatever it travels; None: it is none."""
    iq = element.children[0] if element.name == 'route' and element.children else element
    return iq if iq.name == 'iq' and re.fullmatch('c2sd-[0-9a-f]{16}', iq.get('id') or '') else None


class LinkPeer(Peer):
    """The link, for one that knows all sessions: it answers when c2sd asks, and shows nothing of it (`sm.answers`)."""

    def __init__(self, sm, sock):
        super().__init__(sock)
        self.sm = sm

    def _read(self, deadline):
        found = super()._read(deadline)
        if self.sm.answers:
            for element in [element for element in self.pending if probe_of(element)]:
                self.pending.remove(element)
                self.sm.answer_probe(element)
        return found


class ScriptedSM:
    """The session manager's end of a link, on TCP or on a UNIX socket (`path`). The port is held all the time, so that
    it can refuse connections and come back."""

    dialect = 'sfrom'
    namespace = 'jabberd:sockets'
    name = 'foo-sockets'

    def __init__(self, path=None, secret='link secret', name=None):
        self.path = path
        self.secret = secret
        self.name = name or self.name
        self.link = None
        self._gathered = None
        self._listener = None
        self.port = None if path else free_port()

    # -- the link

    def attributes(self, **more):
        """For Daemon(link=...)."""
        address = 'unix:' + self.path if self.path else '127.0.0.1:%d' % self.port
        if self.dialect != 'sfrom':     # which is the default, and so is tested as that
            more.setdefault('dialect', self.dialect)
        return dict(name=self.name, address=address, secret=self.secret, **more)

    def listen(self):
        if self.path:
            if os.path.exists(self.path):
                os.unlink(self.path)
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(self.path)
            os.chmod(self.path, 0o666)
        else:
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(('127.0.0.1', self.port))
        self._listener.listen()
        return self

    def refuse(self):
        """Stop listening; the link stays as it is."""
        if self._listener:
            self._listener.close()
        self._listener = None

    def drop(self):
        """Cut the link."""
        if self.link:
            self.link.close()
        self.link = None

    def close(self):
        self.refuse()
        self.drop()

    def accept(self, seconds=None):
        """Take the next connection, up to its stream header; nothing is answered."""
        if not select.select([self._listener], [], [], Deadline(seconds).left())[0]:
            raise AssertionError('nobody connects to the session manager')
        self.drop()
        self.link = LinkPeer(self, self._listener.accept()[0])
        self.link.expect_header(seconds)
        return self.link

    def header(self):
        identity = secrets.token_hex(4).upper()
        self.link.send("<?xml version='1.0'?><stream:stream xmlns:stream='%s' id='%s'%s xmlns='%s'>" %
                       (STREAMS, identity, self._from(), self.namespace))
        return identity

    def _from(self):
        return ''

    def handshake(self, answer='<handshake/>'):
        """Header, and the proof of the secret, checked; `answer` is what they get."""
        identity = self.header()
        found = self.link.expect('handshake').text
        right = sha1(identity + self.secret)
        if found != right:
            raise AssertionError('handshake %r, not %r' % (found, right))
        self.link.send(answer)

    REFUSED = '<stream:error>Invalid Handshake</stream:error></stream:stream>'
    TOO_EARLY = '<stream:error>Must send handshake first</stream:error>'
    OVERRIDE = '<stream:error>Socket override by another component.</stream:error></stream:stream>'

    def override(self):
        """Somebody else took the name: what those who had it are told, and their link ends."""
        self.send(self.OVERRIDE)
        self.drop()

    def up(self, seconds=None):
        """A link in working order."""
        if self._listener is None:
            self.listen()
        self.accept(seconds)
        self.handshake()
        return self

    def send(self, data):
        if self._gathered is None:
            self.link.send(data)
        else:
            self._gathered.append(data)

    def expect(self, wanted=None, seconds=None):
        return self.link.expect(wanted, seconds)

    @contextlib.contextmanager
    def together(self):
        """Everything that is sent meanwhile goes in one write."""
        self._gathered = []
        yield
        text, self._gathered = ''.join(self._gathered), None
        self.send(text)

    # -- clients; `identity` is ID@NAME, `address` is the session's

    def let_in(self, client, user, resource='home', host='localhost', open=True):
        """Log a raw client in as that user. Returns its id on the link, ID@NAME."""
        return self.admit(client, user, resource, host, open)[0]

    def admit(self, client, user, resource='home', host='localhost', open=True):
        """The same; returns (identity, address)."""
        if open:
            self.open(client, host)
        client.send("<iq type='set' id='login'><query xmlns='jabber:iq:auth'><username>%s</username>"
                    "<password>secret</password><resource>%s</resource></query></iq>" % (user, resource))
        found = self._grant(user, host, resource)
        client.expect(lambda e: e.get('id') == 'login' and e.get('type') == 'result')
        return found

    def open(self, client, host='localhost'):
        """The client's stream, both ends of it."""
        client.open(to=host)

    @staticmethod
    def _asks(user):
        return lambda e: e.name == 'iq' and e.child('query', AUTH) is not None and \
            e.child('query').child_text('username') == user

    def _grant(self, user, host, resource):
        identity = self.expect(self._asks(user)).get('sfrom')
        address = '%s@%s/%s' % (user, host, resource)
        self.send("<iq type='result' id='login' sto=%s sfrom=%s/>" % (quoteattr(identity), quoteattr(address)))
        return identity, address

    def deliver(self, identity, address, stanza):
        """A stanza, as text, of that session for its client."""
        element = parse(stanza)
        element.attributes.update(sto=identity, sfrom=address.partition('/')[0])
        self.send(element.write(HOME))

    answers = True

    def answer_probe(self, element):
        """The session is there."""
        self.link.send("<iq type='result' id='%s' sto=%s sfrom=%s from='localhost' to=%s/>" % (
            element.get('id'), quoteattr(element.get('sfrom')), quoteattr(element.get('sto').partition('/')[0]),
            quoteattr(element.get('sto'))))

    def end(self, identity, address):
        """The session is over."""
        self.send("<message type='error' sto=%s sfrom=%s><error code='510'>Disconnected</error></message>" %
                  (quoteattr(identity), quoteattr(address)))

    def is_end(self, element):
        """Is it what c2sd says when a client is gone?"""
        return element.has_510() and len(element.children) == 1 and element.get('from') is None


class RouteSM(ScriptedSM):
    """jabberd 1.2, or (version='head') jabberd14 1.6."""

    dialect = 'route'
    namespace = 'jabber:component:accept'
    name = 'c2s.localhost'

    def __init__(self, version='1.2', **arguments):
        super().__init__(**arguments)
        self.version = version
        self._sessions = 0
        if version != '1.2':
            error = "<stream:error><%%s xmlns='%s'/><text xmlns='%s' xml:lang='en'>%%s</text></stream:error>" % (
                STREAM_ERRORS, STREAM_ERRORS)
            self.REFUSED = error % ('not-authorized', 'Invalid handshake')
            self.TOO_EARLY = error % ('not-authorized', 'Must send handshake first.')
            self.OVERRIDE = error % ('conflict', 'Socket override by another connection.')

    REFUSED = '<stream:error>Invalid Handshake</stream:error>'

    def _from(self):
        return '' if self.version == '1.2' else " from='%s'" % self.name

    def accept(self, seconds=None):
        """1.2 is particular about the header."""
        link = super().accept(seconds)
        header = link.stream.header
        if header.get('to') != self.name:
            raise AssertionError('the header of c2sd is to %r' % header.get('to'))
        return link

    def address(self, user, host):
        self._sessions += 1
        return '%s@%s/%x' % (user, host, 0x9ee70060 + self._sessions)

    @staticmethod
    def _asks(user):
        return lambda e: e.name == 'route' and e.get('type') == 'auth' and ScriptedSM._asks(user)(e.children[0])

    def _grant(self, user, host, resource):
        identity = self.expect(self._asks(user)).get('from')
        full, address = '%s@%s/%s' % (user, host, resource), self.address(user, host)
        self.send("<route type='auth' to=%s from=%s><iq type='result' id='login'/></route>" %
                  (quoteattr(identity), quoteattr(full)))
        asked = self.expect(lambda e: e.name == 'route' and e.get('type') == 'session' and e.get('from') == identity)
        asked.attributes.update({'to': identity, 'from': address})
        self.send(asked.write(HOME))
        return identity, address

    def deliver(self, identity, address, stanza):
        self.send("<route to=%s from=%s>%s</route>" % (quoteattr(identity), quoteattr(address), stanza))

    def answer_probe(self, element):
        self.link.send("<route to=%s from=%s><iq type='result' id='%s'/></route>" % (
            quoteattr(element.get('from')), quoteattr(element.get('to')), element.children[0].get('id')))

    def end(self, identity, address, error='Disconnected'):
        self.send("<route type='error' error=%s to=%s from=%s/>" %
                  (quoteattr(error), quoteattr(identity), quoteattr(address)))

    def is_end(self, element):
        return element.name == 'route' and element.get('type') == 'error' and not element.children


class XmppSM(ScriptedSM):
    dialect = 'xmpp'
    namespace = 'jabber:component:accept'
    name = 'c2s.localhost'
    REFUSED = ("<stream:error><not-authorized xmlns='%s'/></stream:error></stream:stream>" % STREAM_ERRORS)
    OVERRIDE = "<stream:error><conflict xmlns='%s'/></stream:error></stream:stream>" % STREAM_ERRORS

    def accept(self, seconds=None):
        """The header says whom it is for, and that what has no language has not the link's."""
        link = super().accept(seconds)
        header = link.stream.header
        if header.get('to') != self.name or header.get(XML + ' lang') != '':
            raise AssertionError('the header of c2sd is %r' % header.attributes)
        return link

    def _from(self):
        return " from='%s'" % self.name

    def open(self, client, host='localhost', features="<auth xmlns='http://jabber.org/features/iq-auth'/>"):
        client.open(to=host, wait=False)
        asked = self.expect('open')
        self.answer_open(asked, features)
        client.expect_header()
        client.features = client.expect('features')
        return asked

    def answer_open(self, asked, features=''):
        ends = 'sto=%s sfrom=%s' % (quoteattr(asked.get('sfrom')), quoteattr(asked.get('to')))
        self.send("<open xmlns='%s' %s from=%s id='%s' version='1.0'/><stream:features %s>%s</stream:features>" % (
            FRAMING, ends, quoteattr(asked.get('to')), secrets.token_hex(4), ends, features))


def manager(dialect='sfrom', **arguments):
    return {'sfrom': ScriptedSM, 'route': RouteSM, 'xmpp': XmppSM}[dialect](**arguments)


# ---- by itself ----

HOLD, CUT = 'hold', 'cut'


class Server(threading.Thread):
    """A session manager of whichever dialect, that answers by itself. What a test calls and what the thread does is done
    under one lock. An exception in the thread is raised again in close()."""

    def __init__(self, sm):
        super().__init__(daemon=True)
        self.sm = sm
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.came = []      # every element that came over the link
        self.trouble = None
        self.is_up = False
        self._proof = None
        self._ends = False
        self._wake, self._waker = socket.socketpair()

    # what start_with() and tests want of a session manager

    def attributes(self, **more):
        return self.sm.attributes(**more)

    def listen(self):
        self.sm.listen()
        self.start()
        return self

    def up(self, seconds=None):
        with self.changed:
            if not self.changed.wait_for(lambda: self.is_up or self.trouble, Deadline(seconds).left()):
                raise AssertionError('the link does not come up')
        return self

    def drop(self):
        """Cut the link; c2sd comes back by itself."""
        with self.lock:
            self.is_up = False
            self.sm.drop()
            self._waker.send(b'x')

    def close(self):
        with self.lock:
            self._ends = True
            self._waker.send(b'x')
        if self.is_alive():
            self.join(TIMEOUT)
        self.sm.close()
        self._wake.close()
        self._waker.close()
        if self.trouble:
            raise self.trouble

    def send(self, text):
        with self.lock:
            if self.sm.link:
                self.sm.send(text)

    def wait_for(self, predicate, seconds=None):
        """Until something in here is as the test wants it."""
        with self.changed:
            if not self.changed.wait_for(predicate, Deadline(seconds).left()):
                raise AssertionError('the session manager waits in vain; what came last: %r' % self.came[-5:])

    # the thread

    def run(self):
        while not self._ends:
            with self.lock:
                watched = [self._wake] + [s for s in (self.sm._listener, self.sm.link and self.sm.link.socket)
                                          if s and s.fileno() >= 0]
            try:
                ready = select.select(watched, [], [])[0]
            except OSError:     # it was closed meanwhile, by drop()
                continue
            with self.lock:
                try:
                    self._turn(ready)
                except (BrokenPipeError, ConnectionResetError):
                    self._down()
                except Exception as error:     # for the test, which is in another thread
                    self.trouble = error
                    self._ends = True
                self.changed.notify_all()

    def _turn(self, ready):
        if self._wake in ready:
            self._wake.recv(100)
        if self.sm._listener in ready:
            if self.sm.link:
                self.sm.override()
            self.sm.link = Peer(self.sm._listener.accept()[0])
            self._proof = None
            self.is_up = False
        elif self.sm.link and self.sm.link.socket in ready:
            self.sm.link._read(Deadline(0))
        if self.sm.link and self._proof is None and self.sm.link.stream.header:
            self._proof = sha1(self.sm.header() + self.sm.secret)
        while self.sm.link and self.sm.link.pending:
            element = self.sm.link.pending.pop(0)
            if self.is_up:
                self.came.append(element)
                self.on_element(element)
            else:
                self._shake_hands(element)
        if self.sm.link and (self.sm.link.ended or self.sm.link.stream.closed):
            self._down()

    def _shake_hands(self, element):
        if element.name != 'handshake':
            self.sm.send(self.sm.TOO_EARLY)
        elif element.text != self._proof:
            self.sm.send(self.sm.REFUSED)
            self._down()
        else:
            self.sm.send('<handshake/>')
            self.is_up = True

    def _down(self):
        self.is_up = False
        self.sm.drop()

    def on_element(self, element):
        raise NotImplementedError


class TableServer(Server):
    """See the head of this file."""

    def __init__(self, sm, rules):
        super().__init__(sm)
        self.rules = [(parse(pattern), answers) for pattern, *answers in rules]
        self._held = []

    def on_element(self, element):
        for pattern, answers in self.rules:
            names = {}
            if match(pattern, element, names):
                if answers and answers[0] == HOLD:
                    self._held.append((answers[1:], names))
                else:
                    self._answer(answers, names)
                return

    def _answer(self, answers, names):
        for answer in answers:
            if answer == CUT:
                self._down()
                return
            self.send(fill(answer, names))

    def release(self):
        """What was held, in its order, once `HOLD` was reached."""
        self.wait_for(lambda: self._held)
        with self.lock:
            held, self._held = self._held, []
            for answers, names in held:
                self._answer(answers, names)
