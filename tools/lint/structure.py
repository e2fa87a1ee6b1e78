#!/usr/bin/python3
"""The structure lint: rules of the house that no compiler checks. One finding a line, `path:line: rule: message`.

A line may carry a waiver with its reason: `// lint: allow <rule>: <reason>`.
Usage: structure.py [ROOT]
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
CODE_COLUMNS_MAX = 100  # of a line of code with a comment behind it; clang-format holds code alone to it
COMMENT_COLUMNS_MAX = 140  # of a comment that stands by itself
C_FOLDERS = ("shared", "ledger-svc", "ledger-verify", "payments-svc", "bank-sim", "cli", "tests", "fuzz")
# Where amounts of money are handled: no binary fractions at all.
# Folders whose files need no README of their own: the one above them says what they are.
NO_README = ("fuzz/corpus",  # inputs that a fuzzer found
             "proto/google", "proto/grpc")  # public files, as they are published
# Folders that are not the project's: what tools make.
_MADE = ("build", "node_modules", "__pycache__")
MONEY_FOLDERS = ("shared/base/money", "ledger-svc", "payments-svc", "bank-sim", "cli")

DOCUMENTED = (".c", ".h", ".md", ".py", ".sh", ".proto", ".sql")
NO_DOCUMENTS = ("tools/lint", "tools/docs")  # their tests name pages that are not there
BANNED = {
    "strcpy": "base/str.h", "strncpy": "base/str.h", "strcat": "base/str.h",
    "sprintf": "snprintf or strbuf", "vsprintf": "vsnprintf or strbuf", "gets": "fgets", "strtok": "strtok_r or str",
    "atoi": "a checked parser", "atol": "a checked parser", "atoll": "a checked parser", "atof": "money is int64",
    "localtime": "base/clock.h", "gmtime": "gmtime_r", "ctime": "base/clock.h", "asctime": "base/clock.h",
    "rand": "base/clock.h", "srand": "base/clock.h", "random": "base/clock.h", "system": "posix_spawn",
    "popen": "posix_spawn", "alloca": "an arena", "sleep": "a condition to wait for", "usleep": "a condition to wait for",
    "tmpnam": "mkstemp", "mktemp": "mkstemp",
}
_BANNED_CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
_FLOAT = re.compile(r"\b(?:float|double)\b")
CLI_PRINTERS = ("cli/out.c", "cli/pb_json.c")
_PRINTS = re.compile(r"(?<![\w.>])(?:v?f?printf|putchar|puts)\s*\(")
_GRPC_INCLUDE = re.compile(r"#\s*include\s*<grpc/")
_TIME_NULL = re.compile(r"(?<![\w.>])time\s*\(\s*(?:NULL|0)\s*\)")
_ASSERT = re.compile(r"(?<!\w)ASSERT\s*\(")
_CALLED = re.compile(r"(?<![\w.>])(\w+)\s*\(")
# What an ASSERT may call: casts, macros, sizeof, and functions that only look. What only looks has such a name, or stands here.
_ONLY_LOOKS = re.compile(
    r"[A-Z][A-Z0-9_]*|(?:\w+_)?(?:is|has)_\w+|\w+_(?:of|eq|eq_c|cmp|count|ok)|str(?:n?len|n?cmp|pbrk|chr)|mem(?:cmp|chr)|sizeof"
    r"|atomic_load|PQ(?:ntuples|nfields|f?format|ftype|getlength|getvalue|resultStatus|cmdStatus)|sqlite3_column_bytes"
    r"|protobuf_c_message_get_packed_size|db_pipe_affected|tail_(?:sequence|checkpoint)|nacha_corrected|fuzz_str|fixture_deadline")
_CHANGES = re.compile(r"\+\+|--|(?<![=!<>])=(?!=)")
_ERR_OPEN = re.compile(r"^\s+err \w+\s*[,;]")
_WAITS_BY_HAND = re.compile(r"(?<![\w.>])(?:pthread_condattr_setclock|pthread_cond_(?:timed|clock)wait)\s*\(")
_DOCUMENT = re.compile(r"(?<![\w./-])((?:\.\./)*\w[\w./-]*\.md)\b")
# A test of cmocka, and how it is named: the subject, perhaps behind the promises that it holds; what is the case; what must be.
_C_TEST = re.compile(r"^(?:static )?void (\w+)\(void \*\*\w*\)", re.MULTILINE)
_C_TEST_NAME = re.compile(r"test(?:_(?:[A-Z]+|[a-z0-9]+))+(?:__[a-z0-9]+(?:_[a-z0-9]+)*)+")
_UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b")
_WAIVER = re.compile(r"lint: allow ([\w-]+): \S")
_OPTIONAL = re.compile(r"^\s*optional\s+[\w.]+\s+\w+\s*=")
_PROMISE = re.compile(r"^\| ([A-Z][A-Z-]+) \|.*\| `([\w/.]+)` `(\w+)` \|$")
_FUNCTION_HEAD = re.compile(r"^[A-Za-z_][\w\s*(),.\[\]\"]*\(")
_BLOCK_NAMES = ("struct", "union", "enum", "typedef", "extern")


@dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


RULES = ("file-length", "function-length", "banned-function", "money-float", "grpc-include", "wall-clock", "include-guard",
         "unfinished", "proto-optional", "folder-readme", "promise-test", "cli-print", "assert-effect", "err-begin",
         "timed-wait", "comment-width", "torn-line", "document-there", "test-name")


def strip_c(text: str) -> str:
    """The text with comments and the insides of literals blanked; the lines stay where they are."""
    out: list[str] = []
    i, n = 0, len(text)
    while i < n:
        two = text[i:i + 2]
        if two == "//":
            end = text.find("\n", i)
            end = n if end < 0 else end
            i = end
        elif two == "/*":
            end = text.find("*/", i + 2)
            end = n if end < 0 else end + 2
            out.append("\n" * text.count("\n", i, end) or " ")
            i = end
        elif text[i] in "\"'":
            quote, j = text[i], i + 1
            while j < n and text[j] not in (quote, "\n"):
                j += 2 if text[j] == "\\" else 1
            out.append(quote + quote)
            i = j + 1 if j < n and text[j] == quote else j
        else:
            out.append(text[i])
            i += 1
    return "".join(out)


def functions(code: str) -> list[tuple[int, int, str]]:
    """(first line, length, name) of each function definition in stripped, clang-formatted code: a definition starts and
    ends at the first column. Macros are left out."""
    found = []
    lines = code.split("\n")
    head, in_macro, i = -1, False, 0
    while i < len(lines):
        line = lines[i]
        if in_macro or line.startswith("#"):
            in_macro = line.endswith("\\")
            head = -1
        elif line and not line[0].isspace() and line[0] not in "{}":
            if head < 0:
                head = i
            if line.rstrip().endswith(";"):
                head = -1
        if head >= 0 and line.rstrip().endswith("{"):
            signature = " ".join(lines[head:i + 1])
            end = i
            while end < len(lines) and not lines[end].startswith("}"):
                end += 1
            name = _function_name(signature)
            if name and end < len(lines) and lines[end].rstrip() == "}":
                found.append((head + 1, end - head + 1, name))
            head, i = -1, end
        i += 1
    return found


def _function_name(signature: str) -> str | None:
    if not _FUNCTION_HEAD.match(signature) or "=" in signature.split("(")[0]:
        return None
    if signature.split()[0] in _BLOCK_NAMES and ")" not in signature:
        return None
    names = re.findall(r"(\w+)\s*\(", signature)
    return names[0] if names else None


def has_guard(path: str, lines: list[str]) -> bool:
    """shared/base/err.h has BASE_ERR_H: the file's name, and before it what makes it the only one in the project."""
    stem = re.sub(r"\W", "_", Path(path).stem).upper()
    guard = re.compile(rf"#ifndef (\w*{stem}_H)$")
    for this, following in zip(lines, lines[1:]):
        match = guard.match(this)
        if match and following == f"#define {match.group(1)}":
            return True
    return False


