"""Secrets of a run folder: random, made once, each in a 0600 file of its own; never in argv, logs or settings."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import subprocess
from pathlib import Path

from .errors import RunError

SCRAM_ITERATIONS = 4096


def write_secret(path: Path, text: str) -> None:
    """Complete or absent, and never readable by others."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as out:
        out.write(text)
    os.replace(temporary, path)


def ensure(path: Path, make) -> None:
    if not path.exists():
        write_secret(path, make() + "\n")


def ensure_ssh_key(path: Path, comment: str) -> None:
    public = path.with_name(path.name + ".pub")
    if path.exists() and public.exists():
        return
    path.unlink(missing_ok=True)
    public.unlink(missing_ok=True)
    done = subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
                          capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RunError(f"ssh-keygen failed: {done.stderr.strip()}")


def ensure_audit_key(folder: Path) -> None:
    """The Ed25519 key that signs the ledger's tree heads, and its public half for everybody who verifies them."""
    path = folder / "audit_ed25519"
    public = path.with_name(path.name + ".pub")
    if not path.exists():
        write_secret(path, _openssl("genpkey", "-algorithm", "ed25519"))
        public.unlink(missing_ok=True)
    if not public.exists():
        public.write_text(_openssl("pkey", "-in", str(path), "-pubout"), encoding="ascii")


def _openssl(*arguments: str) -> str:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RunError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def ensure_all(folder: Path) -> None:
    """The secrets that the services share with each other, the bank and the disk."""
    ensure(folder / "keyring", lambda: "k1 " + secrets.token_hex(32))
    ensure(folder / "bank_api_key", lambda: secrets.token_hex(32))
    ensure(folder / "webhook_secret", lambda: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
    ensure_audit_key(folder)
    ensure_ssh_key(folder / "ssh_host_ed25519", "bank")
    ensure_ssh_key(folder / "ssh_client_ed25519", "payments-svc")


def password_file(folder: Path, role: str) -> Path:
    return folder / f"{role}.pgpass"


def ensure_password(folder: Path, role: str) -> str:
    """The password of a database role; libpq reads it from the file that holds nothing else."""
    path = password_file(folder, role)
    if not path.exists():
        write_secret(path, f"*:*:*:{role}:{secrets.token_hex(24)}\n")
    return path.read_text(encoding="ascii").strip().rpartition(":")[2]


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores for a password (RFC 5803), so that the password itself is never in an SQL statement."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(x).decode() for x in (salt, stored, server))
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{salt64}${stored64}:{server64}"
