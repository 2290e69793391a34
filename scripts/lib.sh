# shellcheck shell=bash
# Functions shared by the scripts. Sourced, never run. Works with bash 3.2 (macOS) and later.

# The folder of the project, whatever the current one is.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What scripts bring (never what a person wrote) lives here; `make clean` removes it.
DEV_DIR="$ROOT/.dev"
export ROOT DEV_DIR

note() { printf '%s\n' "$*" >&2; }
die() {
  note "error: $*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# port_open HOST PORT: somebody listens there.
port_open() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# free_port: prints a loopback port that nobody listens on, below the range the
# kernel hands out to clients, so that no outgoing connection takes it meanwhile.
free_port() {
  local port tries=0
  while [ "$tries" -lt 200 ]; do
    port=$((15000 + RANDOM % 15000))
    if ! port_open 127.0.0.1 "$port"; then
      echo "$port"
      return 0
    fi
    tries=$((tries + 1))
  done
  die "no free port between 15000 and 30000"
}

# wait_gone PID SECONDS: waits until the process has ended.
wait_gone() {
  local ticks=$(($2 * 20))
  while [ "$ticks" -gt 0 ]; do
    kill -0 "$1" 2>/dev/null || return 0
    # A child of this shell that ended stays visible until it is reaped.
    case "$(ps -o stat= -p "$1" 2>/dev/null)" in Z* | "") return 0 ;; esac
    sleep 0.05
    ticks=$((ticks - 1))
  done
  return 1
}

# random_hex BYTES: prints that many random bytes in hex.
random_hex() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# is_pg_bin DIR: the folder holds what a private PostgreSQL needs.
is_pg_bin() { [ -x "$1/initdb" ] && [ -x "$1/postgres" ] && [ -x "$1/pg_ctl" ]; }

# find_pg_bin: prints the folder of PostgreSQL's server binaries, or fails.
# Order: PG_BIN_DIR, PATH, Debian's folders (newest first), Homebrew and
# Postgres.app, then what `scripts/setup` brought. HIDE_INSTALLED_POSTGRES=1 leaves only the last.
find_pg_bin() {
  local dir tool
  if [ -n "${PG_BIN_DIR:-}" ]; then
    is_pg_bin "$PG_BIN_DIR" || die "PG_BIN_DIR=$PG_BIN_DIR lacks initdb, postgres or pg_ctl"
    echo "$PG_BIN_DIR"
    return 0
  fi
  if [ "${HIDE_INSTALLED_POSTGRES:-}" != 1 ]; then
    if tool=$(command -v postgres) && dir=$(dirname "$tool") && is_pg_bin "$dir"; then
      echo "$dir"
      return 0
    fi
    while IFS= read -r dir; do
      if is_pg_bin "$dir"; then
        echo "$dir"
        return 0
      fi
    done <<LIST
$(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV)
$(printf '%s\n' /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin | sort -rV)
/Applications/Postgres.app/Contents/Versions/latest/bin
LIST
  fi
  dir="$DEV_DIR/postgres/bin"
  is_pg_bin "$dir" || return 1
  # Without symbolic links: the way through this folder may be closed to the user who runs the server.
  (cd -P "$dir" && pwd -P)
}

# unprivileged_user: who runs PostgreSQL when we are root, which initdb refuses.
unprivileged_user() {
  if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

# as_unprivileged CMD...: runs CMD as this user, or without root when this user is root.
as_unprivileged() {
  if [ "$(id -u)" -ne 0 ]; then
    "$@"
  elif have setpriv; then
    setpriv --reuid="$(unprivileged_user)" --regid="$(id -g "$(unprivileged_user)")" --clear-groups -- "$@"
  elif have runuser; then
    runuser -u "$(unprivileged_user)" -- "$@"
  else
    sudo -u "$(unprivileged_user)" -- "$@"
  fi
}
