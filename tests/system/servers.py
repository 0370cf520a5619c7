"""Small session managers that real clients can live on, in each dialect: `self.server('route', users={'alice': 'secret'})`
of a DaemonCase (scripted.py, 4). What all of them know is class Service; the rest says how they speak on the link."""
import base64
import secrets
import time
from xml.sax.saxutils import escape, quoteattr

from scripted import (AUTH, BIND, FRAMING, HOME, REGISTER, ROSTER, SASL, SESSION, STANZAS, RouteSM, ScriptedSM, Server,
                      XmppSM, sha1)
from xmlstream import STREAM_ERRORS, parse


class Session:
    """Of one user, at the client that c2sd calls `identity`; `address`: its own on the link."""

    def __init__(self, user, resource, identity, address):
        self.user = user
        self.resource = resource
        self.identity = identity
        self.address = address
        self.presence = None    # the last that it sent to all, while it is available
        self.asked_roster = False


def turn(stanza):
    """To whom it came from."""
    sender, to = stanza.attributes.pop('from', None), stanza.attributes.pop('to', None)
    stanza.attributes.update({key: value for key, value in (('to', sender), ('from', to)) if value is not None})


def fail(stanza, code, condition, text=None, kind='cancel'):
    """The stanza as its sender gets it back."""
    stanza.attributes['type'] = 'error'
    stanza.children.append(parse("<error code='%d' type='%s'><%s xmlns='%s'/>%s</error>" % (
        code, kind, condition, STANZAS, "<text xmlns='%s'>%s</text>" % (STANZAS, text) if text else '')))
    turn(stanza)


def fail_old(stanza, code, _condition, text=None, _kind=None):
    """The same before RFC 3920."""
    stanza.attributes['type'] = 'error'
    stanza.children.append(parse("<error code='%d'>%s</error>" % (code, text or '')))
    turn(stanza)


