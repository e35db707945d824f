#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Does what a new user does, on a machine that has nothing: makes a minimal Debian with debootstrap, clones the
# committed state of this repository into it, and runs the README's two commands there. Nothing else is installed by
# hand. Run as root; needs debootstrap; not part of ./godwit test, which it runs. At the end it repeats how each command
# ended, with the last lines that it printed.
#
# usage: fresh_machine.sh bookworm|trixie [COMMAND...]      (each COMMAND one word, e.g. './godwit setup')
#
# GODWIT_MACHINES (default /var/tmp/godwit-machines) keeps the minimal systems for the next time (base-SUITE: remove it
# to have it made anew), what the commands printed (SUITE-1.log ...), and the machine of a failed run. The package
# archive and the proxy for apt are those that this machine's apt is configured with, and pinned sources come from there
# as well; http_proxy, https_proxy, no_proxy and GODWIT_JOBS are passed on.
set -euo pipefail

die() {
  printf 'fresh_machine: %s\n' "$*" >&2
  exit 1
}

suite=${1:?usage: fresh_machine.sh bookworm|trixie [COMMAND...]}
shift
commands=("$@")
if ((${#commands[@]} == 0)); then
  commands=('./godwit demo --headless --devices 50 --seconds 30 --report report.json' './godwit test')
fi
((EUID == 0)) || die "needs root (chroot and mounts): run it with sudo"
command -v debootstrap > /dev/null || die "needs debootstrap: apt-get install debootstrap"
repository=$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)
machines=${GODWIT_MACHINES:-/var/tmp/godwit-machines}
base=$machines/base-$suite
machine=$machines/run-$suite-$$
mkdir -p "$machines"

if [[ ! -d $base ]]; then
  archive=$(apt-get update --print-uris 2> /dev/null | sed -nE "s#^'(.*/debian/?)/dists/.*#\1#p" | head -n 1)
  [[ -n $archive ]] || die "apt of this machine names no Debian archive"
  printf 'making a minimal %s ...\n' "$suite"
  rm -rf "$base.part"
  debootstrap --variant=minbase "$suite" "$base.part" "$archive" > "$machines/debootstrap-$suite.log" 2>&1 ||
    die "debootstrap failed: see $machines/debootstrap-$suite.log"
  mv "$base.part" "$base"
fi

cp -a --reflink=auto "$base" "$machine"
cp /etc/resolv.conf "$machine/etc/resolv.conf"
apt-config dump | grep -E '^Acquire::https?::Proxy' > "$machine/etc/apt/apt.conf.d/00proxy" || true
git clone --quiet --no-hardlinks "$repository" "$machine/root/godwit"

# in_machine COMMAND: in a mount and process namespace of its own, so that nothing stays mounted or running.
in_machine() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  unshare --mount --pid --fork --kill-child --propagation private -- bash -c '
    set -eu
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    exec env -i HOME=/root TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin http_proxy="${http_proxy:-}" \
      https_proxy="${https_proxy:-}" no_proxy="${no_proxy:-}" GODWIT_JOBS="${GODWIT_JOBS:-}" \
      chroot "$1" bash -c "cd /root/godwit && $2"' - "$machine" "$1"
}

status=0
closing=
for number in "${!commands[@]}"; do
  command=${commands[number]}
  log=$machines/$suite-$((number + 1)).log
  printf '\n%s$ %s\n' "$suite" "$command"
  started=$SECONDS
  in_machine "$command" 2>&1 | tee "$log" || status=$?
  closing+="$ $command: status $status after $((SECONDS - started)) s"$'\n'"$(tail -n 4 "$log" | sed 's/^/  | /')"$'\n'
  ((status == 0)) || break
done
printf '\n%s, %s:\n%s' "$suite" "$(git -C "$repository" rev-parse --short HEAD)" "$closing"

if ((status != 0)); then
  die "failed; the machine is kept in $machine (logs in root/godwit/build/log and root/godwit/.run): rm -rf it"
fi
rm -rf --one-file-system "$machine"
