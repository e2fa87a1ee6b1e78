# shellcheck shell=bash
# The demo: a real payout file through the whole house.

readonly DEMO_FILE=examples/payouts.csv
readonly DEMO_SETTLE_SECONDS_MAX=60

help_demo() {
    cat <<'END'
./dev demo

On a fresh Debian 12 machine: installs the packages that are missing, builds the release, starts a private PostgreSQL,
the bank simulator (with faults on) and both services in .run/, creates the merchants and deposits, pays every row of
examples/payouts.csv, waits until each payout has reached its final state, and prints the report: counts and sums per
state, the ledger's trial balance, the bank's own record of money moved, and whether the three agree.
The services stay up for you to look around; `./dev down` stops them. Run it again: nothing is paid twice.
END
}

cmd_demo() {
    [[ $# -eq 0 ]] || fail "demo takes no arguments"
    cmd_setup
    cmd_build release
    step "Starting PostgreSQL, the bank and the services"
    run_python up --build build/release --settings tools/dev/demo.ini
    step "Merchants and deposits"
    (cmd_payctl merchants create --from "$DEMO_FILE")
    (cmd_payctl merchants deposit --from "$DEMO_FILE")
    step "Paying $DEMO_FILE"
    # 1: some payouts did not settle. The file holds rows that must fail, so that is what should happen.
    local code=0
    (cmd_payctl pay "$DEMO_FILE" --progress) || code=$?
    [[ $code -le 1 ]] || fail "payctl pay ended with exit code $code"
    step "Report"
    demo_wait_for_returns
    code=0
    (cmd_payctl report) || code=$?
    demo_look_around
    return "$code"
}

# Some settled payments come back after a while. Until a return has made its way from the bank to our books the records
# differ, rightly; so the report waits for them to agree, with an end.
demo_wait_for_returns() {
    local limit=$((SECONDS + DEMO_SETTLE_SECONDS_MAX))
    until (cmd_payctl report) >/dev/null 2>&1; do
        [[ $SECONDS -lt $limit ]] || return 0
        sleep 1
    done
}

demo_look_around() {
    cat <<'END'

All of it is still running. To look around:
  ./dev payctl payouts --state FAILED     which payouts were never paid, and why
  ./dev payctl payouts --state RETURNED   which of them came back from the recipient's bank, and why
  ./dev payctl payout MERCHANT/ID         one payout: attempts, rail references, timeline
  ./dev payctl report                     the report again
  ./dev demo                              the same file again: nothing is paid twice
  ./dev status                            pids and ports
  ./dev down                              stop everything (the data stays in .run/)
END
}
