#!/usr/bin/perl
# client_net_xmpp: Perl's Net::XMPP (used by sendxmpp) behind the command language of driver.h.
#
# Where the features list no SASL mechanism, AuthSend asks with a jabber:iq:auth get and then logs in.
use strict;
use warnings;

use Encode;
use Net::XMPP;

@ARGV == 5 or die "usage: $0 HOST PORT USER\@SERVER PASSWORD RESOURCE\n";
my ($host, $port, $jid, $password, $resource) = @ARGV;
my ($user, $server) = split /@/, $jid, 2;
my $client = Net::XMPP::Client->new($ENV{CLIENT_DEBUG} ? (debuglevel => 2, debugfile => 'stdout') : ());

sub
line_write
{
	my @words = map { defined $_ ? $_ : '' } @_;

	s/[\r\n]/ /g for @words;
	print "@words\n";
}

sub
message_arrived
{
	my (undef, $message) = @_;
	my $delayed = $message->GetXML() =~ /urn:xmpp:delay|jabber:x:delay/;

	return if $message->GetBody() eq '';
	line_write($delayed ? 'delayed' : 'message', $message->GetFrom(), $message->GetBody());
}

sub
presence_arrived
{
	my (undef, $presence) = @_;

	line_write('presence', $presence->GetFrom() || '-', $presence->GetType() || 'available');
}

sub
command_obey
{
	my ($verb, @rest) = split / /, $_[0], 3;

	if ($verb eq 'presence') {
		$client->PresenceSend(@rest ? (type => $rest[0]) : (), @rest > 1 ? (to => $rest[1]) : ());
	} elsif ($verb eq 'message') {
		$client->MessageSend(to => $rest[0], type => 'chat', body => $rest[1]);
	} elsif ($verb eq 'quit') {
		return 0;
	}
	return 1;
}

# Only whole lines are obeyed; the end of the input is a quit.
sub
commands_obey
{
	my ($pending) = @_;
	my $set = '';

	vec($set, 0, 1) = 1;
	while (select(my $ready = $set, undef, undef, 0.02) > 0) {
		return 0 if !sysread(STDIN, $$pending, 4096, length $$pending);
		while ($$pending =~ s/^([^\n]*)\n//) {
			return 0 if !command_obey(decode_utf8($1));
		}
	}
	return 1;
}

sub
closed
{
	my ($reason, $status) = @_;

	line_write('closed', $reason);
	exit $status;
}

$| = 1;
binmode STDOUT, ':utf8';
$client->SetCallBacks(message => \&message_arrived, presence => \&presence_arrived);
$client->Connect(hostname => $host, port => $port, componentname => $server, connectiontype => 'tcpip', tls => 0)
    or closed('cannot connect', 1);
my @answer = $client->AuthSend(username => $user, password => $password, resource => $resource);
closed('not logged in', 1) if !@answer || $answer[0] ne 'ok';
line_write('online', "$jid/$resource");

my $input = '';
while (commands_obey(\$input)) {
	closed('by the server', 1) if !defined $client->Process(0);
}
$client->Disconnect();
closed('quit', 0);
