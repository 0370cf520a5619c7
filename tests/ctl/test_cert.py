#!/usr/bin/env python3
"""c2sctl cert: what it makes, for whom, where, with which modes; what it does not overwrite; what it says when it cannot."""
import grp
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'system'))
import harness

C2SCTL = os.environ['C2SCTL']
ROOT = os.getuid() == 0
# Somebody who is always there; the folder is his where we are root and he is to write to it.
NOBODY = pwd.getpwnam('nobody')


class Cert(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='c2sd-test.')
        harness.Guard.watch(self.folder)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.tls = os.path.join(self.folder, 'tls')
        self.chain = os.path.join(self.tls, 'cert.pem')
        self.key = os.path.join(self.tls, 'key.pem')

    def configuration(self, text):
        path = os.path.join(self.folder, 'c2sd.xml')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        return path

    def standard(self, hosts=('one.example',)):
        return self.configuration('<c2sd>%s<user name="nobody"/></c2sd>' %
                                  ''.join('<host>%s</host>' % host for host in hosts))

    def command(self, *arguments, folder=None, **more):
        return subprocess.run([C2SCTL, 'cert', '--folder', folder or self.tls] + list(arguments), capture_output=True,
                              text=True, timeout=harness.TIMEOUT, **more)

    def make(self, *arguments, **more):
        """With a configuration, so that a service's user is there; what it says with --json."""
        if '-c' not in arguments:
            arguments = ('-c', self.standard()) + arguments
        result = self.command('--json', *arguments, **more)
        self.assertEqual((0, ''), (result.returncode, result.stderr))
        return json.loads(result.stdout)

    def refused(self, *arguments, status=1, **more):
        """What it says on standard error, which is one line; and it leaves nothing."""
        before = self.files()
        result = self.command(*arguments, **more)
        self.assertEqual((status, ''), (result.returncode, result.stdout))
        self.assertRegex(result.stderr, r'\Ac2sctl: [^\n]+\n\Z')
        self.assertEqual(before, self.files())
        return result.stderr

    def files(self):
        found = {}
        for folder, _, names in os.walk(self.tls):
            for name in names:
                with open(os.path.join(folder, name), 'rb') as file:
                    found[name] = file.read()
        return found

    def openssl(self, *arguments):
        result = subprocess.run(['openssl'] + list(arguments), capture_output=True, text=True)
        self.assertEqual(0, result.returncode, result.stderr)
        return result.stdout

    def text(self, *more):
        return self.openssl('x509', '-in', self.chain, '-noout', *(more or ['-text']))


