#!/usr/bin/env python3
"""What `meson install` puts where: every file of the list and no other, and none that names another place than its own."""
import glob
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'system'))
import harness

BUILD = os.environ['C2SD_BUILD']


def places():
    """meson's name of a folder -> where this build has it."""
    options = json.loads(subprocess.run(['meson', 'introspect', '--buildoptions', BUILD], check=True, capture_output=True,
                                        text=True).stdout)
    values = {option['name']: option['value'] for option in options if option['section'] in ('directory', 'core')}
    return {name: os.path.join(values['prefix'], value) for name, value in values.items()
            if name in ('prefix', 'bindir', 'sbindir', 'libexecdir', 'sysconfdir', 'datadir', 'mandir')}


def listed():
    """Every line of files.txt: (folder, name)."""
    with open(os.path.join(HERE, 'files.txt'), encoding='utf-8') as lines:
        return [tuple(line.strip().split('/', 1)) for line in lines if not line.startswith('#')]


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        subprocess.run(['meson', 'install', '-C', BUILD, '--no-rebuild', '--quiet', '--destdir', cls.folder.name],
                       check=True, stdout=subprocess.DEVNULL)
        cls.installed = {path[len(cls.folder.name):] for path in
                         glob.glob(os.path.join(cls.folder.name, '**', '*'), recursive=True) if not os.path.isdir(path)}
        cls.places = places()
        # Which folders these are depends on prefix and systemd: etc/meson.build.
        cls.places['unitdir'] = cls.folder_of('c2sd.service')
        cls.places['zshdir'] = cls.folder_of('_c2sctl')

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def folder_of(cls, name):
        return ''.join(os.path.dirname(path) for path in cls.installed if os.path.basename(path) == name)

    def texts(self):
        for path in self.installed:
            with open(self.folder.name + path, 'rb') as file:
                text = file.read()
            if not text.startswith(b'\x7fELF'):
                yield path, text.decode()

    def test_every_file_and_no_other(self):
        self.assertEqual(sorted(os.path.join(self.places[folder], name) for folder, name in listed()),
                         sorted(self.installed), 'see tests/packaging/files.txt')

    def test_units_are_where_systemd_looks(self):
        self.assertTrue(self.places['unitdir'].endswith('/systemd/system'))

    def test_no_file_is_an_administrators(self):
        self.assertNotIn(os.path.join(self.places['sysconfdir'], 'c2sd', 'c2sd.xml'), self.installed)

    def test_every_name_of_a_place_is_replaced(self):
        # meson leaves out what it does not know, and says so here.
        with open(os.path.join(BUILD, 'meson-logs', 'meson-log.txt'), encoding='utf-8') as log:
            self.assertEqual([], [line for line in log if 'not present in the given configuration data' in line])

    def test_manual_names_the_files_that_are_installed(self):
        manual = dict(self.texts())[os.path.join(self.places['mandir'], 'man8', 'c2sd.8')]
        for place in (('sysconfdir', 'c2sd/c2sd.xml'), ('libexecdir', 'c2sd/c2sd-worker'),
                      ('datadir', 'doc/c2sd/examples/c2sd.xml')):
            self.assertIn('.It Pa ' + os.path.join(self.places[place[0]], place[1]), manual)

    def test_programs_can_be_executed_and_nothing_else_can(self):
        folders = tuple(self.places[name] + '/' for name in ('bindir', 'sbindir', 'libexecdir'))
        for path in self.installed:
            mode = os.stat(self.folder.name + path).st_mode & 0o777
            self.assertEqual(0o755 if path.startswith(folders) else 0o644, mode, path)


if __name__ == '__main__':
    harness.main()
