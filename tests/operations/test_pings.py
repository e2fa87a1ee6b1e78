"""Clients that ask now and then whether the connection is alive keep their streams; who does nothing but ask is shown the door.

Common clients send a ping every 10 s (gRPC-Go allows no less). Three of them that come too fast end a connection, so a stream would
have to be watched for 40 s. Here the client pings every 2 s instead: what bears that bears 10 s, and shows it in the time of four pings.
"""

import socket
import ssl
import struct
import time

import grpc
import pytest
from support import rpc, stubs

SERVICES = ("ledger-svc", "payments-svc")
PING_EVERY_MS = 2000
PINGS = 4  # a server that finds them too fast ends the connection with the fourth: the first is free, two are forgiven
GOAWAY, ENHANCE_YOUR_CALM = 7, 11


@pytest.mark.parametrize("service", SERVICES)
def test_a_stream_with_keepalive_pings_stays(world, service):
    """The stream has nothing to say, and is kept until its own deadline: not UNAVAILABLE, "too many pings"."""
    messages, services = stubs.modules("grpc/health/v1/health")
    options = [("grpc.keepalive_time_ms", PING_EVERY_MS), ("grpc.keepalive_timeout_ms", 20_000),
               ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0),
               ("grpc.use_local_subchannel_pool", 1)]
    port = world.daemon(service).ready()["grpc_port"]
    with rpc.channel(port, world.stack.certs, options=options) as channel:
        stream = services.HealthStub(channel).Watch(messages.HealthCheckRequest(), timeout=PING_EVERY_MS / 1000 * (PINGS + 1))
        assert next(stream).status == messages.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as ended:
            next(stream)
    assert ended.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED, ended.value.details()


def frames(connection, until):
    """(type, payload) of each HTTP/2 frame until the peer closes; TimeoutError when it does not by `until` (monotonic)."""
    got = b""
    while True:
        while len(got) >= 9 and len(got) >= 9 + (size := int.from_bytes(got[:3], "big")):
            yield got[3], got[9:9 + size]
            got = got[9 + size:]
        connection.settimeout(max(0.001, until - time.monotonic()))
        try:
            more = connection.recv(65536)
        except ConnectionError:
            return
        if not more:
            return
        got += more


@pytest.mark.parametrize("service", SERVICES)
def test_a_flood_of_pings_ends_the_connection(world, service):
    """Some hundred pings at once, on a connection that does nothing else."""
    certs = world.stack.certs
    context = ssl.create_default_context(cafile=str(certs / "ca.crt"))
    context.load_cert_chain(certs / "test.crt", certs / "test.key")
    context.set_alpn_protocols(["h2"])
    port = world.daemon(service).ready()["grpc_port"]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain, context.wrap_socket(
            plain, server_hostname="localhost") as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        connection.sendall(b"".join(b"\0\0\x08\6\0\0\0\0\0" + struct.pack(">Q", i) for i in range(300)))
        seen = list(frames(connection, time.monotonic() + 10))
    assert [struct.unpack(">I", payload[4:8])[0] for kind, payload in seen if kind == GOAWAY] == [ENHANCE_YOUR_CALM], seen[:5]
