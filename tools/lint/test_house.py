"""Each rule of the house finds what it forbids, and only that."""

from __future__ import annotations

from pathlib import Path

import house


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


def rules(found) -> list[tuple[str, str]]:
    return [(f.path, f.rule) for f in found]


def test_a_circle_of_calls_is_found(tmp_path):
    put(tmp_path, "shared/x/a.c", "void a_do(void) {\n    b_do();\n}\n")
    put(tmp_path, "shared/x/b.c", "void b_do(void) {\n    c_do();\n}\n")
    put(tmp_path, "shared/x/c.c", "void c_do(void) {\n    a_do();\n}\n")
    found = [f for f in house.lint_circles(tmp_path) if f.path == "shared/x"]
    assert [f.message for f in found] == ["a -> b -> c -> a"]


def test_calls_down_callbacks_and_namesakes_are_no_circle(tmp_path):
    put(tmp_path, "shared/x/a.c", "static void help(void) {\n}\n\nvoid a_do(void) {\n    help();\n    b_do();\n}\n")
    put(tmp_path, "shared/x/b.c",
        "// a_do() calls this\nvoid b_do(void) {\n    x.a_do(1);\n    log(\"a_do()\");\n    later(a_do);\n}\n\nvoid help(void) {\n}\n")
    put(tmp_path, "shared/x/a_test.c", "void b_do(void) {\n    a_do();\n}\n")
    assert [f for f in house.lint_circles(tmp_path) if f.path == "shared/x"] == []


def test_what_is_cut_is_taken_off_the_list(tmp_path):
    put(tmp_path, f"{house.CIRCLES_LEFT[0]}/a.c", "void a_do(void) {\n}\n")
    assert rules(house.lint_circles(tmp_path)) == [(house.CIRCLES_LEFT[0], "room-circle")]


def test_no_sql_in_an_api(tmp_path):
    put(tmp_path, "payments-svc/api/a.c", 'static const char *X = "SELECT 1";\n')
    put(tmp_path, "payments-svc/api/b.c", "    x = db_get_i64(rows, 0, 0); // why\n")
    put(tmp_path, "payments-svc/api/c.c", "    // SELECT, db_exec\n    x = db_read(pool, 0, a, f, &y, e);\n")
    put(tmp_path, "payments-svc/store/d.c", 'static const char *X = "SELECT 1";\n')
    assert rules(house.lint_api(tmp_path)) == [("payments-svc/api/a.c", "api-sql"), ("payments-svc/api/b.c", "api-sql")]


def test_only_rails_name_a_rail(tmp_path):
    put(tmp_path, "payments-svc/saga/a.c", "if (r->scheme == RAIL_ACH) {\n")
    put(tmp_path, "payments-svc/saga/b.c", '"UPDATE saga SET x = 1 WHERE rail = 2"\n')
    put(tmp_path, "payments-svc/saga/c.c", 'case RAIL_ACCEPTED: "WHERE rail = $2"\n')
    put(tmp_path, "payments-svc/saga/d.c", '#include "rails/ach/ach_rail.h"\n')
    put(tmp_path, "payments-svc/rails/ach/e.c", '#include "rails/ach/ach_rail.h"\nint x = RAIL_ACH;\n')
    put(tmp_path, "payments-svc/rails/instant/f.c", '#include "rails/ach/ach_rail.h"\n')
    assert rules(house.lint_rails(tmp_path)) == [
        (f"payments-svc/{name}", "rail-named") for name in ("rails/instant/f.c", "saga/a.c", "saga/b.c", "saga/d.c")]
