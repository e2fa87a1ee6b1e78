# shellcheck shell=bash
# The running environment in .run/: see tools/run/.

help_up() {
    cat <<'END'
./dev up [dev|release]

Starts a private PostgreSQL cluster (unix socket only, no TCP), the bank simulator, ledger-svc and payments-svc, with
certificates, secrets and settings made for this folder; release is the default build. What runs already is left
alone, so it can be called again. Everything is in .run/: settings in etc/, logs in log/, ports in run/*.ready.
For a shell of your own: `. .run/env`, then `psql service=ledger_auditor`, for instance.
END
}

cmd_up() {
    local preset="${1:-release}"
    require_preset "$preset"
    cmd_setup
    cmd_build "$preset"
    step "Starting"
    run_python up --build "build/$preset"
}

help_down() {
    cat <<'END'
./dev down

Stops payments-svc, ledger-svc, the bank and PostgreSQL, in this order, each after it has finished what it was doing.
The data stays in .run/ for the next `./dev up`; `./dev clean` removes it.
END
}

cmd_down() {
    takes_nothing down "$@"
    run_python down
}

help_status() {
    cat <<'END'
./dev status

One line for each part: running or not, pid and ports. Exit code 0 when all of them run, 3 when not.
END
}

cmd_status() {
    takes_nothing status "$@"
    run_python status
}

cmd_payctl() {
    [[ -e .run/env && -e .run/run/build ]] || fail "nothing is set up yet: ./dev up"
    local build
    build="$(<.run/run/build)"
    # shellcheck source=/dev/null
    source .run/env
    exec "$build/bin/payctl" "$@"
}

help_person() {
    cat <<'END'
./dev person NAME [--roles ROLE,...] [--merchants all|MERCHANT,...]

Makes a certificate in a person's name, and gives it roles and merchants (auditor of all, if nothing is said) in the policy
of .run/, at once. `. .run/env.NAME` makes payctl act as that person. docs/operating/policy.md lists the roles.
END
}

cmd_person() {
    [[ $# -gt 0 && "$1" != -* ]] || fail "person takes a name first"
    local name="$1"
    shift
    run_python person --name "$name" "$@"
}

help_logs() {
    cat <<'END'
./dev logs [bank-sim|ledger-svc|payments-svc]

Follows the log of one service, or of all.
END
}

cmd_logs() {
    [[ -d .run/log ]] || fail "nothing has run yet: ./dev up"
    if [[ $# -gt 0 ]]; then
        [[ -e ".run/log/$1.log" ]] || fail "there is no log of '$1'"
        exec tail -n 50 -F ".run/log/$1.log"
    fi
    exec tail -n 20 -F .run/log/*.log
}
