"""A file system as unkind as NFS may be, one machine's view of a folder that others write to, too.

    python late_file_system.py FOLDER PLACE SECONDS SKEW    (prints "ready" when FOLDER is at PLACE)

It speaks the kernel's FUSE protocol (linux/fuse.h, 7.31) over /dev/fuse and needs no library.

- No file can be locked (ENOLCK), no socket made, no hard link, no other owner.
- What another view has changed is seen SECONDS late: a new file is not there, a replaced or longer
  one is as it was before. What this view changes itself it sees at once.
- Dates are a server's, whose clock is SKEW seconds off.
- A file that another view has replaced while it was open here can no longer be read (ESTALE).
- One that is removed while it is open here stays as `.nfs...`, so that its folder is not empty.
"""

# Its paths are bytes.
# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH115, PTH208, PTH211
import contextlib
import ctypes
import errno
import os
import resource
import stat
import struct
import sys
import time
from typing import NamedTuple

_HEADER = struct.Struct("<IIQQIIIHH")
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
_ENTRY = struct.Struct("<QQQQII")
_LOCKS = 1 << 1 | 1 << 10  # let the kernel ask this file system for locks
_BIG_WRITES = 1 << 5
_MODE, _UID, _GID, _SIZE, _ATIME, _MTIME, _ATIME_NOW, _MTIME_NOW = (
    1 << b for b in [*range(6), 7, 8]
)
_LONG = 1 << 20


class Seen(NamedTuple):
    """What this view saw of a path, when, and a handle of a regular file as it was then."""

    status: os.stat_result
    when: float
    handle: int