class Service:
    """What a session manager knows: accounts, sessions, rosters, messages of those who are away; of one host. `send` takes
    a session and a stanza."""

    echo = True     # a session's own presence comes back to it, as RFC 6121 wants it (in 2000 it did not)

    def __init__(self, send, users=(), host='localhost', errors=fail):
        self.send_stanza = send
        self.fail = errors
        self.host = host
        self.users = dict(users)
        self.sessions = []
        self.rosters = {}       # user -> bare JID -> dict(name, subscription, ask, groups)
        self.offline = {}       # user -> stanzas

    # -- sessions

    def jid(self, session):
        return '%s@%s/%s' % (session.user, self.host, session.resource)

    def sessions_of(self, user, available=False):
        return [s for s in self.sessions if s.user == user and (s.presence is not None or not available)]

    def find(self, **wanted):
        """The first session with these, or None."""
        return next((s for s in self.sessions if all(getattr(s, k) == v for k, v in wanted.items())), None)

    def begin(self, user, resource, identity, address):
        """Returns the session and the one that it replaces, or None."""
        old = self.find(user=user, resource=resource)
        if old:
            self.finish(old)
        session = Session(user, resource, identity, address)
        self.sessions.append(session)
        return session, old

    def finish(self, session):
        """Nobody is sent anything for it any more; who sees its user sees it go."""
        if session in self.sessions:
            self.sessions.remove(session)
            if session.presence is not None:
                self.broadcast(session, parse("<presence type='unavailable'><status>Disconnected</status></presence>"))

    def authorized(self, user, query, stream_id):
        """Is what is in this jabber:iq:auth right?"""
        password = self.users.get(user)
        digest = query.child('digest')
        if password is None:
            return False
        if digest is not None:
            return digest.text.strip() == sha1((digest.get('sid') or stream_id) + password)
        return query.child_text('password') == password

    # -- stanzas

    def take(self, session, stanza):
        """A session's client sent it."""
        sender = self.jid(session)
        if stanza.get('from') != sender.partition('/')[0]:
            stanza.attributes['from'] = sender
        handler = {'message': self.take_message, 'presence': self.take_presence, 'iq': self.take_iq}.get(stanza.name)
        if handler:
            handler(session, stanza)
        else:
            stanza.attributes.pop('from')
            self.fail(stanza, 400, 'bad-request', 'Bad Request', 'modify')
            self.send_stanza(session, stanza)

    def split(self, jid):
        """(user, resource) of one of ours; None for others; user is '' for the service itself."""
        bare, _, resource = jid.partition('/')
        user, _, host = bare.rpartition('@')
        return (user.lower(), resource) if host == self.host else None

    def take_message(self, session, stanza):
        target = self.split(stanza.get('to') or '')
        if target is None or target[0] not in self.users:
            if stanza.get('type') != 'error':
                self.fail(stanza, 404, 'item-not-found')
                self.send_stanza(session, stanza)
            return
        self.deliver_message(*target, stanza)

    def deliver_message(self, user, resource, stanza):
        """To that session; to all that are available; or it waits."""
        exact = self.find(user=user, resource=resource)
        found = [exact] if exact else self.sessions_of(user, available=True)
        for session in found:
            self.send_stanza(session, stanza)
        if not found and stanza.get('type') not in ('error', 'groupchat', 'headline'):
            stanza.children.append(parse("<x xmlns='jabber:x:delay' from=%s stamp='%s'>Offline Storage</x>" % (
                quoteattr(stanza.get('to')), time.strftime('%Y%m%dT%H:%M:%S', time.gmtime()))))
            self.offline.setdefault(user, []).append(stanza)

    def take_presence(self, session, stanza):
        kind, to = stanza.get('type'), stanza.get('to')
        if to is not None:
            if kind in ('subscribe', 'subscribed', 'unsubscribe', 'unsubscribed'):
                self.subscribe(session, stanza)
            else:
                self.relay(stanza)
            return
        came = session.presence is None and kind is None
        session.presence = stanza if kind is None else None
        self.broadcast(session, stanza)
        if kind == 'unavailable':
            return
        if came:
            for jid, item in self.roster(session.user).items():
                if item['subscription'] in ('to', 'both'):
                    self.show(jid, session)
            for other in self.sessions_of(session.user, available=True):
                if other is not session:
                    self.send_stanza(session, other.presence)
            for message in self.offline.pop(session.user, []):
                self.send_stanza(session, message)

    def relay(self, stanza):
        """To the session it is for; or to all of that user."""
        target = self.split(stanza.get('to'))
        for session in self.sessions_of(target[0], available=True) if target else ():
            if target[1] in ('', session.resource):
                self.send_stanza(session, stanza)

    def broadcast(self, session, stanza):
        """Presence of that session, to whoever may see it: its user's own sessions, and those who are subscribed."""
        stanza.attributes['from'] = self.jid(session)
        if self.echo and session in self.sessions:
            self.send_stanza(session, stanza)
        for other in self.sessions_of(session.user, available=True):
            if other is not session:
                self.send_stanza(other, stanza)
        for jid, item in self.roster(session.user).items():
            if item['subscription'] in ('from', 'both'):
                stanza.attributes['to'] = jid
                self.relay(stanza)
        stanza.attributes.pop('to', None)

    def show(self, jid, session):
        """Who is there of that contact."""
        target = self.split(jid)
        for other in self.sessions_of(target[0], available=True) if target else ():
            self.send_stanza(session, other.presence)

    def take_iq(self, session, stanza):
        to = stanza.get('to')
        target = self.split(to) if to else (session.user, '')
        if target and target[0] and target[1]:
            other = self.find(user=target[0], resource=target[1])
            if other:
                self.send_stanza(other, stanza)
                return
        if stanza.get('type') in ('get', 'set'):
            self.answer_iq(session, stanza, target)
            self.send_stanza(session, stanza)

    def answer_iq(self, session, stanza, target):
        """Makes the answer of the request."""
        child = stanza.children[0] if stanza.children else None
        space, get = child.namespace if child else '', stanza.get('type') == 'get'
        answers = {ROSTER: lambda: self.take_roster(session, child, get), SESSION: lambda: None,
                   'urn:xmpp:ping': lambda: None, 'jabber:iq:private': lambda: child if get else None,
                   'jabber:iq:time': lambda: parse("<query xmlns='jabber:iq:time'><utc>20001002T12:00:00</utc></query>"),
                   'http://jabber.org/protocol/disco#info': lambda: parse(
                       "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='server' type='im'/></query>"),
                   'http://jabber.org/protocol/disco#items': lambda: parse(
                       "<query xmlns='http://jabber.org/protocol/disco#items'/>")}
        if target is None or target[1] or target[0] not in ('', session.user) or space not in answers:
            self.fail(stanza, 503, 'service-unavailable')
            return
        found = answers[space]()
        stanza.attributes['type'] = 'result'
        stanza.children = [found] if found else []
        turn(stanza)
        if 'to' in stanza.attributes and 'from' not in stanza.attributes:
            stanza.attributes['from'] = stanza.attributes.pop('to')    # jabberd: from the session itself

    # -- rosters

    def roster(self, user):
        return self.rosters.setdefault(user, {})

    def item(self, user, jid):
        return self.roster(user).setdefault(jid, dict(name=None, subscription='none', ask=None, groups=[]))

    def item_text(self, jid, item):
        text = ''.join(' %s=%s' % (key, quoteattr(item[key])) for key in ('name', 'subscription', 'ask') if item[key])
        return '<item jid=%s%s>%s</item>' % (quoteattr(jid), text, ''.join('<group>%s</group>' % escape(group)
                                                                          for group in item['groups']))

    def push(self, user, jid, text=None):
        text = text or self.item_text(jid, self.roster(user)[jid])
        for session in self.sessions_of(user):
            if session.asked_roster:
                self.send_stanza(session, parse("<iq type='set' id='push%s' to=%s><query xmlns='%s'>%s</query></iq>" % (
                    secrets.token_hex(2), quoteattr(self.jid(session)), ROSTER, text)))

    def take_roster(self, session, query, get):
        if get:
            session.asked_roster = True
            return parse("<query xmlns='%s'>%s</query>" % (ROSTER, ''.join(
                self.item_text(*pair) for pair in self.roster(session.user).items())))
        for change in query.children:
            jid = change.get('jid')
            if change.get('subscription') == 'remove':
                self.roster(session.user).pop(jid, None)
                self.push(session.user, jid, "<item jid=%s subscription='remove'/>" % quoteattr(jid))
                continue
            item = self.item(session.user, jid)
            item['name'] = change.get('name')
            item['groups'] = [child.text for child in change.children if child.name == 'group']
            self.push(session.user, jid)
        return None

    # of A's presence to B: what it says about A sees B ("to"), and about B is seen by A ("from")
    ADDS = {'subscribed': ('from', 'to')}
    TAKES = {'unsubscribed': ('from', 'to'), 'unsubscribe': ('to', 'from')}

    def change(self, user, jid, way, on):
        item = self.item(user, jid)
        ways = {'none': set(), 'both': {'to', 'from'}}.get(item['subscription'], {item['subscription']})
        ways = ways | {way} if on else ways - {way}
        item['subscription'] = 'both' if len(ways) == 2 else ways.pop() if ways else 'none'

    def subscribe(self, session, stanza):
        kind, target = stanza.get('type'), self.split(stanza.get('to'))
        mine, other = '%s@%s' % (session.user, self.host), stanza.get('to').partition('/')[0]
        stanza.attributes.update({'from': mine, 'to': other})
        item = self.item(session.user, other)
        if kind == 'subscribe':
            item['ask'] = 'subscribe'
        for table, on in ((self.ADDS, True), (self.TAKES, False)):
            if kind in table:
                self.change(session.user, other, table[kind][0], on)
                if target and target[0] in self.users:
                    self.change(target[0], mine, table[kind][1], on)
                    self.item(target[0], mine)['ask'] = None
                    self.push(target[0], mine)
        self.push(session.user, other)
        if not target or target[0] not in self.users:
            return
        found = self.sessions_of(target[0], available=True)
        for its in found:
            self.send_stanza(its, stanza)
            if kind == 'subscribed':
                self.show(mine, its)
        if not found and kind == 'subscribe':
            self.offline.setdefault(target[0], []).append(stanza)