def comment_at(line: str) -> int:
    """Where a line's comment begins; -1: it has none."""
    quote, i = "", 0
    while i < len(line):
        if quote:
            i += line[i] == "\\"
            quote = "" if line[i:i + 1] == quote else quote
        elif line[i] in "\"'":
            quote = line[i]
        elif line.startswith("//", i):
            return i
        i += 1
    return -1


def _goes_on(code: str) -> bool:
    """True when the statement of a line of code, which has no comment, does not end with it."""
    return (code.strip() != "" and not code.endswith((";", "{", "}", "\\", ":")) and not code.lstrip().startswith(("#", "\""))
            and (not code.endswith(",") or code.count("(") > code.count(")")))


def comments(raw: list[str]) -> list[tuple[int, str, str]]:
    """(line, rule, message) of each comment that is too wide, or that has torn the code before it apart."""
    found, before = [], ""
    for i, line in enumerate(raw, 1):
        at = comment_at(line)
        code = line if at < 0 else line[:at].rstrip()
        if at >= 0 and not code and len(line) > COMMENT_COLUMNS_MAX:
            found.append((i, "comment-width", f"{len(line)} columns, at most {COMMENT_COLUMNS_MAX} for a comment by itself"))
        if at >= 0 and code:
            if len(line) > CODE_COLUMNS_MAX:
                found.append((i, "comment-width", "a comment behind code fits its line, or stands above it"))
            elif (_goes_on(before) and not code.lstrip().startswith("}")
                  and len(before) + 1 + len(code.lstrip()) <= CODE_COLUMNS_MAX):
                found.append((i, "torn-line", "the code would fit one line without its comment: the comment stands above it"))
        before = code if at < 0 else ""
    return found


