#!/usr/bin/python3
"""The dialect `route`, against a scripted jabberd 1.2 and 1.6 (scripted.py, servers.py)."""
import base64
import os
import signal

from harness import DaemonCase, main, tls_context
from scripted import Conversation

OPEN = "open:\nfeatures:\n"
LOGIN = """
client: <iq type='set' id='a'><query xmlns='jabber:iq:auth'><username>Alice</username><password>pw</password><resource>home</resource></query></iq>
up: <route type='auth' to='alice@{host}/home' from='{me}'><iq type='set' id='a'><query xmlns='jabber:iq:auth'><username>Alice</username><password>pw</password><resource>home</resource></query></iq></route>
down: <route type='auth' from='alice@{host}/home' to='{me}'><iq type='result' id='a'/></route>
up: <route type='session' to='alice@{host}/home' from='{me}'><iq type='result' id='a'/></route>
"""
STARTED = LOGIN + """
down: <route type='session' from='alice@{host}/5a5a' to='{me}'><iq type='result' id='a'/></route>
gets: <iq type='result' id='a'/>
"""


class Legacy(DaemonCase):
    def talk(self, text, **names):
        sm = self.manager(dialect='route')
        daemon = self.start_with(sm)
        conversation = Conversation(sm, daemon.client(), host='localhost', **names)
        return conversation.play(OPEN + text), daemon

    def test_fields_are_asked_for(self):
        self.talk("""
client: <iq type='get' id='g'><query xmlns='jabber:iq:auth'><username>Alice</username></query></iq>
up: <route type='auth' to='alice@{host}' from='{me}'><iq type='get' id='g'><query xmlns='jabber:iq:auth'><username>Alice</username></query></iq></route>
down: <route type='auth' from='alice@{host}' to='{me}'><iq type='result' id='g'><query xmlns='jabber:iq:auth'><username/><password/><digest/><resource/></query></iq></route>
gets: <iq type='result' id='g'><query xmlns='jabber:iq:auth'><username/><password/><digest/><resource/></query></iq>
""" + STARTED)

    def test_answer_without_the_login_result(self):
        self.talk(LOGIN + """
down: <route type='session' from='alice@{host}/5a5a' to='{me}'/>
gets: <iq type='result' id='a'/>
""")

    def test_data(self):
        self.talk(STARTED + """
client: <message to='bob@localhost'><body>hi &amp; bye</body></message>
up: <route to='alice@{host}/5a5a' from='{me}'><message to='bob@localhost'><body>hi &amp; bye</body></message></route>
down: <route from='alice@{host}/5a5a' to='{me}'><message from='bob@localhost/w' to='alice@localhost'><body>yo</body></message></route>
gets: <message from='bob@localhost/w' to='alice@localhost'><body>yo</body></message>
client: </stream:stream>
up: <route type='error' to='alice@{host}/5a5a' from='{me}'/>
closed:
""")

    def test_ended(self):
        self.talk(STARTED + """
down: <route type='error' error='Disconnected' from='alice@{host}/5a5a' to='{me}'/>
gets: <stream:error xmlns:stream='http://etherx.jabber.org/streams'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams' _=''>Disconnected</text></stream:error>
closed:
""")

    def test_session_failed(self):
        self.talk(LOGIN + """
down: <route type='error' error='Session Failed' from='alice@{host}/home' to='{me}'/>
gets: <iq type='error' id='a'><error code='500' type='wait'><internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
""" + STARTED)

    def test_session_forgotten(self):
        conversation, daemon = self.talk(STARTED + """
client: <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
up: <route to='alice@{host}/5a5a' from='{me}'><iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq></route>
client: <presence><show>away</show></presence>
up: <route to='alice@{host}/5a5a' from='{me}'><presence><show>away</show></presence></route>
client: <message to='bob@localhost'><body>1</body></message><message to='bob@localhost'><body>2</body></message>
up: <route to='alice@{host}/5a5a' from='{me}'><message to='bob@localhost'><body>1</body></message></route>
up: <route to='alice@{host}/5a5a' from='{me}'><message to='bob@localhost'><body>2</body></message></route>
down: <route type='error' error='Invalid Session' from='alice@{host}/5a5a' to='{me}'><message to='bob@localhost'><body>1</body></message></route>
up: <route type='session' to='alice@{host}/home' from='{me}'/>
client: <message to='bob@localhost'><body>3</body></message>
down: <route type='error' error='Invalid Session' from='alice@{host}/5a5a' to='{me}'><message to='bob@localhost'><body>2</body></message></route>
down: <route type='session' from='alice@{host}/6b6b' to='{me}'/>
up: <route to='alice@{host}/6b6b' from='{me}'><iq type='get' id='c2sd-roster'><query xmlns='jabber:iq:roster'/></iq></route>
up: <route to='alice@{host}/6b6b' from='{me}'><presence><show>away</show></presence></route>
up: <route to='alice@{host}/6b6b' from='{me}'><message to='bob@localhost'><body>1</body></message></route>
up: <route to='alice@{host}/6b6b' from='{me}'><message to='bob@localhost'><body>2</body></message></route>
up: <route to='alice@{host}/6b6b' from='{me}'><message to='bob@localhost'><body>3</body></message></route>
down: <route from='alice@{host}/6b6b' to='{me}'><iq type='result' id='c2sd-roster'><query xmlns='jabber:iq:roster'/></iq></route>
down: <route from='alice@{host}/6b6b' to='{me}'><message from='bob@localhost/w'><body>yo</body></message></route>
gets: <message from='bob@localhost/w'><body>yo</body></message>
client: </stream:stream>
up: <route type='error' to='alice@{host}/6b6b' from='{me}'/>
closed:
""")
        daemon.stop()

    def test_session_cannot_be_had_again(self):
        self.talk(STARTED + """
client: <presence/>
up: <route to='alice@{host}/5a5a' from='{me}'><presence/></route>
down: <route type='error' error='Invalid Session' from='alice@{host}/5a5a' to='{me}'><presence/></route>
up: <route type='session' to='alice@{host}/home' from='{me}'/>
down: <route type='error' error='Session Failed' from='alice@{host}/home' to='{me}'/>
gets: <stream:error xmlns:stream='http://etherx.jabber.org/streams'><internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams' _=''>Session Failed</text></stream:error>
closed:
""")

    def test_packet_for_nobody_goes_back(self):
        self.talk(STARTED + """
down: <route from='carol@{host}/1' to='99@c2s.localhost'><message from='b@c' to='carol@localhost'><body>x</body></message></route>
up: <route type='error' to='carol@{host}/1' from='99@c2s.localhost'><message from='b@c' to='carol@localhost'><body>x</body></message></route>
down: <route type='session' from='carol@{host}/1' to='99@c2s.localhost'/>
up: <route type='error' to='carol@{host}/1' from='99@c2s.localhost'/>
down: <route type='session' from='alice@{host}/7c7c' to='{me}'/>
up: <route type='error' to='alice@{host}/7c7c' from='{me}'/>
""")


