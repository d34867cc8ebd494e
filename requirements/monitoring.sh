#!/bin/sh
# promtool, prometheus, amtool and the node exporter, from Debian's packages: nothing is installed on the machine, no
# server is started.
# requirements/monitoring.sh DIRECTORY
set -eu
into=$1
packages='prometheus prometheus-alertmanager prometheus-node-exporter'
programs='promtool prometheus amtool prometheus-node-exporter'
draft=$(mktemp -d)
trap 'rm -rf "$draft"' EXIT
# shellcheck disable=SC2086  # word splitting makes the list
(cd "$draft" && { apt-get -qq download $packages || { [ "$(id -u)" = 0 ] && apt-get -qq update && apt-get -qq download $packages; }; }) >/dev/null 2>&1
for package in "$draft"/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$draft" --wildcards './usr/bin/*'
done
mkdir -p "$into"
for program in $programs; do
    mv "$draft/usr/bin/$program" "$into/$program"
done
