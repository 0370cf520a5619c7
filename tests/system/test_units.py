#!/usr/bin/env python3
"""What systemd, logrotate and their like read: they accept it, it does what it says, and the unit leaves little open."""
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness
from harness import DaemonCase, Guard, program

BUILT = {name: program('etc/c2sd.' + name) for name in ('service', 'socket', 'sysusers', 'tmpfiles', 'logrotate')}
# What `systemd-analyze security` may say at most, for the unit as it is and for a start as root.
EXPOSURE = 2.0
EXPOSURE_OF_ROOT = 3.0


def read(path):
    with open(path) as file:
        return file.read()


def needs(name):
    return unittest.skipUnless(shutil.which(name), name + ' is not installed')


class FolderCase(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='c2sd-test.')
        Guard.watch(self.folder)
        os.chmod(self.folder, 0o755)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write(text)
        return path

    def run_it(self, *command):
        return subprocess.run(command, capture_output=True, text=True, timeout=harness.TIMEOUT,
                              env=dict(os.environ, SYSTEMD_COLORS='0', SYSTEMD_LOG_TARGET='console'))


@needs('systemd-analyze')
class Units(FolderCase):
    def unit(self, name='service'):
        """With the program where it has been built."""
        text = re.sub(r'^(Exec\w+)=\S+/c2sd ', r'\1=%s ' % program('master/c2sd'), read(BUILT[name]), flags=re.M)
        return self.write('units/c2sd.' + name, text)

    def root_lines(self):
        """The drop-in that the unit's comment proposes."""
        block = re.search(r'^#\t\[Service\]\n(?:#\t.*\n)+', read(BUILT['service']), re.M).group(0)
        return re.sub(r'^#\t', '', block, flags=re.M)

    def verify(self, path):
        result = self.run_it('systemd-analyze', 'verify', '--man=no', '--recursive-errors=no', path)
        self.assertEqual((0, '', ''), (result.returncode, result.stdout, result.stderr))

    def exposure(self, path):
        result = self.run_it('systemd-analyze', 'security', '--offline=true', '--no-pager', path)
        return float(re.search(r'Overall exposure level for c2sd\.service: ([\d.]+)', result.stdout).group(1))

    def test_unit_is_understood(self):
        self.verify(self.unit())

    def test_wrong_unit_is_not(self):
        """That `verify` says something at all."""
        path = self.unit()
        with open(path, 'a') as file:
            file.write('[Service]\nKillMode=gently\n')
        with self.assertRaises(AssertionError):
            self.verify(path)

    def test_unit_leaves_little_open(self):
        self.assertLess(self.exposure(self.unit()), EXPOSURE)

    def test_start_as_root(self):
        path = self.unit()
        self.write('units/c2sd.service.d/root.conf', self.root_lines())
        self.verify(path)

    def test_start_as_root_leaves_not_much_open(self):
        path = self.unit()
        with open(path, 'a') as file:
            file.write(self.root_lines())
        self.assertLess(self.exposure(path), EXPOSURE_OF_ROOT)

    def test_socket_is_understood(self):
        self.unit()
        self.verify(self.unit('socket'))

    def test_everything_was_filled_in(self):
        for path in BUILT.values():
            self.assertEqual([], re.findall(r'@[a-z]+@', read(path)), path)

    def test_reload(self):
        """notify-reload and ExecReload exclude each other."""
        text = read(BUILT['service'])
        self.assertEqual('Type=notify-reload\n' in text, 'ExecReload=' not in text)


@needs('systemd-sysusers')
@unittest.skipUnless(os.getuid() == 0, 'only root makes users')
class Folders(FolderCase):
    def test_user_and_folders(self):
        root = self.folder
        os.mkdir(root + '/etc')
        result = self.run_it('systemd-sysusers', '--root=' + root,
                             self.write('usr/lib/sysusers.d/c2sd.conf', read(BUILT['sysusers'])))
        self.assertEqual(0, result.returncode, result.stderr)
        user = read(BUILT['sysusers']).splitlines()[-1].split()[1]
        entry = [line.split(':') for line in read(root + '/etc/passwd').splitlines() if line.startswith(user + ':')][0]
        self.assertLess(0, int(entry[2]))
        self.assertLess(int(entry[2]), 1000)
        self.assertRegex(entry[6], 'nologin')
        self.write('usr/lib/tmpfiles.d/c2sd.conf', read(BUILT['tmpfiles']))
        result = self.run_it('systemd-tmpfiles', '--root=' + root, '--create', 'c2sd.conf')
        self.assertEqual(0, result.returncode, result.stderr)
        folders = re.findall(r'^d (\S+) 0750 ', read(BUILT['tmpfiles']), re.M)
        self.assertEqual(3, len(folders))
        for path in folders:
            status = os.stat(root + path)
            self.assertEqual((0o750, int(entry[2])), (status.st_mode & 0o7777, status.st_uid), path)


@needs('logrotate')
@needs('pkill')
@unittest.skipUnless(os.getuid() == 0, 'only root rotates as somebody else')
class Rotation(DaemonCase):
    def test_log_is_rotated_and_opened_anew(self):
        daemon = harness.Daemon()
        self.addCleanup(daemon.cleanup)
        user = pwd.getpwnam(daemon.user[0])
        folder = os.path.join(daemon.folder, 'log.d')
        path = os.path.join(folder, 'c2sd.log')
        os.mkdir(folder, 0o750)
        os.chown(folder, user.pw_uid, user.pw_gid)
        configuration = re.sub(r'<log [^>]*/>', '<log level="info" target="file" file="%s"/>' % path,
                               daemon.configuration())
        daemon.configuration = lambda: configuration
        daemon.start()
        self.assertIn('listener', read(path))
        rules = read(BUILT['logrotate'])
        service_user = re.search(r'^\tsu (\S+)', rules, re.M).group(1)
        rules = re.sub(r'^\S+/\*\.log \{', folder + '/*.log {', rules, flags=re.M)
        rules = re.sub(r'^\tsu .*', '\tsu %s %s' % daemon.user, rules, flags=re.M)
        rules = rules.replace('-u %s ' % service_user, '-u %s ' % daemon.user[0])
        file = os.path.join(daemon.folder, 'rules')
        with open(file, 'w') as target:
            target.write(rules)
        os.chmod(file, 0o644)
        os.chown(file, 0, 0)
        result = subprocess.run(['logrotate', '-f', '-s', os.path.join(daemon.folder, 'state'), file],
                                capture_output=True, text=True)
        self.assertEqual((0, ''), (result.returncode, result.stderr))
        rotated = os.stat(path + '.1').st_ino
        deadline = harness.Deadline()
        while not os.path.exists(path) and deadline.left():
            self.assertIsNone(daemon.process.poll())
            time.sleep(0.02)
        self.assertNotEqual(rotated, os.stat(path).st_ino)
        self.assertEqual((0o640, user.pw_uid), (os.stat(path).st_mode & 0o7777, os.stat(path).st_uid))
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(0, daemon.process.wait(harness.TIMEOUT))
        self.assertIn('shutdown', read(path))
        self.assertNotIn('shutdown', read(path + '.1'))


if __name__ == '__main__':
    harness.main()