class ServiceServer(Server):
    """What the three have in common."""

    def __init__(self, sm, users=(), host='localhost', errors=fail_old):
        super().__init__(sm)
        self.fail = errors
        self.service = Service(self.send_stanza, users, host, errors)
        self.host = host

    def send_stanza(self, session, stanza):
        raise NotImplementedError

    def end_session(self, session):
        """Tell c2sd."""
        self.sm.end(session.identity, session.address)

    def kick(self, user):
        with self.lock:
            for session in self.service.sessions_of(user):
                self.service.finish(session)
                self.end_session(session)

    def forget(self):
        """Lose all sessions without a word, as a restart would."""
        with self.lock:
            self.service.sessions.clear()

    def register(self, iq):
        """jabber:iq:register of somebody who has not logged in; makes the answer."""
        query = iq.child('query')
        if iq.get('type') == 'get':
            iq.attributes['type'] = 'result'
            iq.children = [parse("<query xmlns='%s'><username/><password/><instructions>Choose</instructions></query>" %
                                 REGISTER)]
            return
        user = (query.child_text('username') or '').lower()
        if user in self.service.users:
            self.fail(iq, 409, 'conflict', 'Username Not Available')
        else:
            self.service.users[user] = query.child_text('password')
            self.succeed(iq)

    @staticmethod
    def succeed(iq):
        iq.attributes['type'] = 'result'
        iq.children = []
        turn(iq)


