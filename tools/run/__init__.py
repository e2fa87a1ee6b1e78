"""The environment of Disburse on one machine: a private PostgreSQL, certificates, secrets, settings, processes.

`./dev up|down|status` is a thin shell over `python3 -m run`, and the integration tests import the same classes, so
that what the tests prove is what a person runs. Standard library only: nothing has to be installed for it.
"""

from .certs import Authority
from .cluster import Cluster
from .errors import RunError
from .process import Daemon, Identity, reap
from .stack import Stack

__all__ = ["Authority", "Cluster", "Daemon", "Identity", "RunError", "Stack", "reap"]
