#!/usr/bin/python3
"""A small client of payments-svc: registers a recipient, pays it once, and waits for the end.

    . .run/env                                   # after ./dev up: where the services are, and a certificate
    /usr/bin/python3 examples/pay_client.py MERCHANT REFERENCE AMOUNT_MINOR

The merchant must be there (`payctl merchants create`) and have money (`payctl merchants deposit`). The same reference pays once, however
often this is run. Exit code: 0 settled, 1 not settled, 3 refused. Stubs are made into build/example-stubs, with Debian's packages
protobuf-compiler, protobuf-compiler-grpc and python3-grpcio, which only Debian's own python3 finds. docs/clients.md explains what is done here.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import grpc

PROJECT = Path(__file__).resolve().parents[1]
PLUGIN = "/usr/bin/grpc_python_plugin"
# After these nobody knows whether the call was carried out: the very same request, with the same key, is right.
AGAIN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED, grpc.StatusCode.INTERNAL,
         grpc.StatusCode.UNKNOWN, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED}
PATIENCE_S, CALL_S, PAUSE_S, PAUSE_MAX_S = 60, 10, 0.1, 5


def make_stubs(folder: Path) -> None:
    """Our protos and the errors of Google's; what lies in the packages google and grpc already is not made again."""
    protos = sorted((PROJECT / "proto/payments/v1").glob("*.proto")) + [
        PROJECT / "proto/google/rpc/error_details.proto", PROJECT / "proto/google/rpc/status.proto"]
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["protoc", f"-I{PROJECT / 'proto'}", "-I/usr/include", f"--python_out={folder}", f"--grpc_python_out={folder}",
                    f"--plugin=protoc-gen-grpc_python={PLUGIN}", *map(str, protos)], check=True)
    sys.path.insert(0, str(folder))


def open_channel() -> grpc.Channel:
    """With the client's certificate. The certificate of the server names another host than the address, which is 127.0.0.1."""
    missing = [name for name in ("PAYCTL_PAYMENTS", "PAYCTL_CA_FILE", "PAYCTL_KEY_FILE", "PAYCTL_CERT_FILE") if not os.environ.get(name)]
    if missing:
        sys.exit(f"{', '.join(missing)} must be set in the environment: . .run/env does it after ./dev up")
    files = [Path(os.environ[name]).read_bytes() for name in ("PAYCTL_CA_FILE", "PAYCTL_KEY_FILE", "PAYCTL_CERT_FILE")]
    options = [("grpc.ssl_target_name_override", os.environ.get("PAYCTL_SERVER_NAME", "localhost")), ("grpc.enable_http_proxy", 0)]
    return grpc.secure_channel(os.environ["PAYCTL_PAYMENTS"], grpc.ssl_channel_credentials(*files), options=options)


def reason_of(error: grpc.RpcError) -> tuple[str, list[str]]:
    """(google.rpc.ErrorInfo.reason, the fields at fault): what a program decides by. The message is for people, and may change."""
    from google.rpc import error_details_pb2, status_pb2

    reason, fields = "", []
    for key, value in error.trailing_metadata() or ():
        for detail in status_pb2.Status.FromString(value).details if key == "grpc-status-details-bin" else ():
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                reason = error_details_pb2.ErrorInfo.FromString(detail.value).reason
            elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                bad = error_details_pb2.BadRequest.FromString(detail.value)
                fields += [violation.field for violation in bad.field_violations]
    return reason, fields


def call(method, request):
    """Until there is a definite answer. A definite refusal is raised: repeating it is pointless."""
    limit, pause = time.monotonic() + PATIENCE_S, PAUSE_S
    while True:
        try:
            return method(request, timeout=CALL_S, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() not in AGAIN or time.monotonic() > limit:
                raise
            time.sleep(pause)
            pause = min(2 * pause, PAUSE_MAX_S)


def pay(channel: grpc.Channel, merchant: str, reference: str, amount_minor: int) -> int:
    from payments.v1 import common_pb2 as common, payout_service_pb2 as payouts, payout_service_pb2_grpc
    from payments.v1 import recipient_service_pb2 as recipients, recipient_service_pb2_grpc

    recipient_service = recipient_service_pb2_grpc.RecipientServiceStub(channel)
    payout_service = payout_service_pb2_grpc.PayoutServiceStub(channel)
    # Keys are made of what the client knows, never drawn for each try: so a program that was killed repeats them.
    recipient = call(recipient_service.CreateRecipient, recipients.CreateRecipientRequest(
        merchant_id=merchant, recipient=recipients.NewRecipient(
            idempotency_key=f"example-recipient-{reference}", name="Ann Example", holder_type=common.HOLDER_TYPE_INDIVIDUAL,
            bank_account=recipients.BankAccount(
                routing_code="021000021", account_number="0001234567", account_type=common.BANK_ACCOUNT_TYPE_CHECKING,
                currency="USD")))).recipient
    payout = call(payout_service.CreatePayout, payouts.CreatePayoutRequest(
        merchant_id=merchant, payout=payouts.NewPayout(
            idempotency_key=f"example-payout-{reference}", recipient_id=recipient.recipient_id, amount_minor=amount_minor,
            currency="USD", rail=common.RAIL_INSTANT, external_reference=reference))).payout
    print(f"accepted {merchant}/{payout.payout_id}")  # it is durable now, and is carried out whether we watch or not
    resting = {common.PAYOUT_STATE_SETTLED, common.PAYOUT_STATE_FAILED, common.PAYOUT_STATE_RETURNED, common.PAYOUT_STATE_CANCELED,
               common.PAYOUT_STATE_HELD}  # the last one waits for a person, and may go on after that
    while payout.state not in resting:
        time.sleep(PAUSE_S)
        payout = call(payout_service.GetPayout, payouts.GetPayoutRequest(merchant_id=merchant, payout_id=payout.payout_id)).payout
    print(f"{common.PayoutState.Name(payout.state)} {payout.reason} {payout.reason_text}".rstrip())
    return 0 if payout.state == common.PAYOUT_STATE_SETTLED else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("merchant")
    parser.add_argument("reference")
    parser.add_argument("amount_minor", type=int)
    parser.add_argument("--stubs", type=Path, default=PROJECT / "build/example-stubs", help="folder for the generated stubs")
    args = parser.parse_args()
    make_stubs(args.stubs)
    with open_channel() as channel:
        try:
            return pay(channel, args.merchant, args.reference, args.amount_minor)
        except grpc.RpcError as error:
            reason, fields = reason_of(error)
            print(f"{error.code().name} {reason} {','.join(fields)}: {error.details()}", file=sys.stderr)
            return 3


if __name__ == "__main__":
    sys.exit(main())
