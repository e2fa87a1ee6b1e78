"""What the integration tests stand on: real servers (see tools/run) and clients in Python. Put on the path by conftest.py."""
