# SPDX-License-Identifier: Apache-2.0
# Packages of the distribution (toolchains/packages.txt) and pinned sources (toolchains/deps.lock).
# shellcheck shell=bash

# debian12, debian13 or ubuntu24.04; empty where setup does not know the names of the packages.
release() {
  local id version
  id=$(. /etc/os-release 2> /dev/null && printf '%s' "${ID:-}")
  version=$(. /etc/os-release 2> /dev/null && printf '%s' "${VERSION_ID:-}")
  case $id$version in
    debian12 | raspbian12) printf debian12 ;;
    debian13 | raspbian13) printf debian13 ;;
    ubuntu24.04) printf ubuntu24.04 ;;
  esac
}

# packages_for demo|board|test: lines "package why".
packages_for() {
  local package purpose on why here
  here=$(release)
  while read -r package purpose on why; do
    [[ -z $package || $package == '#'* ]] && continue
    [[ $purpose == demo || $purpose == "$1" || $1 == test ]] || continue
    [[ $on == all || ",$on," == *",$here,"* ]] || continue
    printf '%s %s\n' "$package" "$why"
  done < toolchains/packages.txt
}

# The lines of packages_for whose package is not installed.
missing_packages() {
  local wanted package why
  local -A installed=()
  wanted=$(packages_for "$1")
  while read -r package; do
    installed[$package]=1
  done < <(awk '{print $1}' <<< "$wanted" | xargs dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2> /dev/null |
    sed -n 's/^installed //p')
  while read -r package why; do
    [[ -n ${installed[$package]:-} ]] || printf '%s %s\n' "$package" "$why"
  done <<< "$wanted"
}

# Sets as_root to what runs a command as root.
find_root() {
  local command=$1
  as_root=()
  ((EUID == 0)) && return
  have sudo || die "installing packages needs root, and there is no sudo here: as root run: $command"
  as_root=(sudo)
  sudo -n true 2> /dev/null && return
  [[ -t 0 ]] || die "sudo wants a password and there is no terminal to type it: first run: sudo $command"
  sudo -v || die "sudo refused: ask who administers this machine to run: $command"
}

# install_packages demo|board|test yes|no
install_packages() {
  local missing package why names=() command
  begin "Packages of the distribution"
  if [[ -n ${GODWIT_NO_PACKAGES:-} ]]; then
    note "not looked at (GODWIT_NO_PACKAGES is set)"
    return
  fi
  [[ -n $(release) ]] || die "setup knows Debian 12 and 13, Raspberry Pi OS and Ubuntu 24.04: on this system install" \
    "what toolchains/packages.txt lists by hand, then set GODWIT_NO_PACKAGES=1 and run the command again"
  missing=$(missing_packages "$1")
  if [[ -z $missing ]]; then
    note "all $(packages_for "$1" | wc -l) are here"
    return
  fi
  while read -r package why; do
    names+=("$package")
  done <<< "$missing"
  command="sh -c 'apt-get update && apt-get install --no-install-recommends ${names[*]}'"
  note "${#names[@]} to install, for:"
  while read -r package why; do
    printf '  %-28s %s\n' "$package" "$why"
  done <<< "$missing"
  [[ $2 == yes ]] || die "packages are missing: run ./godwit setup, or: sudo $command"
  find_root "$command"
  need_space /var/cache 1500 "installing the packages"
  if [[ " ${names[*]} " == *" mosquitto "* ]]; then
    say "  mosquitto is installed as a program: its system service is neither started nor enabled."
  fi
  step_line="[$steps_done/$steps_total] Installing packages"
  run packages "apt could not install them: see what it says above, or run: sudo $command" \
    "${as_root[@]}" bash toolchains/launcher/install_packages.sh "${names[@]}" || exit 1
}

# fetch_sources demo|board|test yes|no
fetch_sources() {
  local needed='mbedtls;nanopb' pico='pico-sdk;tinyusb'
  local fetch=toolchains/cmake/FetchDeps.cmake
  begin "Pinned sources (toolchains/deps.lock)"
  if [[ $1 != demo ]]; then needed+=';lwip'; fi
  if cmake -D DEPS_OFFLINE=ON -D "DEPS=$needed" -P $fetch > /dev/null 2>&1; then
    note "all that are needed are here"
  elif [[ $2 == no ]]; then
    note "not all are here"
    die "pinned sources are missing: run ./godwit setup, or copy .deps/cache from a machine that has them"
  else
    run sources "fix what it says above and run the command again" cmake -D "DEPS=$needed" -P $fetch || exit 1
  fi
  [[ $1 == test ]] || return 0
  # Only a distribution's archive has these, as long as it does.
  local offline=OFF
  if [[ $2 == no ]]; then offline=ON; fi
  cmake -D DEPS_OFFLINE=$offline -D "DEPS=$pico" -P $fetch > /dev/null 2>&1 ||
    say "  pico-sdk and tinyusb are not all here: the images of the Pico and Pico 2 are not built, their test is skipped."
}
