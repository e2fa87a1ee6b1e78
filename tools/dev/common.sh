# shellcheck shell=bash
# Words that the other parts use.

readonly PYTHON=/usr/bin/python3 # Debian's own: the only one that sees Debian's python3-grpcio and python3-pytest

say() { printf '%s\n' "$*" >&2; }

step() { printf '\n\033[1m== %s\033[0m\n' "$*" >&2; }

# Ends the command with a message for a person.
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# For a command without arguments: a word that it does not know must not be taken for its consent.
takes_nothing() {
    [[ $# -eq 1 ]] || fail "./dev $1 takes no arguments, and '$2' is one: nothing was done"
}

run_python() { PYTHONPATH="$PROJECT/tools" "$PYTHON" -m run "$@"; }

require_preset() {
    case "$1" in
        dev | release) ;;
        *) fail "there is no preset '$1': dev or release" ;;
    esac
}

# Our own C files, not what is generated or installed.
c_files() {
    find shared fuzz ledger-svc ledger-verify payments-svc bank-sim cli tests -name '*.[ch]' -type f | sort
}
