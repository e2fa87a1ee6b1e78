"""Certificates made with openssl: an authority and its leaves, EC P-256, shaped as X.509 SVIDs (SPIFFE)."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from .errors import RunError

DOMAIN = "spiffe://disburse"
AUTHORITY_DAYS = 3650
LEAF_DAYS = 90
RENEW_BEFORE_S = 14 * 24 * 3600


def openssl(*args: str) -> None:
    done = subprocess.run(["openssl", *args], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RunError(f"openssl {args[0]} failed: {done.stderr.strip()}")


class Authority:
    """A signing certificate in a folder, and the leaves it gives out. Keys are 0600 from their first byte on."""

    def __init__(self, folder: Path, name: str = "ca"):
        self.folder = folder
        self.name = name
        self.cert_file = folder / f"{name}.crt"
        self.key_file = folder / f"{name}.key"

    def ensure(self) -> Authority:
        if not (self.cert_file.exists() and self.key_file.exists()):
            self._key(self.key_file)
            openssl("req", "-x509", "-new", "-key", str(self.key_file), "-sha256", "-days", str(AUTHORITY_DAYS),
                    "-subj", f"/O=Disburse/CN={self.name}", "-out", str(self.cert_file),
                    "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0",
                    "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        return self

    def ensure_leaf(self, name: str, *, uri: str | None = None) -> tuple[Path, Path]:
        """A leaf for spiffe://disburse/<name>, or another URI, that is valid for some time to come."""
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        if cert.exists() and key.exists():
            fresh = subprocess.run(["openssl", "x509", "-in", str(cert), "-noout", "-checkend", str(RENEW_BEFORE_S)],
                                   capture_output=True, check=False)
            signed = subprocess.run(["openssl", "verify", "-CAfile", str(self.cert_file), str(cert)],
                                    capture_output=True, check=False)
            if fresh.returncode == 0 and signed.returncode == 0:
                return cert, key
        return self.issue(name, uris=None if uri is None else [uri])

    def issue(self, name: str, *, uris: list[str] | None = None, days: int = LEAF_DAYS, is_ca: bool = False,
              usage: str = "digitalSignature", extended: str = "serverAuth,clientAuth") -> tuple[Path, Path]:
        """Signs a new leaf. The keyword arguments exist so that tests can make certificates that must be refused."""
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        uris = [f"{DOMAIN}/{name}"] if uris is None else uris
        names = [f"URI:{uri}" for uri in uris] + ["DNS:localhost", "IP:127.0.0.1"]
        extensions = [
            f"basicConstraints=critical,CA:{'TRUE' if is_ca else 'FALSE'}",
            f"keyUsage=critical,{usage}",
            "subjectAltName=" + ",".join(names),
            "subjectKeyIdentifier=hash",
            "authorityKeyIdentifier=keyid",
        ] + ([f"extendedKeyUsage={extended}"] if extended else [])
        self._key(key)
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            request, config = Path(scratch) / "csr", Path(scratch) / "ext"
            config.write_text("\n".join(extensions) + "\n", encoding="ascii")
            openssl("req", "-new", "-key", str(key), "-sha256", "-subj", f"/O=Disburse/CN={name}",
                    "-out", str(request))
            openssl("x509", "-req", "-in", str(request), "-CA", str(self.cert_file), "-CAkey", str(self.key_file),
                    "-set_serial", "0x" + os.urandom(16).hex(), "-sha256", "-days", str(days),
                    "-extfile", str(config), "-out", str(cert))
        return cert, key

    @staticmethod
    def _key(path: Path) -> None:
        path.unlink(missing_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(path))