class SfromServer(ServiceServer):
    """jabberd of September 2000 (link-protocol 1.3-1.5): jabber:iq:auth, where a get is a login too, and a positive answer
    is the session. With digest=False passwords are kept in a way that digests cannot be checked. `mute`: as recorded, it says
    nothing to what comes for a session that it does not know, though it was meant to (1.5 e)."""

    def __init__(self, sm=None, digest=True, mute=False, **arguments):
        super().__init__(sm or ScriptedSM(), **arguments)
        self.digest = digest
        self.mute = mute

    def attributes(self, **more):
        return super().attributes(**dict({'digest': 'yes' if self.digest else 'no'}, **more))

    def send_stanza(self, session, stanza):
        stanza = parse(stanza.write(HOME))
        stanza.attributes.update(sto=session.identity, sfrom='%s@%s' % (session.user, self.host))
        self.send(stanza.write(HOME))

    def on_element(self, element):
        sto, sfrom = element.attributes.pop('sto', None), element.attributes.pop('sfrom', None)
        target = self.service.split(sto or '')
        if target is None:
            self.undeliverable(element, sto, sfrom)
        elif not target[0]:
            if element.name == 'iq' and element.get('type') in ('get', 'set'):
                self.take_login(element, sto, sfrom)
        elif element.has_510():
            self.take_510(element, target)
        else:
            session = self.service.find(address=sto)
            if session and session.identity == sfrom:
                self.service.take(session, element)
            elif not self.mute:
                self.sm.end(sfrom, sto)

    def undeliverable(self, element, sto, sfrom):
        """No such host here."""
        if sto is None or sfrom is None or element.has_510():
            return
        kind = element.attributes.get('type')
        element.attributes.update(type='error', sto=sfrom, sfrom=sto)
        element.children.append(parse("<error code='510'%s>Server Configuration Error</error>" %
                                      (" type='%s'" % kind if kind else '')))
        self.send(element.write(HOME))

    def take_login(self, iq, sto, sfrom):
        query = iq.child('query')
        space = query.namespace if query is not None else ''
        address, old = sto, None
        if space == REGISTER:
            self.register(iq)
        elif space == AUTH and query.child_text('username'):
            user, resource = query.child_text('username').lower(), query.child_text('resource')
            if query.child('password') is None and query.child('digest') is None and resource:
                self.fail(iq, 500, '', 'Internal Server Error')
            elif not resource or not self.service.authorized(user, query, '') or \
                    (query.child('digest') is not None and not self.digest):
                self.fail(iq, 401, 'not-authorized', 'Unauthorized', 'auth')
            else:
                self.succeed(iq)
                address = '%s@%s/%s' % (user, self.host, resource)
                old = self.service.begin(user, resource, sfrom, address)[1]
        else:
            self.fail(iq, 406, 'not-acceptable', 'Not Acceptable', 'modify')
        iq.attributes.update(sto=sfrom, sfrom=address)
        self.send(iq.write(HOME))
        if old:
            self.end_session(old)

    def take_510(self, element, target):
        """The session is over; a message goes on to another one, or waits."""
        session = self.service.find(user=target[0], resource=target[1])
        if session:
            self.service.finish(session)
            self.end_session(session)   # as the original does; nobody is there any more
        found = next(child for child in element.children if child.name == 'error' and child.get('code') == '510')
        if element.name == 'message' and element.get('to') and element.get('from'):
            element.children.remove(found)
            element.attributes.pop('type')
            if found.get('type'):
                element.attributes['type'] = found.get('type')
            self.service.deliver_message(target[0], '', element)