class Made(Cert):
    def setUp(self):
        super().setUp()
        if not shutil.which('openssl'):
            self.skipTest('openssl is not installed')

    def test_names(self):
        said = self.make('One.Example', 'two.example.', 'one.example', 'b\u00fccher.example', '192.0.2.7', '2001:db8::7')
        hosts = ['one.example', 'two.example', 'xn--bcher-kva.example', '192.0.2.7', '2001:db8::7']
        self.assertEqual(hosts, said['hosts'])
        text = self.text('-ext', 'subjectAltName')
        self.assertEqual(hosts[:3], re.findall(r'DNS:([^,\s]+)', text))
        self.assertEqual(['_xmpp-client.' + host for host in hosts[:3]], re.findall(r'SRVName::([^,\s]+)', text))
        self.assertEqual(['192.0.2.7', '2001:DB8:0:0:0:0:0:7'], re.findall(r'IP Address:([^,\s]+)', text))
        for host in hosts[:3]:
            self.openssl('verify', '-CAfile', self.chain, '-verify_hostname', host, '-purpose', 'sslserver', self.chain)
        for address in hosts[3:]:
            self.openssl('verify', '-CAfile', self.chain, '-verify_ip', address, self.chain)
        self.assertIn('CN = one.example', self.text('-subject'))

    def test_hosts_of_the_configuration(self):
        file = self.configuration('<c2sd>\n<listen/><host> one.example\n</host><!-- x --><host>two.example</host>'
                                  '<user name="nobody"/></c2sd>')
        self.assertEqual(['one.example', 'two.example'], self.make('-c', file)['hosts'])

    def test_what_it_is(self):
        said = self.make('--days', '30')
        text = self.text()
        for pattern in (r'Version: 3', r'Public Key Algorithm: id-ecPublicKey', r'ASN1 OID: prime256v1',
                        r'Signature Algorithm: ecdsa-with-SHA256', r'Basic Constraints: critical\n +CA:FALSE',
                        r'Key Usage: critical\n +Digital Signature\n', r'TLS Web Server Authentication\n'):
            self.assertRegex(text, pattern)
        self.openssl('x509', '-in', self.chain, '-noout', '-checkend', str(29 * 86400))
        result = subprocess.run(['openssl', 'x509', '-in', self.chain, '-noout', '-checkend', str(30 * 86400)],
                                stdout=subprocess.DEVNULL)
        self.assertEqual(1, result.returncode)
        self.assertEqual(said['sha256'], self.text('-fingerprint', '-sha256').strip().partition('=')[2])
        self.assertEqual(self.text('-pubkey'), self.openssl('pkey', '-in', self.key, '-pubout'))
        self.assertRegex(said['expires'], r'^20\d\d-\d\d-\d\d$')

    def test_long_hosts(self):
        # Too long for a common name, which RFC 5280 has no more than 64 characters for.
        host = '.'.join(['a' * 60] * 4)
        self.make(host)
        self.assertRegex(self.text(), r'Subject Alternative Name: *\n +DNS:%s,' % re.escape(host))
        self.assertIn('Subject: CN = c2sd\n', self.text())
        self.openssl('verify', '-CAfile', self.chain, '-verify_hostname', host, self.chain)

    def test_serials_and_keys_differ(self):
        one = self.make()
        serial, key = self.text('-serial'), self.files()['key.pem']
        other = self.make('--force')
        self.assertNotEqual((one['sha256'], serial), (other['sha256'], self.text('-serial')))
        self.assertNotEqual(key, self.files()['key.pem'])
        self.assertEqual(32, len(serial.strip().partition('=')[2]))