class Notify(DaemonCase):
    TOLD = "<message to='watch@{host}' from='{me}'><update xmlns='http://amessage.info/protocol/connectionstate'>" \
        "<jid>alice@localhost/home</jid><%s/><ip>127.0.0.1</ip></update></message>"

    def begin(self):
        sm = self.manager(dialect='route')
        daemon = self.start_with(sm, link={'notify': 'watch@localhost'})
        conversation = Conversation(sm, daemon.client(), host='localhost')
        conversation.play(OPEN + STARTED.rstrip().rpartition('\n')[0] + """
up: """ + self.TOLD % 'login' + """
gets: <iq type='result' id='a'/>
""")
        return daemon, conversation

    def test_login_and_logout(self):
        conversation = self.begin()[1]
        conversation.play("""
client: <message to='watch@localhost' from='{me}'><update xmlns='http://amessage.info/protocol/connectionstate'/></message>
up: <route to='alice@{host}/5a5a' from='{me}'><message to='watch@localhost' from='{me}'><update xmlns='http://amessage.info/protocol/connectionstate'/></message></route>
client: </stream:stream>
up: <route type='error' to='alice@{host}/5a5a' from='{me}'/>
up: """ + self.TOLD % 'logout')

    def test_worker_dies(self):
        daemon, conversation = self.begin()
        daemon.may_lose_workers = True
        for pid in daemon.worker_pids():
            os.kill(pid, signal.SIGKILL)
        conversation.play("""
up: <route type='error' to='alice@{host}/5a5a' from='{me}'/>
up: """ + self.TOLD % 'logout')


