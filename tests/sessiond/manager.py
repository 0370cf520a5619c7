"""Plays the master to the real program, and the clients behind it."""
import hashlib
import os
import re
import socket
import subprocess

SECRET = 's3cret'
SECONDS = 20


class Manager:
    """Plays the master: the link on descriptor 3, settings and log on descriptor 4."""

    def __init__(self, program, database, settings=None):
        self.link, theirs = socket.socketpair()
        self.link.settimeout(SECONDS)
        self.text = ''
        self.control, their_control = socket.socketpair()
        self.control.settimeout(SECONDS)
        self.lines = ''
        if settings is None:
            settings = ('host=localhost\nname=foo-sockets\nsecret=%s\ndatabase=%s\nregistration=yes\n'
                        % (SECRET, database))
        self.change(settings)

        def place():
            link, control = os.dup(theirs.fileno()), os.dup(their_control.fileno())
            while link < 10 or control < 10:
                link, control = os.dup(link), os.dup(control)
            os.dup2(link, 3)
            os.dup2(control, 4)

        self.process = subprocess.Popen([program], stderr=subprocess.PIPE, close_fds=False, preexec_fn=place)
        theirs.close()
        their_control.close()

    def change(self, settings):
        self.control.sendall(settings.encode() + b'\n')

    def expect_line(self, line):
        """Read the log until this line of it."""
        while line + '\n' not in self.lines:
            more = self.control.recv(65536)
            if not more:
                raise AssertionError('no %r in %r' % (line, self.lines))
            self.lines += more.decode()
        self.lines = self.lines[self.lines.index(line + '\n') + len(line) + 1:]

    def send(self, text):
        self.link.sendall(text.encode())

    def expect(self, pattern):
        """Read until it is there; what stood before it is gone."""
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found
            more = self.link.recv(65536)
            if not more:
                raise AssertionError('no %r in %r' % (pattern, self.text))
            self.text += more.decode()

    def shake(self, secret=SECRET):
        self.send("<stream:stream xmlns='jabber:sockets' xmlns:stream='http://etherx.jabber.org/streams'>")
        identity = self.expect(" id='([0-9a-f]+)'").group(1)
        self.send('<handshake>%s</handshake>' % hashlib.sha1((identity + secret).encode()).hexdigest())
        return self

    def open(self):
        self.shake().expect('<handshake/>')
        return self

    def ask(self, name, fields, client):
        self.send("<iq type='set' id='q' sto='localhost' sfrom='%s@foo-sockets'>"
                  "<query xmlns='jabber:iq:%s'>%s</query></iq>" % (client, name, fields))
        self.expect("<iq [^>]*type='result'[^>]*>")

    def register(self, user, client):
        self.ask('register', '<username>%s</username><password>pw</password>' % user, client)

    def login(self, user, client):
        self.ask('auth', '<username>%s</username><password>pw</password><resource>r</resource>' % user, client)

    def stanza(self, user, client, name, attributes, content):
        self.send("<%s %s sto='%s@localhost/r' sfrom='%s@foo-sockets'>%s</%s>"
                  % (name, attributes, user, client, content, name))

    def ping(self, user, client):
        """What was sent before it has been handled, and its turn committed."""
        self.stanza(user, client, 'iq', "type='get' id='ping'", "<ping xmlns='urn:xmpp:ping'/>")
        self.expect("<iq [^>]*id='ping'[^>]*>")

    def kill(self):
        self.process.kill()
        self.end()

    def end(self):
        """Its exit status. `log` is what it said to the master, `errors` on standard error."""
        self.log = self.lines
        while self.control.fileno() >= 0:
            try:
                more = self.control.recv(65536)
            except ConnectionResetError:  # it left settings unread
                break
            if not more:
                break
            self.log += more.decode()
        status = self.process.wait(SECONDS)
        self.errors = self.process.stderr.read().decode()
        self.process.stderr.close()
        self.link.close()
        self.control.close()
        return status
