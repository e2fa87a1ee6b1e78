"""What depends on the version of pg_dump, or on its session, is not in the page."""

from __future__ import annotations

import schema

DUMP = """--
-- PostgreSQL database dump
--

\\restrict abcdef

-- Dumped from database version 15.9

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Name: book; Type: TABLE
--

CREATE TABLE public.book (
    book_id bigint NOT NULL
);


GRANT SELECT ON TABLE public.book TO reader;

\\unrestrict abcdef
"""


def test_normalised__keeps_statements_only():
    assert schema.normalised(DUMP) == ("CREATE TABLE public.book (\n    book_id bigint NOT NULL\n);\n\n"
                                       "GRANT SELECT ON TABLE public.book TO reader;\n")


def test_difference__shows_the_stale_line(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "page_file", lambda name: tmp_path / f"{name}.sql")
    assert "+CREATE" in schema.difference("ledger", "CREATE\n")  # there is none yet
    (tmp_path / "ledger.sql").write_text("CREATE\n", encoding="utf-8")
    assert schema.difference("ledger", "CREATE\n") == ""
    assert "-CREATE" in schema.difference("ledger", "CREATE TABLE\n")
