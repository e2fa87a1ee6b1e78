# shellcheck shell=bash
# Tests and benchmarks. Each run has a folder of its own below .run/test/, named after this process, and removes it.

readonly FUZZ_TEST_SECONDS=3
readonly INTEGRATION_LANES=2 # each waits about half of its time: two fill two cores
readonly INTEGRATION_MINUTES_MAX=55
readonly CRASH_FULL_MINUTES_MAX=600
TEST_FOLDER=''
TEST_STAGE_PID=''

help_test() {
    cat <<'END'
./dev test [unit|checks|integration [pytest arguments]|crash [options]|fuzz|mutations [names]]

Without a part: packages, the dev build (AddressSanitizer and UndefinedBehaviorSanitizer), then
  unit         the C unit tests (CTest, cmocka)
  checks       formatting, the structure lint, buf lint and format, and the tests of the tools
  integration  pytest against real servers: PostgreSQL, sshd, both services with TLS, crashes and faults; two files at a time
               (-n 0: one at a time)
  fuzz         libFuzzer on every decoder, a few seconds each on top of the inputs that are kept (its own clang build)
and, only when it is asked for,
  crash        the crash tests of the integration alone: each point killed in three ways, and pairs, in which the second
               crash comes while the first one is recovered. 200 pairs are drawn, others each time; the seed stands in the names
               of the tests. (The whole run has a sample of its own, the same each time.)
                 --seed N --pairs N     draw these (pairs only)
                 --pair [KIND=]A,B,...  only these deaths, one after the other, as a failure names them. KIND: again (the process
                                        that died is started again and dies in its recovery), two (another instance dies while
                                        it takes over). A point may have its way: A:kill, A:stop (two), A:postgres
                 --full                 every pair of either kind, some 10,000, with progress and the time that is left: hours
                 --worlds N             chains of pairs that run at the same time (2)
  mutations    known faults, each put into a copy of the tree (build/mutations/), where its test must turn red
The last line is `N passed, N failed`. The exit code is 0 only when nothing failed and no stage was empty.
A run has its own database, ports and processes and removes them at its end, also after Ctrl-C; the logs of a run
that failed stay in build/test-logs/.
END
}

test_cleanup() {
    local code=$?
    trap '' INT TERM
    if [[ -n "$TEST_STAGE_PID" ]]; then
        kill -TERM -- "-$TEST_STAGE_PID" 2>/dev/null || true
        wait "$TEST_STAGE_PID" 2>/dev/null || true
    fi
    if [[ -n "$TEST_FOLDER" ]]; then
        if [[ $code -ne 0 ]]; then
            keep_logs
        fi
        run_python sweep --folder .run/test --owner "$$" || true
    fi
    exit "$code"
}

keep_logs() {
    rm -rf build/test-logs
    mkdir -p build/test-logs
    (cd "$TEST_FOLDER" && find . \( -name '*.log' -o -name '*.ini' -o -name '*.xml' \) -print0 |
        tar --null --no-recursion -T - -cf - 2>/dev/null) | tar -C build/test-logs -xf - 2>/dev/null || true
    say "logs of this run: build/test-logs/"
}