class RouteServer(ServiceServer):
    """jabberd 1.2 to jabberd14 1.6 (link-protocol 2.2): login and session are two steps, packets travel in <route/>."""

    def __init__(self, sm=None, version='1.2', digest=True, **arguments):
        super().__init__(sm or RouteSM(version), errors=fail_old if version == '1.2' else fail, **arguments)
        self.digest = digest

    def send_stanza(self, session, stanza):
        self.send_route(stanza.write(HOME), to=session.identity, sender=session.address)

    def send_route(self, inner='', to=None, sender=None, **more):
        text = ''.join(' %s=%s' % (key, quoteattr(value)) for key, value in more.items() if value is not None)
        self.send('<route to=%s from=%s%s>%s</route>' % (quoteattr(to), quoteattr(sender), text, inner))

    def on_element(self, element):
        if element.name != 'route' or element.get('to') is None:
            return      # a notification of somebody's login, for instance
        target = self.service.split(element.get('to'))
        kind = element.get('type')
        if target is None:
            self.deliver_fail(element, 'Unable to deliver, destination unknown')
        elif kind == 'auth':
            self.take_login(element, target)
        elif kind == 'session':
            self.take_session(element, target)
        elif kind == 'error':
            self.take_error(element, target)
        elif element.children:
            self.take_data(element, target)

    def deliver_fail(self, route, text):
        if route.get('type') != 'error':
            self.send_route(''.join(child.write(HOME) for child in route.children), to=route.get('from'),
                            sender=route.get('to'), type='error', error=text)

    def take_login(self, route, target):
        iq = route.children[0]
        query = iq.child('query')
        space = query.namespace if query is not None else ''
        user, resource = target
        if iq.name == 'iq' and space == REGISTER:
            self.register(iq)
        elif iq.name != 'iq' or space != AUTH:
            self.fail(iq, 406, 'not-acceptable', 'Not Acceptable', 'modify')
        elif user not in self.service.users:
            self.fail(iq, 401, 'not-authorized', 'Unauthorized', 'auth')
        elif iq.get('type') == 'get':
            iq.attributes['type'] = 'result'
            order = ('password', 'digest') if self.sm.version == '1.2' else ('digest', 'password')
            query.children += [parse("<%s xmlns='%s'/>" % (name, AUTH)) for name in order + ('resource',)
                               if name != 'digest' or self.digest]
        elif not resource:
            self.fail(iq, 406, 'not-acceptable', 'Not Acceptable', 'modify')
        elif not self.service.authorized(user, query, '') or (query.child('digest') is not None and not self.digest):
            self.fail(iq, 401, 'not-authorized', 'Unauthorized', 'auth')
        else:
            self.succeed(iq)
        self.send_route(iq.write(HOME), to=route.get('from'), sender=route.get('to'), type='auth')

    def take_session(self, route, target):
        user, resource = target
        if user not in self.service.users or not resource:
            self.deliver_fail(route, 'Session Failed')
            return
        session, old = self.service.begin(user, resource, route.get('from'), self.sm.address(user, self.host))
        self.send_route(''.join(child.write(HOME) for child in route.children), to=session.identity,
                        sender=session.address, type='session')
        if old:
            self.end_session(old)

    def take_error(self, route, target):
        """The socket is gone; a message goes on to another session, or waits. Without a resource: the whole user."""
        session = self.service.find(address=route.get('to'))
        if session:
            self.service.finish(session)
        elif not target[1]:
            self.kick(target[0])
        for stanza in route.children:
            if stanza.name == 'message' and target[0] in self.service.users:
                self.service.deliver_message(target[0], '', stanza)

    def take_data(self, route, target):
        session = self.service.find(address=route.get('to'))
        if session and session.identity == route.get('from'):
            self.service.take(session, route.children[0])
        else:
            self.deliver_fail(route, 'Invalid Session' if target[0] in self.service.users else 'Invalid User')


