#!/bin/sh
# promtool alone, from Debian's package of Prometheus: nothing is installed on the machine, no server is started.
# requirements/promtool.sh DIRECTORY
set -eu
into=$1
draft=$(mktemp -d)
trap 'rm -rf "$draft"' EXIT
(cd "$draft" && { apt-get -qq download prometheus || { [ "$(id -u)" = 0 ] && apt-get -qq update && apt-get -qq download prometheus; }; }) >/dev/null 2>&1
dpkg-deb --fsys-tarfile "$draft"/prometheus_*.deb | tar -x -C "$draft" ./usr/bin/promtool
mkdir -p "$into"
mv "$draft/usr/bin/promtool" "$into/promtool"
