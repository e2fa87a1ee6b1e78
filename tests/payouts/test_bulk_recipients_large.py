"""The largest bulk request of recipients there can be, and the little memory that it may take."""

import grpc
import pytest
from support.paying import Payer

BULK_MAX = 10000


def largest(payer: Payer, merchant):
    pb = payer.recipients_pb
    return pb.BulkCreateRecipientsRequest(merchant_id=merchant.id, recipients=[pb.NewRecipient(
        idempotency_key="k" * 112 + f"-{i:08d}", name="N" * 130 + str(i), holder_type=1,
        bank_account=pb.BankAccount(currency="USD", routing_code="231380104", account_number=f"{i:017d}", account_type=1))
        for i in range(BULK_MAX)])


@pytest.mark.parametrize("arena_mib, fits", [(18, True), (6, False)])
def test_the_largest_bulk_of_recipients(new_world, arena_mib, fits):
    """Taken in and answered again the same; where it does not fit, refused without harm to the process."""
    payer = Payer(new_world({"payments-svc": {"server.arena_max": arena_mib << 20}}))
    merchant = payer.merchant()
    request = largest(payer, merchant)
    call = payer.stub("Recipient").BulkCreateRecipients
    if fits:
        first = call(request, timeout=60)
        assert len(first.results) == BULK_MAX and not any(r.HasField("error") for r in first.results)
        assert call(request, timeout=60) == first
    else:
        with pytest.raises(grpc.RpcError) as failure:
            call(request, timeout=60)
        assert failure.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert merchant.recipient()
