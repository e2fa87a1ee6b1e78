"""The base of the integration tests: real servers (see tools/run) and clients in Python. Put on the path by conftest.py."""