BOUND = """
client: <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>
up: <route type='auth' to='alice@{host}' from='{me}'><iq type='get' id='{get}'><query xmlns='jabber:iq:auth'><username>alice</username></query></iq></route>
down: <route type='auth' from='alice@{host}' to='{me}'><iq type='result' id='{get}'><query xmlns='jabber:iq:auth'><username>alice</username><password/><resource/></query></iq></route>
up: <route type='auth' to='alice@{host}/{invented}' from='{me}'><iq type='set' id='{set}'><query xmlns='jabber:iq:auth'><username>alice</username><password>secret</password><resource>{invented}</resource></query></iq></route>
down: <route type='auth' from='alice@{host}/{invented}' to='{me}'><iq type='result' id='{set}'/></route>
gets: <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>
open: again
features:
client: <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>home</resource></bind></iq>
up: <route type='session' to='alice@{host}/home' from='{me}'/>
"""


class Sasl(DaemonCase):
    def talk(self, text):
        sm = self.manager(dialect='route')
        daemon = self.start_with(sm, tls='both')
        client = daemon.client()
        client.open().starttls(tls_context())
        plain = base64.b64encode(b'\0alice\0secret').decode()
        conversation = Conversation(sm, client, host='localhost', plain=plain)
        return conversation.play(text), daemon

    def test_login(self):
        self.talk(BOUND + """
down: <route type='session' from='alice@{host}/5a5a' to='{me}'/>
gets: <iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@localhost/home</jid></bind></iq>
client: <iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq><presence/>
gets: <iq type='result' id='s'/>
up: <route to='alice@{host}/5a5a' from='{me}'><presence/></route>
down: <route type='error' error='Invalid Session' from='alice@{host}/5a5a' to='{me}'><presence/></route>
up: <route type='session' to='alice@{host}/home' from='{me}'/>
""")

    def test_session_failed(self):
        self.talk(BOUND + """
down: <route type='error' error='Session Failed' from='alice@{host}/home' to='{me}'/>
gets: <iq type='error' id='b'><error code='503' type='wait'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
client: <iq type='set' id='c'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>
up: <route type='session' to='alice@{host}/{another}' from='{me}'/>
down: <route type='session' from='alice@{host}/5a5a' to='{me}'/>
gets: <iq type='result' id='c'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@localhost/{another}</jid></bind></iq>
""")

    def test_wrong_password(self):
        self.talk("""
client: <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>
up: <route type='auth' to='alice@{host}' from='{me}'><iq type='get' id='{get}'><_/></iq></route>
down: <route type='auth' from='alice@{host}' to='{me}'><iq type='result' id='{get}'><query xmlns='jabber:iq:auth'><username>alice</username><password/><digest/><resource/></query></iq></route>
up: <route type='auth' to='alice@{host}/{invented}' from='{me}'><iq type='set' id='{set}'><query xmlns='jabber:iq:auth'><username>alice</username><digest _=''>{digest}</digest><resource>{invented}</resource></query></iq></route>
down: <route type='auth' from='alice@{host}/{invented}' to='{me}'><iq type='error' id='{set}'><error code='401'>Unauthorized</error></iq></route>
gets: <failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/><_/></failure>
""")


class Life(DaemonCase):
    """With the small jabberd of servers.py, in both versions."""

    version = '1.2'

    def setUp(self):
        self.jabberd = self.server('route', version=self.version, users={'alice': 'secret', 'bob': 'secret'})
        self.daemon = self.start_with(self.jabberd)

    def say(self, sender, text):
        sender.send("<message to='bob@localhost' type='chat'><body>%s</body></message>" % text)

    def hear(self, receiver, text):
        receiver.expect(lambda e: e.name == 'message' and e.child_text('body') == text)

    def test_jabberd_is_restarted(self):
        alice, bob = (self.daemon.login(user).available() for user in ('alice', 'bob'))
        self.say(alice, 'before')
        self.hear(bob, 'before')
        self.jabberd.forget()
        for number in range(20):
            self.say(alice, 'm%d' % number)
        # Who says nothing is not started again: the messages wait for him.
        bob.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        for number in range(20):
            self.hear(bob, 'm%d' % number)

    def test_replaced(self):
        first = self.daemon.login('alice').available()
        self.daemon.login('alice').available()
        first.expect(lambda e: e.name == 'error' and e.child('conflict') is not None)
        first.expect_end()

    def test_link_is_cut(self):
        alice, bob = (self.daemon.login(user).available() for user in ('alice', 'bob'))
        mark = self.daemon.log.mark()
        self.jabberd.drop()
        # What is written before that is seen has arrived, as far as anybody knows.
        self.daemon.log.wait(' link lost', since=mark)
        self.say(alice, 'behind the cut')
        self.hear(bob, 'behind the cut')


class LifeOfHead(Life):
    version = 'head'


if __name__ == '__main__':
    main()
