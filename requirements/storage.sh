#!/bin/sh
# A Linux kernel that runs as a process (User Mode Linux), LVM, quotas and XFS, from Debian's packages: nothing is installed
# on the machine. The tests of the role `storage` use them on disks of their own.
# requirements/storage.sh DIRECTORY
set -eu
into=$1
packages='user-mode-linux lvm2 dmsetup libdevmapper1.02.1 libdevmapper-event1.02.1 liblvm2cmd2.03 libaio1 quota xfsprogs libinih1 liburcu8'
draft=$(mktemp -d)
trap 'rm -rf "$draft"' EXIT
# shellcheck disable=SC2086  # word splitting makes the list
(cd "$draft" && { apt-get -qq download $packages || { [ "$(id -u)" = 0 ] && apt-get -qq update && apt-get -qq download $packages; }; }) >/dev/null 2>&1
mkdir -p "$into"
for package in "$draft"/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$into" --exclude './etc' --exclude './usr/share' --exclude './var'
done
