# shellcheck shell=bash
# Documentation that is made of the programs.

help_docs() {
    cat <<'END'
./dev docs

Builds, then writes docs/settings.md from what the programs say of their settings. A stale page fails `./dev test unit`.
END
}

cmd_docs() {
    cmd_build dev
    "$PYTHON" tools/docs/settings.py build/dev/bin
}
