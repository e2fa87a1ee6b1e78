# shellcheck shell=bash
# Fuzzing: the libFuzzer targets of fuzz/, built with clang into build/fuzz.

readonly FUZZ_SECONDS=60

help_fuzz() {
    cat <<'END'
./dev fuzz [TARGET...] [--seconds N] [--minimise]

Builds the libFuzzer targets (clang, AddressSanitizer, UndefinedBehaviorSanitizer) and runs each, or those named, for N
seconds (60) on its corpus. What is new and of use is added to fuzz/corpus/TARGET; --minimise then keeps only the inputs
that reach something that no other one does. An input that breaks something is left in build/fuzz/findings/.
END
    printf 'Targets:'
    find fuzz -maxdepth 1 -name 'fuzz_*.c' -printf ' %f\n' | sed 's/^ fuzz_/ /; s/\.c$//' | sort | tr -d '\n'
    printf '\n'
}

cmd_fuzz() {
    local seconds=$FUZZ_SECONDS
    local -a more=() targets=()
    while [[ $# -gt 0 ]]; do
        case "$1" in
            --seconds)
                [[ "${2:-}" =~ ^[1-9][0-9]*$ ]] || fail "--seconds takes a number"
                seconds=$2
                shift
                ;;
            --minimise) more+=(--minimise) ;;
            *)
                [[ "$1" =~ ^[a-z_]+$ && -f "fuzz/fuzz_$1.c" ]] || fail "there is no target '$1': see ./dev fuzz --help"
                targets+=("$1")
                ;;
        esac
        shift
    done
    cmd_setup
    build_fuzz
    "$PYTHON" tools/test/fuzz.py --build build/fuzz --seconds "$seconds" --grow "${more[@]}" "${targets[@]}"
}

build_fuzz() {
    step "Building the fuzzers"
    [[ -e build/fuzz/build.ninja ]] || cmake --preset fuzz >&2
    cmake --build --preset fuzz >&2
}
