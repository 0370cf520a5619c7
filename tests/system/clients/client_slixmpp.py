#!/usr/bin/env python3
"""client_slixmpp: slixmpp (used by Poezio and many bots) behind the command language of driver.h.

With CLIENT_LOGIN=default everything is as slixmpp does it by itself. Else it logs in by jabber:iq:auth: what it knows of
that waits for an answer in a way that its own event loop does not have; so that is said here.
"""
import asyncio
import os
import sys
from xml.sax.saxutils import escape

from slixmpp import ClientXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatcherId

LOGIN = ("<iq type='set' id='login'><query xmlns='jabber:iq:auth'><username>%s</username><password>%s</password>"
         "<resource>%s</resource></query></iq>")


def say(*words):
    print(*(str(word).replace('\n', ' ').replace('\r', ' ') for word in words), flush=True)


class Client(ClientXMPP):
    def __init__(self, jid, password):
        super().__init__(jid, password)
        self.quitting = False
        self.why = 'not logged in'
        self.register_plugin('xep_0203')    # <delay/>
        if os.environ.get('CLIENT_LOGIN') == 'default':
            self.add_event_handler('session_start', self.session_started)
        else:
            self.log_in_by_hand()
        self.add_event_handler('failed_auth', self.refused)
        self.add_event_handler('stream_error', self.stream_failed)
        self.add_event_handler('roster_update', self.roster_arrived)
        self.add_event_handler('message', self.message_arrived)
        self.add_event_handler('presence', self.presence_arrived)
        self.add_event_handler('connection_failed', lambda event: self.end('cannot connect'))
        self.add_event_handler('disconnected', lambda event: self.end(self.why))
        self.over = self.loop.create_future()
        self.online = False

    def log_in_by_hand(self):
        self.register_plugin('xep_0078')    # the feature's element
        self.unregister_feature('auth', self['xep_0078'].order)
        self.unregister_feature('mechanisms', self['feature_mechanisms'].order)
        self.register_feature('auth', self.log_in, restart=False, order=1000)
        self.register_handler(Callback('login', MatcherId('login'), self.logged_in))

    def log_in(self, features):
        self.send_raw(LOGIN % tuple(escape(text) for text in (self.requested_jid.user, self.password,
                                                               self.requested_jid.resource)))
        return True

    def logged_in(self, iq):
        if iq['type'] != 'result':
            self.end('not logged in')
            return
        self.boundjid.full = self.requested_jid.full
        self.event('session_bind', self.boundjid)
        self.event('session_start')
        self.session_started(None)

    def session_started(self, _event):
        self.online = True
        self.why = 'by the server'
        say('online', self.boundjid.full)
        self.loop.add_reader(sys.stdin.fileno(), self.command_arrived)

    def refused(self, failure):
        self.why = 'refused ' + failure['condition']

    def stream_failed(self, error):
        self.why = 'stream error ' + error['condition']

    def roster_arrived(self, iq):
        for jid, item in iq['roster']['items'].items():
            say('roster', jid, item['subscription'], item['name'])
        say('roster', 'complete' if iq['type'] == 'result' else 'pushed')

    def message_arrived(self, message):
        if message['body']:
            delayed = message.xml.find('{urn:xmpp:delay}delay') is not None or \
                message.xml.find('{jabber:x:delay}x') is not None
            say('delayed' if delayed else 'message', message['from'], message['body'])

    def presence_arrived(self, presence):
        say('presence', presence['from'], presence.xml.get('type', 'available'))

    def command_arrived(self):
        line = os.read(sys.stdin.fileno(), 65536).decode()
        if not line:
            self.quit()
        for command in line.splitlines():
            verb, _, rest = command.partition(' ')
            if verb == 'presence':
                kind, _, to = rest.partition(' ')
                self.send_raw('<presence%s%s/>' % (" type='%s'" % kind if kind else '', " to='%s'" % to if to else ''))
            elif verb == 'message':
                to, _, text = rest.partition(' ')
                self.send_message(mto=to, mbody=text, mtype='chat')
            elif verb == 'roster' and rest:
                to, _, name = rest.partition(' ')
                self.update_roster(to, name=name)
            elif verb == 'roster':
                self.get_roster()
            elif verb == 'quit':
                self.quit()

    def quit(self):
        self.loop.remove_reader(sys.stdin.fileno())
        self.quitting = True
        self.disconnect()

    def end(self, reason):
        if not self.over.done():
            self.over.set_result('quit' if self.quitting else reason)


def main():
    host, port, user, password, resource = sys.argv[1:]
    client = Client(user + '/' + resource, password)
    tls = os.environ.get('CLIENT_TLS', 'none')
    client.ca_certs = os.environ.get('CLIENT_CA')
    client.connect(address=(host, int(port)), use_ssl=tls == 'direct', force_starttls=tls == 'starttls',
                   disable_starttls=tls == 'none')
    say('closed', client.loop.run_until_complete(client.over))
    sys.exit(0 if client.quitting else 1)


if __name__ == '__main__':
    main()