def asserted(code: str) -> list[tuple[int, str]]:
    """(line, condition) of each ASSERT in stripped code."""
    found = []
    for match in _ASSERT.finditer(code):
        end, depth = match.end(), 1
        while depth > 0 and end < len(code):
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            end += 1
        found.append((code.count("\n", 0, match.start()) + 1, code[match.end():end - 1]))
    return found


def lint_c(path: str, text: str) -> list[Finding]:
    raw = text.splitlines()
    code = strip_c(text)
    waived = {(i, match.group(1)) for i, line in enumerate(raw, 1) for match in _WAIVER.finditer(line)}
    found: list[Finding] = []

    def add(line: int, rule: str, message: str) -> None:
        if (line, rule) not in waived:
            found.append(Finding(path, line, rule, message))

    if len(raw) > FILE_LINES_MAX:
        add(1, "file-length", f"{len(raw)} lines, at most {FILE_LINES_MAX}")
    for first, length, name in functions(code):
        if length > FUNCTION_LINES_MAX:
            add(first, "function-length", f"{name} has {length} lines, at most {FUNCTION_LINES_MAX}")
    in_rpc = path.startswith("shared/rpc/")
    money = path.startswith(MONEY_FOLDERS)
    for i, line in enumerate(code.split("\n"), 1):
        for match in _BANNED_CALL.finditer(line):
            add(i, "banned-function", f"{match.group(1)}: use {BANNED[match.group(1)]}")
        if money and _FLOAT.search(line):
            add(i, "money-float", "no binary fractions where money is handled")
        if path.startswith("cli/") and path not in CLI_PRINTERS and not path.endswith("_test.c") and _PRINTS.search(line):
            add(i, "cli-print", "text goes to a terminal by cli_print, which takes out what would steer it")
        if not in_rpc and _GRPC_INCLUDE.search(line):
            add(i, "grpc-include", "only shared/rpc includes <grpc/*>")
        if not path.startswith("shared/base/clock") and _TIME_NULL.search(line):
            add(i, "wall-clock", "time comes through base/clock.h")
    for first, length, _ in functions(code):
        for i, line in enumerate(code.split("\n")[first:first + length - 1], first + 1):
            if _ERR_OPEN.match(line):
                add(i, "err-begin", "an error begins empty: err e = {0};")
    for i, line in enumerate(code.split("\n"), 1):
        if not path.startswith("shared/base/cond") and _WAITS_BY_HAND.search(line):
            add(i, "timed-wait", "a wait with an end is made by base/cond.h")
    for i, rule, message in comments(raw):
        add(i, rule, message)
    for i, condition in asserted(code):
        effects = [name for name in _CALLED.findall(condition) if not _ONLY_LOOKS.fullmatch(name)]
        if effects or _CHANGES.search(condition):
            add(i, "assert-effect", f"{effects[0] if effects else 'an assignment'}: what has an effect stands in MUST")
    for match in _C_TEST.finditer(code):
        if not _C_TEST_NAME.fullmatch(match.group(1)):
            add(code.count("\n", 0, match.start()) + 1, "test-name",
                f"{match.group(1)}: a test is named test_subject__what_is_the_case__what_must_be")
    for i, line in enumerate(raw, 1):
        if _UNFINISHED.search(line):
            add(i, "unfinished", "finish it or write it down elsewhere")
    if path.endswith(".h") and not has_guard(path, raw):
        add(1, "include-guard", "there is none that ends with the file's name and _H")
    return found


