# shellcheck shell=bash
# Packages. Installs what is missing and nothing else, and lets no package start a service or make a cluster.

readonly PACKAGES=(
    build-essential cmake ninja-build pkg-config
    libgrpc-dev protobuf-compiler protobuf-compiler-grpc protobuf-c-compiler libprotobuf-c-dev libprotobuf-dev
    libpq-dev libssl-dev libmicrohttpd-dev libcurl4-openssl-dev libjansson-dev libinih-dev uthash-dev libssh-dev
    libsqlite3-dev libcmocka-dev libcsv-dev zlib1g-dev
    openssl openssh-server openssh-client sqlite3 postgresql-15 jq ca-certificates
    python3 python3-grpcio python3-protobuf python3-pytest python3-pytest-xdist
    clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev shellcheck
)
readonly POLICY=/usr/sbin/policy-rc.d
readonly CLUSTER_SNIPPET=/etc/postgresql-common/createcluster.d/zz-disburse-setup.conf

help_setup() {
    cat <<'END'
./dev setup

Installs the Debian 12 packages that are missing; does nothing, quickly, when none is. As a user it calls sudo for
apt-get. No service is started or restarted, no PostgreSQL cluster is made, and a freshly installed sshd is left
disabled. Node.js and npm are installed only where there is no `node`: they fetch buf, which checks the proto files.
END
}

# Prints the packages of PACKAGES (and node's) that are not installed.
missing_packages() {
    local -a wanted=("${PACKAGES[@]}")
    command -v node >/dev/null && command -v npm >/dev/null || wanted+=(nodejs npm)
    local installed
    installed="$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)"
    local package
    for package in "${wanted[@]}"; do
        grep -qxF "installed $package" <<<"$installed" || printf '%s\n' "$package"
    done
}

as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    else
        command -v sudo >/dev/null || fail "packages are missing and there is no sudo: run ./dev setup as root once"
        sudo "$@"
    fi
}

# Runs as root, in a shell of its own, so that its traps take back what it put in place however it ends.
install_packages_script() {
    cat <<'END'
set -euo pipefail
policy="$1" snippet="$2"; shift 2
made_policy='' made_snippet='' sshd_is_new=''
cleanup() {
    [[ -z "$made_policy" ]] || rm -f "$policy"
    [[ -z "$made_snippet" ]] || rm -f "$snippet"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
for package in "$@"; do
    case "$package" in
        openssh-server) sshd_is_new=1 ;;
        postgresql-15)
            mkdir -p "$(dirname "$snippet")"
            made_snippet=1
            printf 'create_main_cluster = false\n' >"$snippet"
            ;;
    esac
done
if [[ ! -e "$policy" ]]; then
    made_policy=1
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l NEEDRESTART_SUSPEND=1
quiet=(-q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
apt-get "${quiet[@]}" update
apt-get "${quiet[@]}" install -y --no-install-recommends "$@"
if [[ -n "$sshd_is_new" ]]; then # we need the program, not a server that starts with the machine
    deb-systemd-helper disable ssh.service >/dev/null 2>&1 || true
    update-rc.d ssh disable >/dev/null 2>&1 || true
fi
END
}

cmd_setup() {
    [[ $# -eq 0 ]] || fail "setup takes no arguments"
    local -a missing
    mapfile -t missing < <(missing_packages)
    if [[ ${#missing[@]} -eq 0 ]]; then
        say "setup: all packages are installed"
        return
    fi
    step "Installing ${#missing[@]} packages"
    say "${missing[*]}"
    as_root bash -c "$(install_packages_script)" install-packages "$POLICY" "$CLUSTER_SNIPPET" "${missing[@]}" >&2
    mapfile -t missing < <(missing_packages)
    [[ ${#missing[@]} -eq 0 ]] || fail "still missing after the installation: ${missing[*]}"
}

# The buf binary, from the lock file, into the ignored folder tools/proto/node_modules.
ensure_buf() {
    local stamp=tools/proto/node_modules/.package-lock.json
    if [[ -e "$stamp" && ! tools/proto/package-lock.json -nt "$stamp" ]]; then
        return
    fi
    say "fetching buf"
    (cd tools/proto && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --no-update-notifier && touch node_modules/.package-lock.json) >&2
}

buf() { tools/proto/node_modules/.bin/buf "$@"; }
