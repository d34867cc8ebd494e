#!/bin/sh
# promtool, prometheus, amtool, Alertmanager and the node exporter, from Debian's packages: nothing is installed on the
# machine, no server is started.
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
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$draft" --wildcards './usr/*'
done
mkdir -p "$into/alertmanager"
for program in $programs; do
    mv "$draft/usr/bin/$program" "$into/$program"
done
mv "$draft/usr/bin/prometheus-alertmanager" "$draft"/usr/share/prometheus/alertmanager/*.tmpl "$into/alertmanager"
# Debian's Alertmanager reads its templates below /usr/share only: there, a mount of its own has them.
cat >"$into/prometheus-alertmanager" <<'END'
#!/bin/sh
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/alertmanager
[ "$(id -u)" = 0 ] || as_root='--user --map-root-user'
# shellcheck disable=SC2086  # two words, or none
exec unshare ${as_root-} --mount sh -euc 'here=$1; shift
mount -t tmpfs none /usr/share
mkdir -p /usr/share/prometheus/alertmanager
cp "$here"/*.tmpl /usr/share/prometheus/alertmanager
exec "$here/prometheus-alertmanager" "$@"' sh "$here" "$@"
END
chmod 755 "$into/prometheus-alertmanager"
