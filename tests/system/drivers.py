"""Clients that we did not write, as processes: small programs around their libraries (the command language:
clients/driver.h), and profanity on a terminal."""
import os
import re
import shutil
import subprocess
import tempfile
import time

import harness
from harness import Deadline, Output

FOLDER = os.path.join(harness.BUILD, 'tests', 'system')
# npm install --prefix build/npm @xmpp/client@VERSION, as run-tests does.
NODE_MODULES = os.environ.get('C2SD_NODE_MODULES', os.path.join(os.path.abspath(harness.BUILD), 'npm', 'node_modules'))
DRIVERS = {
    'strophe': [os.path.join(FOLDER, 'client_strophe')],
    'loudmouth': [os.path.join(FOLDER, 'client_loudmouth')],
    'purple': [os.path.join(FOLDER, 'client_purple')],
    'net_xmpp': ['perl', os.path.join(harness.SOURCE, 'clients', 'client_net_xmpp.pl')],
    'slixmpp': ['/usr/bin/python3', os.path.join(harness.SOURCE, 'clients', 'client_slixmpp.py')],
    'xmpp_js': ['node', os.path.join(harness.SOURCE, 'clients', 'client_xmpp_js.mjs')],
}


def present(name):
    """Is that client there, or the library of that driver?"""
    if name == 'profanity':
        return bool(shutil.which('profanity') and shutil.which('tmux'))
    if name == 'go-sendxmpp':
        return bool(shutil.which(name))
    if name == 'xmpp_js':
        return bool(shutil.which('node')) and os.path.isdir(os.path.join(NODE_MODULES, '@xmpp', 'client'))
    if name == 'net_xmpp':
        return subprocess.run(['perl', '-MNet::XMPP', '-e', '1'], stderr=subprocess.DEVNULL).returncode == 0
    if name == 'slixmpp':
        return os.access(DRIVERS[name][0], os.X_OK) and \
            subprocess.run([DRIVERS[name][0], '-c', 'import slixmpp'], stderr=subprocess.DEVNULL).returncode == 0
    return os.access(DRIVERS[name][0], os.X_OK)


def skip_where_missing(case):
    if not present(case.name):
        case.__unittest_skip__ = True
        case.__unittest_skip_why__ = 'it or its library is not installed'


class Driver:
    def __init__(self, name, daemon, user, password='secret', resource='real', port=None, **environment):
        self.process = subprocess.Popen(DRIVERS[name] + ['127.0.0.1', str(port or daemon.port), user + '@localhost', password,
                                                         resource],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        # What it leaves behind when it is killed goes with the daemon's folder.
                                        env=dict(os.environ, TMPDIR=daemon.folder, CLIENT_MODULES=NODE_MODULES,
                                                 **environment),
                                        preexec_fn=harness._die_with_parent)
        self.output = Output(self.process.stdout)

    def say(self, line):
        self.process.stdin.write(line.encode() + b'\n')
        self.process.stdin.flush()

    def expect(self, pattern):
        return self.output.next(pattern)

    def quit(self):
        self.say('quit')
        self.expect('^closed quit$')
        if self.process.wait(harness.TIMEOUT) != 0:
            raise AssertionError('the client did not end well')

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


ACCOUNT = """[{jid}]
enabled=true
jid={jid}
server=127.0.0.1
port={port}
resource={resource}
password={password}
"""


class Profanity:
    """profanity as its user sees it: keys in, a screen out. Everything but the account is as it is by itself."""

    def __init__(self, daemon, user, password='secret', resource='real', port=None, authority=None):
        self.jid = user + '@localhost'
        self.folder = tempfile.mkdtemp(prefix='profanity.', dir=daemon.folder)
        self.socket = os.path.join(self.folder, 'tmux')
        home = os.path.join(self.folder, 'profanity')
        os.mkdir(home)
        with open(os.path.join(home, 'accounts'), 'w') as file:
            file.write(ACCOUNT.format(jid=self.jid, port=port or daemon.port, resource=resource, password=password))
        configuration = os.path.join(self.folder, 'tmux.conf')
        with open(configuration, 'w') as file:
            file.write("set -s exit-empty on\nnew-session -d -x 160 -y 60 'profanity -a %s'\n" % self.jid)
        # Not a server in the background: what outlived the test would be nobody's.
        self.server = subprocess.Popen(['tmux', '-u', '-S', self.socket, '-f', configuration, '-D'], env=dict(
            os.environ, HOME=self.folder, XDG_CONFIG_HOME=self.folder, XDG_DATA_HOME=self.folder, LC_ALL='C.UTF-8',
            SSL_CERT_FILE=authority or '', SHELL='/bin/sh'), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=harness._die_with_parent)

    def _tmux(self, *arguments):
        return subprocess.run(['tmux', '-u', '-S', self.socket] + list(arguments), capture_output=True, text=True,
                              timeout=harness.TIMEOUT)

    def screen(self):
        return self._tmux('capture-pane', '-p').stdout

    def say(self, line):
        """Type that."""
        self._tmux('send-keys', '-l', line)
        self._tmux('send-keys', 'Enter')

    def expect(self, pattern):
        """Wait until the screen shows that."""
        deadline = Deadline()
        while not re.search(pattern, self.screen()):
            if deadline.left() == 0:
                raise AssertionError('no %r on the screen:\n%s' % (pattern, self.screen()))
            time.sleep(0.05)    # a screen says nothing when it changes

    def quit(self):
        """It ends, and with its last session the terminal."""
        self.say('/quit')
        self.server.wait(harness.TIMEOUT)

    def close(self):
        self.server.kill()
        self.server.wait()