class View:
    """Answers the kernel's requests, each named by the method that has its number."""

    def __init__(self, folder: str, late: float, skew: int):
        self.folder, self.late, self.skew = os.fsencode(folder), late, skew
        self.paths = {1: b""}
        self.ids: dict[tuple[bytes, int], int] = {}
        self.seen: dict[bytes, Seen] = {}
        self.noticed: dict[bytes, float] = {}
        self.own: dict[bytes, int] = {}
        self.open: dict[int, tuple[int, bytes, bool]] = {}
        self.listed: dict[int, list[bytes]] = {}
        self.last = 1

    def real(self, path: bytes) -> bytes:
        return self.folder + b"/" + path if path else self.folder

    def child(self, node: int, name: bytes) -> bytes:
        return b"/".join(filter(None, [self.paths[node], name]))

    def changed(self, path: bytes) -> None:
        """This view has changed a path, and sees that."""
        try:
            self.own[path] = os.lstat(self.real(path)).st_ctime_ns
        except FileNotFoundError:
            self.own.pop(path, None)
        self.forget_seen(path)

    def forget_seen(self, path: bytes) -> None:
        before = self.seen.pop(path, None)
        if before and before.handle >= 0:
            os.close(before.handle)

    def status(self, path: bytes) -> os.stat_result:
        """A path as this view sees it."""
        now, before = time.time(), self.seen.get(path)
        try:
            true = os.lstat(self.real(path))
        except FileNotFoundError:
            if before and now - before.when < self.late:
                return before.status
            self.forget_seen(path)
            raise
        new = true.st_ctime_ns != self.own.get(path) and now - true.st_ctime < self.late
        new = new and not stat.S_ISDIR(true.st_mode)
        # However often it changes, it is seen as it was at most so long ago.
        if new and now - self.noticed.setdefault(path, now) < self.late:
            if before is None:
                raise FileNotFoundError(errno.ENOENT, "late")
            return before.status
        self.noticed.pop(path, None)
        handle = -1
        if stat.S_ISREG(true.st_mode):
            if before and before.status.st_ino == true.st_ino:
                handle = before.handle
            else:
                self.forget_seen(path)
                handle = os.open(self.real(path), os.O_RDONLY)
        self.seen[path] = Seen(true, now, handle)
        return true

    def attributes(self, status: os.stat_result) -> bytes:
        times = [
            n + self.skew * 10**9
            for n in (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
        ]
        return _ATTR.pack(
            *(status.st_ino, status.st_size, status.st_blocks),
            *(t // 10**9 for t in times),
            *(t % 10**9 for t in times),
            *(status.st_mode, status.st_nlink, status.st_uid, status.st_gid, 0, 4096, 0),
        )

    def entry(self, path: bytes) -> bytes:
        status = self.status(path)
        key = path, status.st_ino
        if key not in self.ids:
            self.last += 1
            self.ids[key] = self.last
        self.paths[self.ids[key]] = path
        return _ENTRY.pack(self.ids[key], 0, 0, 0, 0, 0) + self.attributes(status)

    # lookup, getattr, setattr

    def do_1(self, node: int, body: bytes) -> bytes:
        return self.entry(self.child(node, body[:-1]))

    def do_3(self, node: int, body: bytes) -> bytes:
        flags, _, handle = struct.unpack_from("<IIQ", body)
        if flags & 1 and handle in self.open:
            status = os.fstat(self.open[handle][0])
        else:
            status = self.status(self.paths[node])
        return struct.pack("<QII", 0, 0, 0) + self.attributes(status)

    def do_4(self, node: int, body: bytes) -> bytes:
        valid, _, _, size, _, atime, mtime, _, ans, mns, _, mode, _, uid, gid, _ = (
            struct.unpack_from("<IIQQQQQQIIIIIIII", body)
        )
        path = self.paths[node]
        real = self.real(path)
        status = os.lstat(real)
        if (valid & _UID and uid != status.st_uid) or (valid & _GID and gid != status.st_gid):
            raise PermissionError(errno.EPERM, "squashed")
        if valid & _MODE:
            os.chmod(real, stat.S_IMODE(mode))
        if valid & _SIZE:
            os.truncate(real, size)
        if valid & (_ATIME | _MTIME):
            wanted = [status.st_atime_ns, status.st_mtime_ns]
            for place, (bit, at_once, seconds, nano) in enumerate(
                [(_ATIME, _ATIME_NOW, atime, ans), (_MTIME, _MTIME_NOW, mtime, mns)]
            ):
                if valid & at_once:
                    wanted[place] = time.time_ns()
                elif valid & bit:
                    wanted[place] = (seconds - self.skew) * 10**9 + nano
            os.utime(real, ns=(wanted[0], wanted[1]), follow_symlinks=False)
        self.changed(path)
        return struct.pack("<QII", 0, 0, 0) + self.attributes(os.lstat(real))

    # readlink, symlink, mknod, mkdir

    def do_5(self, node: int, body: bytes) -> bytes:
        return os.readlink(self.real(self.paths[node]))

    def do_6(self, node: int, body: bytes) -> bytes:
        name, target = body.split(b"\0")[:2]
        path = self.child(node, name)
        os.symlink(target, self.real(path))
        self.changed(path)
        return self.entry(path)

    def do_8(self, node: int, body: bytes) -> bytes:
        mode, path = struct.unpack_from("<I", body)[0], self.child(node, body[16:-1])
        if not stat.S_ISREG(mode):
            raise OSError(errno.EOPNOTSUPP, "only files")
        os.close(os.open(self.real(path), os.O_CREAT | os.O_EXCL, stat.S_IMODE(mode)))
        self.changed(path)
        return self.entry(path)

    def do_9(self, node: int, body: bytes) -> bytes:
        mode, path = struct.unpack_from("<I", body)[0], self.child(node, body[8:-1])
        os.mkdir(self.real(path), stat.S_IMODE(mode))
        self.changed(path)
        return self.entry(path)

    # unlink, rmdir, rename, rename2, link

    def do_10(self, node: int, body: bytes) -> bytes:
        path = self.child(node, body[:-1])
        if any(name == path for _, name, _ in self.open.values()):
            self.last += 1
            hidden = self.child(node, b".nfs%08x" % self.last)
            os.rename(self.real(path), self.real(hidden))
            for handle, (descriptor, name, lost) in self.open.items():
                self.open[handle] = descriptor, hidden if name == path else name, lost
            self.changed(hidden)
        else:
            os.unlink(self.real(path))
        self.changed(path)
        return b""

    def do_11(self, node: int, body: bytes) -> bytes:
        path = self.child(node, body[:-1])
        os.rmdir(self.real(path))
        self.changed(path)
        return b""

    def do_12(self, node: int, body: bytes, offset: int = 8) -> bytes:
        old, new = body[offset:].split(b"\0")[:2]
        source = self.child(node, old)
        target = self.child(struct.unpack_from("<Q", body)[0], new)
        os.rename(self.real(source), self.real(target))
        for number, path in self.paths.items():
            if path == source or path.startswith(source + b"/"):
                self.paths[number] = target + path[len(source) :]
        for path in [p for p in self.own if p.startswith(source + b"/")]:
            self.own[target + path[len(source) :]] = self.own.pop(path)
        # What is open here keeps its name: this view itself has replaced it.
        self.open = {
            h: (d, target if n == source else n, s or n == target)
            for h, (d, n, s) in self.open.items()
        }
        self.changed(source)
        self.changed(target)
        return b""

    def do_45(self, node: int, body: bytes) -> bytes:
        if struct.unpack_from("<I", body, 8)[0]:
            raise OSError(errno.EINVAL, "no flags")
        return self.do_12(node, body, offset=16)

    def do_13(self, node: int, body: bytes) -> bytes:
        raise PermissionError(errno.EPERM, "no hard links")

    # open, create, read, write, release, flush, fsync

    def do_14(self, node: int, body: bytes) -> bytes:
        path, flags = self.paths[node], struct.unpack_from("<I", body)[0]
        flags &= ~(os.O_APPEND | os.O_DIRECT)
        status = self.status(path)
        snapshot = False
        if flags & os.O_ACCMODE == os.O_RDONLY and (before := self.seen.get(path)):
            snapshot = before.status is status and before.handle >= 0
        real = self.real(path)
        descriptor = os.dup(self.seen[path].handle) if snapshot else os.open(real, flags)
        self.last += 1
        self.open[self.last] = descriptor, path, os.fstat(descriptor).st_nlink == 0
        return struct.pack("<QII", self.last, 0, 0)

    def do_35(self, node: int, body: bytes) -> bytes:
        flags, mode, umask = struct.unpack_from("<III", body)
        path = self.child(node, body[16:-1])
        flags &= ~(os.O_APPEND | os.O_DIRECT)
        descriptor = os.open(self.real(path), flags | os.O_CREAT, stat.S_IMODE(mode) & ~umask)
        self.changed(path)
        self.last += 1
        self.open[self.last] = descriptor, path, False
        number = self.last
        return self.entry(path) + struct.pack("<QII", number, 0, 0)

    def do_15(self, node: int, body: bytes) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", body)
        descriptor, _, lost = self.open[handle]
        if not lost and os.fstat(descriptor).st_nlink == 0:
            raise OSError(errno.ESTALE, "replaced elsewhere")
        return os.pread(descriptor, size, offset)

    def do_16(self, node: int, body: bytes) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", body)
        descriptor, path, _ = self.open[handle]
        written = os.pwrite(descriptor, body[40 : 40 + size], offset)
        self.changed(path)
        return struct.pack("<II", written, 0)

    def do_18(self, node: int, body: bytes) -> bytes:
        descriptor, path, _ = self.open.pop(struct.unpack_from("<Q", body)[0])
        os.close(descriptor)
        hidden = path.rpartition(b"/")[2].startswith(b".nfs")
        if hidden and all(name != path for _, name, _ in self.open.values()):
            os.unlink(self.real(path))
            self.changed(path)
        return b""

    def do_25(self, node: int, body: bytes) -> bytes:
        return b""

    def do_20(self, node: int, body: bytes) -> bytes:
        return b""

    do_30 = do_20

    # statfs, init, access

    def do_17(self, node: int, body: bytes) -> bytes:
        s = os.statvfs(self.folder)
        blocks = s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree
        return struct.pack("<QQQQQIIII24x", *blocks, s.f_bsize, 255, s.f_frsize, 0)

    def do_26(self, node: int, body: bytes) -> bytes:
        flags, most = _LOCKS | _BIG_WRITES, 1 << 17
        return struct.pack("<IIIIHHIIHHI28x", 7, 31, most, flags, 12, 9, most, 1, 32, 0, 0)

    # opendir, readdir, releasedir

    def do_27(self, node: int, body: bytes) -> bytes:
        path, names = self.paths[node], []
        for name in sorted(os.listdir(self.real(path))):
            try:
                self.status(self.child(node, name))
            except FileNotFoundError:
                continue
            names.append(name)
        self.last += 1
        self.listed[self.last] = names
        return struct.pack("<QII", self.last, 0, 0)

    def do_28(self, node: int, body: bytes) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", body)
        answer = b""
        for place, name in enumerate(self.listed[handle][offset:], start=offset + 1):
            line = struct.pack("<QQII", place + 1, place, len(name), 0) + name
            line += b"\0" * (-len(line) % 8)
            if len(answer) + len(line) > size:
                break
            answer += line
        return answer

    def do_29(self, node: int, body: bytes) -> bytes:
        self.listed.pop(struct.unpack_from("<Q", body)[0])
        return b""

    # getlk, setlk, setlkw

    def do_31(self, node: int, body: bytes) -> bytes:
        raise OSError(errno.ENOLCK, "no locks")

    do_32 = do_33 = do_31

    def serve(self, device: int) -> None:
        while True:
            try:
                request = os.read(device, _LONG)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                return  # unmounted
            length, operation, unique, node = _HEADER.unpack_from(request)[:4]
            if operation in (2, 36, 42):  # forget, interrupt
                continue
            failed, answer = 0, b""
            try:
                answer = getattr(self, f"do_{operation}", self.missing)(node, request[40:length])
            except OSError as error:
                failed = error.errno or errno.EIO
            except (KeyError, IndexError):
                failed = errno.ESTALE
            with contextlib.suppress(OSError):  # nobody waits for it any more
                os.write(device, struct.pack("<IiQ", 16 + len(answer), -failed, unique) + answer)

    def missing(self, node: int, body: bytes) -> bytes:
        raise OSError(errno.ENOSYS, "no such call")


def main(folder: str, place: str, late: str, skew: str) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    os.umask(0)
    device = os.open("/dev/fuse", os.O_RDWR)
    user = f"user_id={os.getuid()},group_id={os.getgid()}"
    options = f"fd={device},rootmode=40000,{user},default_permissions"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"late", os.fsencode(place), b"fuse.late", 6, options.encode()) != 0:
        sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")
    print("ready", flush=True)
    View(folder, float(late), int(skew)).serve(device)


if __name__ == "__main__":
    main(*sys.argv[1:])
