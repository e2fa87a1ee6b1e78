"""Each rule of the structure lint must be able to fail, and must let good code pass."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import structure  # noqa: E402


def rules(path: str, text: str) -> list[str]:
    return [finding.rule for finding in structure.lint_c(path, text)]


def function(body_lines: int, name: str = "work") -> str:
    return f"static int {name}(int a,\n                int b) {{\n" + "    a += b;\n" * body_lines + "}\n"


def test_function_of_the_limit_passes_and_one_line_more_fails():
    fits = structure.FUNCTION_LINES_MAX - 3
    assert rules("shared/base/a.c", function(fits)) == []
    assert rules("shared/base/a.c", function(fits + 1)) == ["function-length"]


def test_length_is_found_for_each_function_and_named():
    text = function(2, "small") + "\n" + function(100, "large") + "\n" + function(2, "last")
    found = structure.lint_c("shared/base/a.c", text)
    assert [f.rule for f in found] == ["function-length"]
    assert "large" in found[0].message and found[0].line == 7


def test_tables_macros_and_structs_are_not_functions():
    table = "static const row ROWS[] = {\n" + "    {1, 2},\n" * 200 + "};\n"
    macro = "#define DO(x) do { \\\n" + "    x; \\\n" * 100 + "} while (0)\n"
    struct = "typedef struct a {\n" + "    int b;\n" * 100 + "} a;\n"
    assert rules("shared/base/a.c", table + macro + struct) == []


def test_braces_in_literals_and_comments_do_not_matter():
    text = 'static void f(void) {\n    puts("}\\"{"); // }\n    /* }\n} */\n' + "    g();\n" * 80 + "}\n"
    assert rules("shared/base/a.c", text) == ["function-length"]


def test_file_length():
    assert rules("shared/base/a.c", "\n" * structure.FILE_LINES_MAX) == []
    assert rules("shared/base/a.c", "\n" * (structure.FILE_LINES_MAX + 1)) == ["file-length"]


@pytest.mark.parametrize("name", sorted(structure.BANNED))
def test_banned_functions(name):
    assert rules("shared/base/a.c", f"    {name} (x);\n") == ["banned-function"]
    assert rules("shared/base/a.c", f"    my_{name}(x); s->{name}(x); s.{name}(x);\n") == []
    assert rules("shared/base/a.c", f'    log("{name}(x)"); // {name}(x)\n') == []


@pytest.mark.parametrize("name, good", [
    ("test_queue__full__refuses", True),
    ("test_queue__first_in_first_out", True),
    ("test_case_30_38__limit_is_exact", True),
    ("test_NO_DOUBLE_rename__answer_lost__not_uploaded_again", True),
    ("test_SEEN__what_is_held_has_a_case", True),
    ("queue__full__refuses", False),
    ("test_a_full_queue_refuses", False),
    ("test_queue__full__NO_LOSS", False),
    ("test_Queue__full__refuses", False),
    ("test_queue__", False),
])
def test_names_of_tests_in_c(name, good):
    text = f"static void {name}(void **state) {{\n    (void)state;\n}}\n"
    assert rules("shared/base/a_test.c", text) == ([] if good else ["test-name"])
    assert rules("shared/base/a_test.c", text.replace("void **state", "const char *text").replace("state", "text")) == []


def test_a_waiver_needs_the_rule_and_a_reason():
    assert rules("cli/a.c", "    sleep(1); // lint: allow banned-function: a person reads this\n") == []
    assert rules("cli/a.c", "    sleep(1); // lint: allow banned-function:\n") == ["banned-function"]
    assert rules("cli/a.c", "    sleep(1); // lint: allow money-float: no\n") == ["banned-function"]


def test_text_for_a_terminal_goes_one_way():
    assert rules("cli/a.c", '    (void)printf("%s", s);\n') == ["cli-print"]
    assert rules("cli/a.c", '    (void)fprintf(stderr, "%s", s);\n') == ["cli-print"]
    assert rules("cli/a.c", '    cli_print(stdout, "%s", s);\n    arena_printf(a, "%s", s);\n') == []
    assert rules("cli/out.c", '    printf("%s", s);\n') == rules("cli/a_test.c", '    printf("%s", s);\n') == []


def test_no_binary_fractions_where_money_is():
    assert rules("ledger-svc/journal/a.c", "    double d = 1;\n") == ["money-float"]
    assert rules("shared/base/metrics.c", "    double d = 1;\n") == []


def test_grpc_headers_only_in_rpc():
    assert rules("payments-svc/a.c", "#include <grpc/grpc.h>\n") == ["grpc-include"]
    assert rules("shared/rpc/a.c", "#include <grpc/grpc.h>\n") == []


def test_wall_clock():
    assert rules("cli/a.c", "    x = time(NULL);\n") == ["wall-clock"]
    assert rules("cli/a.c", "    x = clock_time(NULL);\n") == []


def test_include_guard():
    good = "#ifndef BASE_ERR_H\n#define BASE_ERR_H\n#endif\n"
    assert rules("shared/base/err.h", good) == []
    assert rules("ledger-svc/settings.h", good.replace("BASE_ERR", "LEDGER_SETTINGS")) == []
    assert rules("shared/base/err.h", good.replace("ERR", "STR")) == ["include-guard"]
    assert rules("shared/base/err.h", good.replace("define BASE", "define CASE")) == ["include-guard"]
    assert rules("shared/base/err.h", "int x;\n") == ["include-guard"]


def test_unfinished_work():
    assert rules("cli/a.c", "// TO" + "DO: later\n") == ["unfinished"]


def test_proto_optional():
    assert structure.lint_proto("proto/a.proto", "  // optional string\n  string a = 1;\n") == []
    found = structure.lint_proto("proto/a.proto", "message A {\n  optional string a = 1;\n}\n")
    assert [(f.rule, f.line) for f in found] == [("proto-optional", 2)]


def test_tree(tmp_path):
    folder = tmp_path / "cli"
    folder.mkdir()
    (folder / "a.c").write_text("    gets(x);\n", encoding="utf-8")
    assert [f.rule for f in structure.lint_tree(tmp_path)] == ["folder-readme", "banned-function"]
    (folder / "README.md").write_text("What lives here.\n", encoding="utf-8")
    assert [f.rule for f in structure.lint_tree(tmp_path)] == ["banned-function"]


@pytest.mark.parametrize("path, said", [
    ("docs/a.md", ["docs"]), (".ci/run", [".ci"]), ("a/b/c.sh", ["a/b"]),
    ("fuzz/corpus/wire/00ff", []), ("proto/google/rpc/code.proto", []), ("a.c", []),
    ("build/dev/x.o", []), ("tools/proto/node_modules/buf/buf", []), (".run/log/x", []), ("tools/__pycache__/a.pyc", []),
    ("tools/proto/.npmrc", []),
])
def test_each_folder_with_files_has_a_readme(tmp_path, path, said):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x", encoding="utf-8")
    assert [f.path for f in structure.lint_readmes(tmp_path)] == said


@pytest.mark.parametrize("row, found", [
    ("| NO-DOUBLE | Once. | `tests/test_a.py` `test_NO_DOUBLE_here` |", False),
    ("| NO-DOUBLE | Once. | `tests/test_a.py` `test_NO_DOUBLE_there` |", True),
    ("| NO-DOUBLE | Once. | `tests/test_b.py` `test_NO_DOUBLE_here` |", True),
    ("| NO-LOSS | Ever. | `tests/test_a.py` `test_NO_DOUBLE_here` |", True),
])
def test_a_promise_names_a_test_that_is_there(tmp_path, row, found):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_NO_DOUBLE_here(payer):\n    pass\n", encoding="utf-8")
    (tmp_path / "README.md").write_text(f"| promise | says | test |\n|---|---|---|\n{row}\n", encoding="utf-8")
    assert [f.rule for f in structure.lint_promises(tmp_path)] == (["promise-test"] if found else [])


def test_all_promises_are_in_the_table():
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    rows = [match.group(1) for match in map(structure._PROMISE.match, text.splitlines()) if match]
    assert rows == ["NO-DOUBLE", "NO-LOSS", "BALANCED", "NO-OVERDRAFT", "UNKNOWN-IS-A-STATE", "DEFINITE-ERRORS", "APPEND-ONLY",
                    "FENCED", "EXPLAINED", "TOLD", "SEEN", "TENANT"]


@pytest.mark.parametrize("condition", ["map_put(m, key, v)", "n++ == 0", "--n > 0", "(n = left) > 0", "a &&\n           close(fd) == 0"])
def test_an_assert_has_no_effect(condition):
    assert rules("shared/base/a.c", f"    ASSERT({condition});\n") == ["assert-effect"]
    assert rules("shared/base/a.c", f"    MUST({condition});\n") == []


@pytest.mark.parametrize("condition", [
    "a == b && c <= d && e != f", "str_eq_c(s, \"x++\")", "strlen(s) < sizeof(path)", "uuid_is_nil(id) || is_name(n)",
    "map_count(m) == 0 && s->next == NULL", "n < MAX(1, 2)", "s->ops.look(s) > 0"])
def test_an_assert_may_look(condition):
    assert rules("shared/base/a.c", f"    ASSERT({condition});\n") == []


def test_an_error_begins_empty():
    body = "static bool f(void) {{\n    {}\n    return g(&e);\n}}\n"
    assert rules("shared/base/a.c", body.format("err e;")) == ["err-begin"]
    assert rules("shared/base/a.c", body.format("err why, e;")) == ["err-begin"]
    assert rules("shared/base/a.c", body.format("err e = {0};")) == []
    assert rules("shared/base/a.c", "typedef struct answer {\n    err e;\n} answer;\n") == []


def test_a_wait_with_an_end_is_made_in_one_place():
    line = "    pthread_cond_timedwait(&c, &l, &until);\n"
    assert rules("bank-sim/ach/ach.c", line) == ["timed-wait"]
    assert rules("shared/base/cond.c", line) == []


def test_a_comment_has_a_width():
    assert rules("shared/base/a.c", "// " + "x" * (structure.COMMENT_COLUMNS_MAX - 3) + "\n") == []
    assert rules("shared/base/a.c", "// " + "x" * (structure.COMMENT_COLUMNS_MAX - 2) + "\n") == ["comment-width"]
    code = "    f(a); // "
    assert rules("shared/base/a.c", code + "x" * (structure.CODE_COLUMNS_MAX - len(code)) + "\n") == []
    assert rules("shared/base/a.c", code + "x" * (structure.CODE_COLUMNS_MAX - len(code) + 1) + "\n") == ["comment-width"]
    assert rules("shared/base/a.c", '    f("https://' + "x" * 120 + '");\n') == []  # clang-format's business


@pytest.mark.parametrize("text", [
    "    const char\n        *name; // of the file\n", "    KIND_POST =\n        3, // moves the amount\n",
    "    char reason\n        [REASON_MAX]; // why\n", "    f(a, b,\n      c); // why\n", "    if (a &&\n        b) { // why\n"])
def test_a_comment_does_not_tear_its_line(text):
    assert rules("shared/base/a.c", text) == ["torn-line"]


@pytest.mark.parametrize("text", [
    "enum {\n    A,\n    B // last\n};\n", "    f(a);\n    g(b); // why\n", "    // above\n    g(b); // why\n",
    "    const bool x = " + "a" * 60 + " &&\n                   " + "b" * 60 + "; // why\n",
    "#define X 1\nint x; // why\n", "    case A:\n        return 1; // why\n"])
def test_a_comment_may_stand_behind_its_line(text):
    assert rules("shared/base/a.c", text) == []


def test_a_page_that_is_named_is_there(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("see b.md, b/README.md and [x](../README.md)\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("docs/a.md, a.md\n", encoding="utf-8")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.c").write_text("// docs/a.md\n// reference/c.md, 4.3\n", encoding="utf-8")
    assert sorted((f.path, f.line, f.message) for f in structure.lint_documents(tmp_path)) == [
        ("code/a.c", 2, "there is no reference/c.md"), ("docs/a.md", 1, "there is no b.md"), ("docs/a.md", 1, "there is no b/README.md")]
