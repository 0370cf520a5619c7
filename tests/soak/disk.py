"""A small disk for the database of the embedded session manager, which can be full."""
import os

import harness
from network import command

SIZE = '8m'


class Disk:
    """Mounted where the daemon has its database; so before the daemon starts. Only root can, in a table of mounts of its
    own (network.leave_home)."""

    def __init__(self, daemon):
        self.path = os.path.join(daemon.folder, 'disk')
        self.filler = os.path.join(self.path, 'filler')
        os.mkdir(self.path)
        command('mount', '-t', 'tmpfs', '-o', 'size=' + SIZE, 'tmpfs', self.path)
        owner = os.stat(daemon.folder)
        os.chown(self.path, owner.st_uid, owner.st_gid)
        daemon.database = os.path.join(self.path, 'accounts.db')

    def fill(self):
        """To the last byte."""
        descriptor = os.open(self.filler, os.O_WRONLY | os.O_CREAT)
        try:
            size = 1 << 20
            while size:
                try:
                    if os.write(descriptor, b'x' * size) < size:
                        size //= 2
                except OSError:
                    size //= 2
        finally:
            os.close(descriptor)

    def free(self):
        if os.path.exists(self.filler):
            os.unlink(self.filler)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        command('umount', '-l', self.path)
