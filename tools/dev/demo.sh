# shellcheck shell=bash
# The demo: a real payout file through the whole house.

readonly DEMO_FILE=examples/payouts.csv

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
    (cmd_payctl pay "$DEMO_FILE" --wait)
    step "Report"
    (cmd_payctl report)
    demo_look_around
}

demo_look_around() {
    cat <<'END'

All of it is still running. To look around:
  ./dev payctl payouts --state FAILED     which payouts did not reach their recipient, and why
  ./dev payctl payout ID                  one payout: attempts, rail references, timeline
  ./dev payctl report                     the report again
  ./dev demo                              the same file again: nothing is paid twice
  ./dev status                            pids and ports
  ./dev down                              stop everything (the data stays in .run/)
END
}
