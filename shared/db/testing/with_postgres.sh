#!/bin/bash
# with_postgres.sh COMMAND [ARGUMENT …]: runs the command beside a private PostgreSQL 15 cluster that lives in a temporary
# folder, listens on a unix socket in it only, and is gone afterwards. DISBURSE_TEST_CONNINFO says how to connect.
# As root, the server runs as the user postgres (PostgreSQL refuses root).
set -euo pipefail

bin="${DISBURSE_PG_BIN:-/usr/lib/postgresql/15/bin}"
dir="$(mktemp -d "${TMPDIR:-/tmp}/disburse-pg.XXXXXX")"
server=

as_server=()
if [ "$(id -u)" = 0 ]; then
    chown postgres "$dir"
    as_server=(setpriv --reuid postgres --regid postgres --clear-groups)
fi

finish() {
    if [ -n "$server" ]; then
        kill -QUIT "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

cd "$dir"
"${as_server[@]}" "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/initdb.log" 2>&1 ||
    { cat "$dir/initdb.log" >&2; exit 1; }

# If this shell is killed outright, the server follows it.
"${as_server[@]}" setpriv --pdeathsig INT "$bin/postgres" -D "$dir/data" -k "$dir" -h '' \
    -c fsync=off -c full_page_writes=off -c shared_buffers=32MB -c max_connections=100 \
    -c log_min_messages=fatal -c client_min_messages=warning >"$dir/server.log" 2>&1 &
server=$!

for _ in $(seq 300); do
    if "$bin/pg_isready" -q -h "$dir" -U postgres; then
        break
    fi
    kill -0 "$server" 2>/dev/null || { cat "$dir/server.log" >&2; exit 1; }
    sleep 0.1
done

status=0
DISBURSE_TEST_PG_DIR="$dir" DISBURSE_TEST_CONNINFO="host=$dir user=postgres dbname=postgres" "$@" || status=$?
exit "$status"
