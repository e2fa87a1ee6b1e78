# shellcheck shell=bash
# Building, formatting, clang-tidy, cleaning.

help_build() {
    cat <<'END'
./dev build [dev|release]

Builds into build/<preset>. dev (the default): debug, AddressSanitizer and UndefinedBehaviorSanitizer, crash points.
release: -O2, link-time optimisation, hardening flags; the programs only, without the unit tests. Fails when a program lacks
what those flags should have given it.
END
}

cmd_build() {
    local preset="${1:-dev}"
    require_preset "$preset"
    step "Building $preset"
    [[ -e "build/$preset/build.ninja" ]] || cmake --preset "$preset" >&2
    local -a targets=()
    [[ "$preset" != release ]] || targets=(--target programs)
    cmake --build --preset "$preset" "${targets[@]}" >&2
    [[ "$preset" != release ]] || "$PYTHON" tools/test/hardening.py build/release/bin/* >&2
}

help_fmt() {
    cat <<'END'
./dev fmt

Formats our C files with clang-format 14 and our proto files with buf, in place.
END
}

cmd_fmt() {
    c_files | xargs -r clang-format-14 -i
    ensure_buf
    buf format -w proto --exclude-path proto/google --exclude-path proto/grpc
}

help_lint() {
    cat <<'END'
./dev lint [FILE...]

Runs clang-tidy 14 with .clang-tidy over our C sources (all of them, or those named), against the dev build.
END
}

cmd_lint() {
    [[ -e build/dev/compile_commands.json ]] || cmd_build dev
    local -a files=("$@")
    [[ ${#files[@]} -gt 0 ]] || mapfile -t files < <(c_files | grep '\.c$')
    printf '%s\0' "${files[@]}" | xargs -0 -r -n 4 -P "$(nproc)" clang-tidy-14 -p build/dev --quiet
}

help_clean() {
    cat <<'END'
./dev clean

Stops everything that ./dev started, then removes .run/ (with all its data) and build/.
END
}

cmd_clean() {
    takes_nothing clean "$@"
    run_python sweep --folder .run/test
    compgen -G '.run/test/*/owner.json' >/dev/null && fail "a test or benchmark of this folder is under way"
    run_python remove
    rm -rf build .pytest_cache tools/proto/node_modules
}