class Stream:
    """A client's, in the xmpp dialect."""

    def __init__(self, identity):
        self.identity = identity
        self.user = None
        self.session = None
        self.stream_id = None


class XmppServer(ServiceServer):
    """A server of today behind the xmpp dialect: SASL PLAIN, binding, and jabber:iq:auth beside it."""

    def __init__(self, sm=None, mechanisms=('PLAIN',), **arguments):
        super().__init__(sm or XmppSM(), errors=fail, **arguments)
        self.mechanisms = mechanisms
        self.streams = {}

    def forget(self):
        with self.lock:
            super().forget()
            self.streams.clear()

    def end_session(self, session):
        self.end_stream(session.identity, 'conflict')

    def end_stream(self, identity, condition, text=''):
        self.streams.pop(identity, None)
        to = 'sto=%s sfrom=%s' % (quoteattr(identity), quoteattr(self.host))
        self.send("<stream:error %s><%s xmlns='%s'/>%s</stream:error><close xmlns='%s' %s/>" % (
            to, condition, STREAM_ERRORS, text, FRAMING, to))

    def send_stanza(self, session, stanza):
        self.answer(session.identity, stanza, '%s@%s' % (session.user, self.host))

    def answer(self, identity, stanza, sender=None):
        stanza = parse(stanza.write(HOME) if not isinstance(stanza, str) else stanza)
        stanza.attributes.update(sto=identity, sfrom=sender or self.host)
        self.send(stanza.write(HOME))

    def on_element(self, element):
        sto, sfrom = element.attributes.pop('sto', None), element.attributes.pop('sfrom', None)
        stream = self.streams.get(sfrom)
        if element.name == 'open' and element.namespace == FRAMING:
            self.take_open(element, sfrom)
        elif element.has_510():
            self.take_510(element, sto, sfrom)
        elif element.name == 'close' and element.namespace == FRAMING:
            self.take_close(stream)
        elif stream is None:
            self.unknown(sto, sfrom)
        elif element.namespace == SASL:
            self.take_sasl(stream, element)
        elif stream.session is None:
            self.take_before(stream, element)
        else:
            self.service.take(stream.session, element)

    def unknown(self, sto, sfrom):
        if '@' in sto:
            self.sm.end(sfrom, sto)
        else:
            self.send("<close xmlns='%s' sto=%s sfrom=%s/>" % (FRAMING, quoteattr(sfrom), quoteattr(sto)))

    def take_open(self, element, sfrom):
        stream = self.streams.setdefault(sfrom, Stream(sfrom))
        stream.stream_id = secrets.token_hex(8)
        host = element.get('to')
        self.send("<open xmlns='%s' sto=%s sfrom=%s from=%s id='%s' version='1.0'/>" % (
            FRAMING, quoteattr(sfrom), quoteattr(host), quoteattr(host), stream.stream_id))
        if host != self.host:
            self.end_stream(sfrom, 'host-unknown')
            return
        if stream.user is None:
            inner = "<mechanisms xmlns='%s'>%s</mechanisms><auth xmlns='http://jabber.org/features/iq-auth'/>" % (
                SASL, ''.join('<mechanism>%s</mechanism>' % name for name in self.mechanisms))
        else:
            inner = "<bind xmlns='%s'/><session xmlns='%s'><optional/></session>" % (BIND, SESSION)
        self.answer(sfrom, '<stream:features>%s</stream:features>' % inner)

    def take_close(self, stream):
        if stream:
            self.streams.pop(stream.identity)
            if stream.session:
                self.service.finish(stream.session)

    def take_510(self, element, sto, sfrom):
        self.take_close(self.streams.get(sfrom))
        found = next(child for child in element.children if child.name == 'error' and child.get('code') == '510')
        target = self.service.split(sto or '')
        if element.name == 'message' and element.get('to') and element.get('from') and target:
            element.children.remove(found)
            element.attributes.pop('type')
            if found.get('type'):
                element.attributes['type'] = found.get('type')
            self.service.deliver_message(target[0], '', element)

    def take_sasl(self, stream, element):
        if element.name != 'auth' or element.get('mechanism') not in self.mechanisms:
            self.answer(stream.identity, "<failure xmlns='%s'><%s/></failure>" % (
                SASL, 'aborted' if element.name == 'abort' else 'invalid-mechanism'))
            return
        parts = base64.b64decode(element.text).decode().split('\0')
        if len(parts) == 3 and parts[1] and self.service.users.get(parts[1].lower()) == parts[2]:
            stream.user = parts[1].lower()
            self.answer(stream.identity, "<success xmlns='%s'/>" % SASL)
        else:
            self.answer(stream.identity, "<failure xmlns='%s'><not-authorized/></failure>" % SASL)

    def take_before(self, stream, iq):
        """Before there is a session."""
        query = iq.child('query')
        bind = iq.child('bind', BIND)
        if iq.name != 'iq' or (bind is None) == (query is None) or (bind is not None and stream.user is None):
            self.end_stream(stream.identity, 'not-authorized')
        elif bind is not None:
            self.begin(stream, iq, stream.user, bind.child_text('resource') or secrets.token_hex(4))
        elif query.namespace == REGISTER:
            self.register(iq)
            self.answer(stream.identity, iq)
        elif iq.get('type') == 'get':
            iq.attributes['type'] = 'result'
            query.children += [parse("<%s xmlns='%s'/>" % (name, AUTH)) for name in ('password', 'digest', 'resource')]
            self.answer(stream.identity, iq)
        elif self.service.authorized((query.child_text('username') or '').lower(), query, stream.stream_id):
            self.begin(stream, iq, query.child_text('username').lower(), query.child_text('resource'))
        else:
            self.fail(iq, 401, 'not-authorized', 'Unauthorized', 'auth')
            self.answer(stream.identity, iq)

    def begin(self, stream, iq, user, resource):
        """The answer that makes the session comes from the full JID."""
        address = '%s@%s/%s' % (user, self.host, resource)
        binds = iq.child('bind', BIND) is not None
        stream.session, old = self.service.begin(user, resource, stream.identity, address)
        self.succeed(iq)
        if binds:
            iq.children = [parse("<bind xmlns='%s'><jid>%s</jid></bind>" % (BIND, escape(address)))]
        self.answer(stream.identity, iq, address)
        if old:
            self.end_session(old)


def server(dialect, **arguments):
    return {'sfrom': SfromServer, 'route': RouteServer, 'xmpp': XmppServer}[dialect](**arguments)
