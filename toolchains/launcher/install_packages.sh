#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The only part of ./godwit that runs as root: installs the packages named on the command line.
#
# Debian starts and enables a service when it installs one. Godwit starts its own broker, with its own configuration,
# and would leave a second one running on port 1883, so the service of a freshly installed mosquitto is kept off.
# An administrator who wants it: systemctl enable --now mosquitto
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

policy=/usr/sbin/policy-rc.d
if [[ " $* " == *" mosquitto "* && ! -e $policy ]]; then
  trap 'rm -f "$policy"' EXIT
  cat > "$policy" << 'END'
#!/bin/sh
# Put here by Godwit's setup while it installs packages; 101 means: do not start it.
case $1 in mosquitto | mosquitto.service) exit 101 ;; esac
exit 0
END
  chmod 755 "$policy"
fi

apt-get -q update
apt-get -q install --yes --no-install-recommends "$@"

if [[ " $* " == *" mosquitto "* ]]; then
  if command -v systemctl > /dev/null; then
    systemctl disable mosquitto.service
  else
    update-rc.d mosquitto disable
  fi
fi