def lint_proto(path: str, text: str) -> list[Finding]:
    return [Finding(path, i, "proto-optional", "protobuf-c does not know proto3 optional")
            for i, line in enumerate(text.splitlines(), 1) if _OPTIONAL.match(line)]


def folders_with_files(root: Path) -> list[str]:
    """All of the project, as paths below root, except root itself and hidden ones. Hidden files do not count."""
    found = []
    for folder, inner, files in os.walk(root):
        inner[:] = [name for name in inner if name not in _MADE and (name == ".ci" or not name.startswith("."))]
        path = Path(folder).relative_to(root).as_posix()
        if path != "." and any(not name.startswith(".") for name in files):
            found.append(path)
    return sorted(found)


def lint_readmes(root: Path) -> list[Finding]:
    return [Finding(folder, 1, "folder-readme", "a folder says in a README what lives there")
            for folder in folders_with_files(root)
            if not any(folder == free or folder.startswith(f"{free}/") for free in NO_README)
            and not (root / folder / "README.md").exists()]


def lint_promises(root: Path) -> list[Finding]:
    """The table of the promises: each row names a test that is there and carries the promise's name."""
    found = []
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    for i, line in enumerate(text.splitlines(), 1):
        match = _PROMISE.match(line)
        if match is None:
            continue
        promise, path, test = match.groups()
        file = root / path
        if promise.replace("-", "_") not in test:
            found.append(Finding("README.md", i, "promise-test", f"{test} does not carry the name of {promise}"))
        elif not file.exists() or f"def {test}(" not in file.read_text(encoding="utf-8"):
            found.append(Finding("README.md", i, "promise-test", f"there is no {test} in {path}"))
    return found


def lint_documents(root: Path) -> list[Finding]:
    """A page that a text names is there: below the root, below docs/, or beside the text; by its bare name, anywhere."""
    found, folders = [], ["", *folders_with_files(root)]
    pages = {file.name for folder in folders for file in (root / folder).glob("*.md")}
    for folder in folders:
        for file in sorted((root / folder).iterdir()):
            if not file.is_file() or file.suffix not in DOCUMENTED or folder in NO_DOCUMENTS:
                continue
            path = file.relative_to(root).as_posix()
            for i, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                for name in _DOCUMENT.findall(line):
                    if name not in pages and not any((place / name).exists() for place in (root, root / "docs", file.parent)):
                        found.append(Finding(path, i, "document-there", f"there is no {name}"))
    return found


def lint_tree(root: Path) -> list[Finding]:
    found = lint_readmes(root) + lint_promises(root) + lint_documents(root)
    for name in C_FOLDERS:
        for file in sorted((root / name).rglob("*.[ch]")):
            path = file.relative_to(root)
            found += lint_c(path.as_posix(), file.read_text(encoding="utf-8"))
    for file in sorted((root / "proto").rglob("*.proto")):
        path = file.relative_to(root)
        if path.parts[1] not in ("google", "grpc"):  # public files, as they are published
            found += lint_proto(path.as_posix(), file.read_text(encoding="utf-8"))
    return sorted(found)


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    found = lint_tree(root)
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
