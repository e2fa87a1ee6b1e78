"""Channels with mutual TLS, and errors taken apart: code, reason, metadata."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc

# Refusals of big messages must come from the server, so our own side has no limit. Tests restart servers: look again soon.
OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1),
           ("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0), ("grpc.initial_reconnect_backoff_ms", 100),
           ("grpc.min_reconnect_backoff_ms", 2000), ("grpc.max_reconnect_backoff_ms", 500)]

# Promise DEFINITE-ERRORS: after these the same call with the same ids is right, after all others it is pointless.
REPEATABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED,
              grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.RESOURCE_EXHAUSTED,
              grpc.StatusCode.CANCELLED}  # by gRPC itself, of a server that is stopping


def persist(call, request, *, patience_s: float = 60, timeout: float = 10):
    """Repeats the very same request until it has a definite answer, as a careful client does. `call` is made anew for each
    try: call() gives the stub's method."""
    limit = time.monotonic() + patience_s
    while True:
        try:
            return call()(request, timeout=timeout, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() not in REPEATABLE or time.monotonic() > limit:
                raise
            time.sleep(0.05)


def channel(port: int, certs: Path, identity: str = "test", *, ca: str = "ca", options: tuple | list = ()) -> grpc.Channel:
    """As `identity`; an empty one shows no client certificate."""
    root = (certs / f"{ca}.crt").read_bytes()
    cert = (certs / f"{identity}.crt").read_bytes() if identity else None
    key = (certs / f"{identity}.key").read_bytes() if identity else None
    return grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(root, key, cert), options=[*OPTIONS, *options])


@dataclass
class Failure:
    """A failed call as a client sees it. reason and domain are those of google.rpc.ErrorInfo."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)
    retry_after_s: float | None = None  # of google.rpc.RetryInfo


def failure(error: grpc.RpcError) -> Failure:
    from google.rpc import error_details_pb2, status_pb2  # generated: see stubs.py

    found = Failure(error.code(), error.details() or "")
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        status = status_pb2.Status.FromString(value)
        assert status.code == error.code().value[0], "grpc-status-details-bin names another code than grpc-status"
        for detail in status.details:
            kind = detail.type_url.rpartition("/")[2]
            if kind == "google.rpc.ErrorInfo":
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
                found.reason, found.domain, found.metadata = info.reason, info.domain, dict(info.metadata)
            elif kind == "google.rpc.BadRequest":
                bad = error_details_pb2.BadRequest.FromString(detail.value)
                found.fields = [violation.field for violation in bad.field_violations]
            elif kind == "google.rpc.RetryInfo":
                delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
                found.retry_after_s = delay.seconds + delay.nanos / 1e9
    return found


def refused(call, request, **kwargs) -> Failure:
    """Makes a call that must fail; a success is an assertion error."""
    try:
        answer = call(request, timeout=kwargs.pop("timeout", 10), **kwargs)
    except grpc.RpcError as error:
        return failure(error)
    raise AssertionError(f"the call should have been refused, and answered {answer}")
