#!/usr/bin/python3
"""`./dev bench nacha --json`: 100,000 entries written as one file, and a return of 100,000 read and matched."""

import os
import subprocess
import sys
from pathlib import Path

BUILD = Path(os.environ.get("DISBURSE_BUILD", Path(__file__).resolve().parents[2] / "build" / "release"))

if __name__ == "__main__":
    sys.exit(subprocess.run([BUILD / "bin" / "nacha_bench"], check=False).returncode)
