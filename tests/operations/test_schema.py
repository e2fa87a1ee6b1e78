"""migrations/*/schema.sql shows what the migrations make: whoever adds one and forgets `./dev docs` fails here."""

import sys

import pytest

from run.layout import PROJECT

sys.path.insert(0, str(PROJECT / "tools" / "docs"))
import schema  # noqa: E402


@pytest.mark.parametrize("name", sorted(schema.SERVICES))
def test_the_schema_on_the_page_is_what_the_migrations_make(servers, name):
    database = servers.shared.databases[list(schema.SERVICES).index(name)]
    said = schema.difference(name, schema.page(name, servers.shared.cluster, database))
    assert not said, f"migrations/{name}/schema.sql is stale: run ./dev docs\n{said}"


def test_it_holds_what_people_look_for(servers):
    text = schema.page("payments", servers.shared.cluster, servers.shared.databases[1])
    assert "CREATE TABLE public.payout (" in text
    assert "CREATE UNIQUE INDEX payout_intent" in text or "CONSTRAINT payout_intent" in text
    assert "GRANT SELECT,INSERT ON TABLE public.step_log TO payments_service;" in text
    assert "\nSET " not in text and "\n--" not in text.split("\n\n", 1)[1] and "OWNER TO" not in text
