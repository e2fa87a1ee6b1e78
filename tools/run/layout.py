"""Where things live: the project, a run folder, and the place of its PostgreSQL cluster."""

from __future__ import annotations

import hashlib
import os
import pwd
import random
import socket
import stat
import subprocess
import threading
from pathlib import Path

from .errors import RunError

PROJECT = Path(__file__).resolve().parents[2]
DEFAULT_RUN = PROJECT / ".run"

# sun_path holds 108 bytes with its NUL; PostgreSQL puts "/.s.PGSQL.5432" behind the folder (and ".lock" beside it).
SOCKET_PATH_BYTES_MAX = 107
SOCKET_NAME = "/.s.PGSQL.5432"

# Outside of the range that the kernel hands out to clients, so that no outgoing connection takes the port of a service
# that is being restarted, and no client that knocks at a closed port connects to itself.
PORT_MIN, PORT_MAX = 20000, 32700


def clean_environment() -> dict[str, str]:
    """The caller's environment without what would lead our connections elsewhere: libpq's variables and proxies (which
    gRPC and libcurl would use even towards loopback)."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith("PG") and not name.lower().endswith("_proxy")}


def database_user() -> pwd.struct_passwd | None:
    """The account that PostgreSQL runs as: None is the caller's own, for root it is the package's."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise RunError("the system user 'postgres' is missing: run ./dev setup") from None


def popen_as(user: pwd.struct_passwd | None) -> dict:
    """Keyword arguments for subprocess that drop to the user."""
    if user is None:
        return {"env": clean_environment()}
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": user.pw_dir, "LC_ALL": "C.UTF-8"}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "env": env}


def reachable_by(user: pwd.struct_passwd | None, folder: Path) -> bool:
    """Whether the user can pass through this folder and all above it; a folder that is still to be made lets pass."""
    if user is None:
        return True
    while not folder.exists():
        folder = folder.parent
    done = subprocess.run(["test", "-x", str(folder)], cwd="/", **popen_as(user), check=False)
    return done.returncode == 0


def fallback_folder(run: Path) -> Path:
    digest = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:12]
    return Path("/var/tmp") / f"disburse-{digest}"


def cluster_folder(run: Path) -> Path:
    """The cluster lives in the run folder, unless its user cannot get there or the socket's path would be too long."""
    inside = run.resolve() / "pg"
    fallback = fallback_folder(run)
    if fallback.is_dir():
        return fallback  # decided before: never two clusters for one run folder
    too_long = len(os.fsencode(str(inside / "socket") + SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX
    if too_long or not reachable_by(database_user(), run.resolve()):
        return fallback
    return inside


def make_private(folder: Path, owner: pwd.struct_passwd | None = None) -> None:
    """Makes a 0700 folder, and refuses one that somebody else has put there (it may be below /var/tmp)."""
    uid = os.geteuid() if owner is None else owner.pw_uid
    gid = os.getegid() if owner is None else owner.pw_gid
    try:
        os.mkdir(folder, 0o700)
        os.chown(folder, uid, gid)
    except FileExistsError:
        pass
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) & 0o077:
        raise RunError(f"{folder} exists and is not a private folder of uid {uid}: remove it and try again")


def port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the remains of closed connections do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def port_range() -> range:
    """The ports that this process may give to services. Test lanes that run at the same time have ranges that do not overlap: a
    port is free from its choice until its service starts, and another lane could choose it in between."""
    lanes, lane = (int(os.environ.get(name, default)) for name, default in (("DISBURSE_LANES", "1"), ("DISBURSE_LANE", "0")))
    each = (PORT_MAX + 1 - PORT_MIN) // lanes
    return range(PORT_MIN + lane * each, PORT_MIN + (lane + 1) * each)


_given: set[int] = set()  # ports that this process has chosen already
_giving = threading.Lock()


def free_port() -> int:
    """A loopback port that nobody uses now, and that this function has not returned before in this process."""
    ports = port_range()
    with _giving:
        for _ in range(1000):
            port = random.SystemRandom().choice(ports)
            if port not in _given and port_is_free(port):
                _given.add(port)
                return port
    raise RunError(f"no free loopback port between {ports[0]} and {ports[-1]}")