# What each test took: tools/test/longest.py reads it.
keep_results() {
    mkdir -p build/test-results
    cp "$RESULTS"/*.xml build/test-results/ 2>/dev/null || true
}

# A stage runs in a process group of its own, so that Ctrl-C reaches this script first and the stage through the cleanup.
in_group() {
    set -m
    DISBURSE_RUN="$TEST_FOLDER" "$@" & # the mark by which a later run finds it, should this script be killed
    TEST_STAGE_PID=$!
    set +m
    local code=0
    wait "$TEST_STAGE_PID" || code=$?
    TEST_STAGE_PID=''
    return "$code"
}

stage_unit() {
    step "Unit tests"
    # CTest's own parallelism; the output of passing programs is kept whole, as the cmocka counts are read from it.
    in_group ctest --test-dir build/dev --output-on-failure --no-tests=error --parallel "$(nproc)" --timeout 300 \
        --test-output-size-passed 1048576 --test-output-size-failed 1048576 \
        --output-junit "$RESULTS/unit.xml" >&2 || true
}

stage_checks() {
    step "Checks"
    ensure_buf || true # the checks that need it will say so
    in_group "$PYTHON" tools/test/checks.py --junit "$RESULTS/checks.xml" >&2 || true
    in_group "$PYTHON" -m pytest -p no:cacheprovider -q tools --junitxml="$RESULTS/tools.xml" >&2 || true
}

stage_fuzz() {
    build_fuzz
    step "Fuzzing, $FUZZ_TEST_SECONDS s for each target"
    in_group "$PYTHON" tools/test/fuzz.py --build build/fuzz --seconds "$FUZZ_TEST_SECONDS" \
        --at-once "$(nproc)" --junit "$RESULTS/fuzz.xml" >&2 || true
}

# What must have the terminal, or shows what tests print at once, runs in pytest's own process.
lanes_for() {
    local argument
    for argument in "$@"; do
        case "$argument" in
            -s | --capture=no | --pdb | --trace)
                echo 0
                return
                ;;
        esac
    done
    echo "$INTEGRATION_LANES"
}

# A lane takes whole files; tests/support/lanes.py has what lanes do not share, and their order.
stage_integration() {
    step "Integration tests"
    DISBURSE_TEST_FOLDER="$TEST_FOLDER" DISBURSE_BUILD="$PROJECT/build/dev" \
        in_group timeout --signal=INT --kill-after=60 "${INTEGRATION_MINUTES_MAX}m" \
        "$PYTHON" -m pytest -p no:cacheprovider -n "$(lanes_for "$@")" --dist loadfile tests -v --durations=10 \
        --junitxml="$RESULTS/integration.xml" "$@" >&2 || true
}

# Options of pairs.py are passed on by the names that pytest knows them by.
stage_crash() {
    local minutes="$INTEGRATION_MINUTES_MAX"
    local -a files=(tests/operations/test_crash_points.py tests/operations/test_crash_rooms.py tests/operations/test_crash_pairs.py)
    local -a options=("--crash-seed=$((RANDOM * 32768 + RANDOM))") # the last one that is given counts
    while [[ $# -gt 0 ]]; do
        files=(tests/operations/test_crash_pairs.py)
        case "$1" in
            --full)
                minutes="$CRASH_FULL_MINUTES_MAX"
                options+=(--crash-full)
                shift
                ;;
            --seed | --pairs | --pair | --worlds)
                [[ $# -ge 2 ]] || fail "$1 takes a value"
                options+=("--crash-${1#--}=$2")
                shift 2
                ;;
            *) fail "crash takes --full, --seed N, --pairs N, --pair A,B and --worlds N" ;;
        esac
    done
    step "Crashes"
    DISBURSE_TEST_FOLDER="$TEST_FOLDER" DISBURSE_BUILD="$PROJECT/build/dev" \
        in_group timeout --signal=INT --kill-after=60 "${minutes}m" \
        "$PYTHON" -m pytest -p no:cacheprovider "${files[@]}" -v -s "${options[@]}" --junitxml="$RESULTS/crash.xml" >&2 || true
}

stage_mutations() {
    step "Faults put in on purpose"
    in_group "$PYTHON" tests/mutations/run.py --test-folder "$TEST_FOLDER" --junit "$RESULTS/mutations.xml" "$@" >&2 || true
}

cmd_test() {
    local part="${1:-all}"
    [[ $# -eq 0 ]] || shift
    case "$part" in
        all | unit | checks | integration | crash | fuzz | mutations) ;;
        *) fail "there is no part '$part': unit, checks, integration, crash, fuzz or mutations" ;;
    esac
    [[ $# -eq 0 || "$part" == integration || "$part" == crash || "$part" == mutations ]] ||
        fail "only integration, crash and mutations take further arguments"

    cmd_setup
    trap test_cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    run_python sweep --folder .run/test # runs that were killed before they could clean up
    TEST_FOLDER="$(run_python new-folder --folder .run/test --owner "$$")"
    RESULTS="$TEST_FOLDER/results"
    mkdir -p "$RESULTS"

    [[ "$part" == checks || "$part" == fuzz || "$part" == mutations ]] || cmd_build dev
    local -a results=()
    if [[ "$part" == all || "$part" == unit ]]; then
        stage_unit
        results+=("$RESULTS/unit.xml")
    fi
    if [[ "$part" == all || "$part" == checks ]]; then
        stage_checks
        results+=("$RESULTS/checks.xml" "$RESULTS/tools.xml")
    fi
    if [[ "$part" == all || "$part" == integration ]]; then
        stage_integration "$@"
        results+=("$RESULTS/integration.xml")
    fi
    if [[ "$part" == all || "$part" == fuzz ]]; then
        stage_fuzz
        results+=("$RESULTS/fuzz.xml")
    fi
    if [[ "$part" == crash ]]; then
        stage_crash "$@"
        results+=("$RESULTS/crash.xml")
    fi
    if [[ "$part" == mutations ]]; then
        stage_mutations "$@"
        results+=("$RESULTS/mutations.xml")
    fi
    keep_results
    "$PYTHON" tools/test/summary.py "${results[@]}"
}

# A checkout of another revision below build/, with its release build: what a benchmark runs in turns with this one.
build_against() {
    local revision tree
    revision="$(git rev-parse --verify --quiet "$1^{commit}")" || fail "there is no revision '$1' in this repository"
    tree="$PROJECT/build/against/$revision"
    step "Building release of $revision"
    if [[ ! -d "$tree" ]]; then
        mkdir -p "$tree.new"
        git archive "$revision" | tar -x -C "$tree.new"
        mv "$tree.new" "$tree"
    fi
    (cd "$tree" && { [[ -e build/release/build.ninja ]] || cmake --preset release >&2; } && cmake --build --preset release --target programs >&2)
    export BENCH_AGAINST="$tree"
}

help_bench() {
    cat <<'END'
./dev bench NAME --json [--against REVISION]

Builds release, runs tests/bench/NAME.py in a run folder of its own, and prints one JSON object with named figures on
stdout; progress goes to stderr. --against (payouts only) builds that revision of the repository, too, lets the two run in turns,
and tells the ratio. Benchmarks:
END
    find tests/bench -maxdepth 1 -name '[a-z]*.py' -printf '  %f\n' 2>/dev/null | sed 's/\.py$//' | sort
}

cmd_bench() {
    local name="${1:-}"
    [[ -n "$name" ]] || fail "which benchmark? see ./dev bench --help"
    [[ "$name" =~ ^[a-z_]+$ && -f "tests/bench/$name.py" ]] || fail "there is no benchmark '$name'"
    shift
    local against=''
    while [[ $# -gt 0 ]]; do
        case "$1" in
            --json) shift ;;
            --against)
                [[ $# -ge 2 ]] || fail "--against takes a revision"
                against="$2"
                shift 2
                ;;
            *) fail "bench takes a name, --json and --against REVISION" ;;
        esac
    done
    cmd_setup
    cmd_build release
    if [[ -n "$against" ]]; then
        build_against "$against"
    fi
    trap test_cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    run_python sweep --folder .run/test
    TEST_FOLDER="$(run_python new-folder --folder .run/test --owner "$$")"
    step "Benchmark $name"
    local output
    output="$(mktemp "$TEST_FOLDER/bench.XXXXXX")"
    DISBURSE_TEST_FOLDER="$TEST_FOLDER" DISBURSE_BUILD="$PROJECT/build/release" PYTHONPATH="$PROJECT/tests:$PROJECT/tools" \
        in_group "$PYTHON" "tests/bench/$name.py" >"$output"
    jq -e 'if type == "object" then . else error("not an object") end' "$output"
}
