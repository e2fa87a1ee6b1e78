# shellcheck shell=bash
# Documentation that is made of the programs.

help_docs() {
    cat <<'END'
./dev docs

Builds, then writes what is made and not written by hand:
  docs/settings.md            from what the programs say of their settings; a stale page fails `./dev test unit`
  ARCHITECTURE.md, rooms      from CMake and the first sentence of each README; a stale table fails `./dev test checks`
  migrations/*/schema.sql     from a new database after all migrations; a stale file fails `./dev test integration`
END
}

cmd_docs() {
    cmd_build dev
    "$PYTHON" tools/docs/settings.py build/dev/bin
    "$PYTHON" tools/docs/rooms.py
    "$PYTHON" tools/docs/schema.py build/dev
}