class Files(Cert):
    def mode(self, path):
        return stat.S_IMODE(os.stat(path).st_mode)

    def test_modes_and_group(self):
        mask = os.umask(0o077)
        self.addCleanup(os.umask, mask)
        said = self.make()
        os.umask(mask)
        self.assertEqual((self.chain, self.key), (said['chain'], said['key']))
        self.assertEqual(['cert.pem', 'key.pem'], sorted(os.listdir(self.tls)))
        self.assertEqual((0o755, 0o644, 0o640 if ROOT else 0o600),
                         (self.mode(self.tls), self.mode(self.chain), self.mode(self.key)))
        for path in (self.chain, self.key):
            self.assertEqual(os.getuid(), os.stat(path).st_uid)
        self.assertEqual(os.getgid(), os.stat(self.chain).st_gid)
        self.assertEqual(NOBODY.pw_gid if ROOT else os.getgid(), os.stat(self.key).st_gid)

    @unittest.skipUnless(ROOT, 'not root')
    def test_group_of_the_configuration(self):
        name = grp.getgrall()[1].gr_name
        file = self.configuration('<c2sd><host>a.example</host><user name="nobody" group="%s"/></c2sd>' % name)
        self.make('-c', file)
        self.assertEqual(grp.getgrnam(name).gr_gid, os.stat(self.key).st_gid)

    @unittest.skipUnless(ROOT, 'not root')
    def test_who_is_not_root_keeps_the_key_to_himself(self):
        os.chmod(self.folder, 0o755)
        os.mkdir(self.tls)
        os.chown(self.tls, NOBODY.pw_uid, NOBODY.pw_gid)
        self.make('here.example', user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=[])
        self.assertEqual((0o600, NOBODY.pw_uid), (self.mode(self.key), os.stat(self.key).st_uid))

    def test_nothing_is_overwritten(self):
        file = self.standard()
        for kept in (('cert.pem', 'key.pem'), ('cert.pem',), ('key.pem',)):
            shutil.rmtree(self.tls, ignore_errors=True)
            os.mkdir(self.tls)
            for name in kept:
                with open(os.path.join(self.tls, name), 'w') as text:
                    text.write('mine')
            self.assertRegex(self.refused('-c', file), r'/%s: File exists; --force' % sorted(kept)[-1])
        os.unlink(self.key)
        os.symlink('/nonexistent', self.key)
        self.assertIn('key.pem: File exists', self.command('-c', file).stderr)

    def test_force_replaces(self):
        self.make()
        before = self.files()
        os.chmod(self.key, 0o666)
        self.make('--force')
        self.assertEqual({name: True for name in before}, {name: text != before[name] for name, text in self.files().items()})
        self.assertEqual(0o640 if ROOT else 0o600, self.mode(self.key))

    def test_folder_is_printed_as_the_configuration_needs_it(self):
        result = self.command('-c', self.standard(), folder='a&b "c"', cwd=self.folder)
        self.assertEqual(0, result.returncode, result.stderr)
        self.assertIn('<certificate chain="%s/a&amp;b &quot;c&quot;/cert.pem" key="%s/a&amp;b &quot;c&quot;/key.pem"/>' %
                      (self.folder, self.folder), result.stdout)

    def test_a_full_disk_leaves_nothing(self):
        # The key fits, its chain does not.
        def limit():
            import resource
            import signal
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
        self.assertIn('cert.pem: File too large', self.refused('-c', self.standard(), preexec_fn=limit))


class Wrong(Cert):
    def test_configuration(self):
        self.assertIn('c2sd.xml: cannot be read: No such file', self.refused('-c', self.folder + '/c2sd.xml'))
        for text, said in (('<c2sd>\n<host>', r'c2sd\.xml:2: '), ('<other/>', r'not a configuration'),
                           ('<c2sd><listen/></c2sd>', r'there is no <host/>')):
            self.assertRegex(self.refused('-c', self.configuration(text)), said)

    def test_hosts(self):
        for host in ('', 'a b', '*.example', 'a@b', 'a/b', '.example', 'a..b', 'a' * 64 + '.example', 'a.' * 130,
                     'a\n.example'):
            self.refused('-c', self.standard(), host, status=2)
        self.refused('-c', self.standard(['a b']), status=2)

    @unittest.skipUnless(ROOT, 'not root')
    def test_user(self):
        file = self.configuration('<c2sd><host>a.example</host><user name="no-such-user"/></c2sd>')
        self.assertIn('there is no user no-such-user', self.refused('-c', file))
        file = self.configuration('<c2sd><host>a.example</host><user name="nobody" group="no-such-group"/></c2sd>')
        self.assertIn('no group no-such-group', self.refused('-c', file))

    def test_folder(self):
        file = self.standard()
        self.assertIn('Not a directory', self.refused('-c', file, folder=file + '/tls'))
        self.assertIn('too long', self.refused('-c', file, folder='/' + 'a' * 5000))

    def test_arguments(self):
        for arguments in (['cert', '--days', '0'], ['cert', '--days', '3651'], ['cert', '--days', 'x'], ['cert', '--days'],
                          ['cert', '--worker', '1'], ['status', '--force'], ['status', '-c', 'x'], ['reload', '--days', '1'],
                          ['sessions', '--folder', 'x'], ['-c']):
            result = subprocess.run([C2SCTL, '-s', self.folder + '/none'] + arguments, capture_output=True, text=True)
            self.assertEqual((2, ''), (result.returncode, result.stdout), arguments)


if __name__ == '__main__':
    harness.main()
