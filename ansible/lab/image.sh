#!/bin/sh
# Build the image of a lab host: Debian with systemd, an ssh server and the packages of the distribution that the roles
# install on metal. Hosts of the lab reach no other network, so the packages are in the image.
# ansible/lab/image.sh IMAGE
set -eu
image=$1
docker image inspect "$image" >/dev/null 2>&1 && exit 0
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates,systemd,systemd-sysv,dbus bookworm "$root/host" >"$root/log" 2>&1 || {
    tail -n 20 "$root/log" >&2
    exit 1
}
# No server starts while packages are installed; Patroni creates the cluster of PostgreSQL, not the package.
printf '#!/bin/sh\nexit 101\n' >"$root/host/usr/sbin/policy-rc.d"
chmod 755 "$root/host/usr/sbin/policy-rc.d"
mkdir -p "$root/host/etc/postgresql-common"
echo 'create_main_cluster = false' >"$root/host/etc/postgresql-common/createcluster.conf"
DEBIAN_FRONTEND=noninteractive chroot "$root/host" apt-get -qq -o Dpkg::Options::=--force-unsafe-io install -y \
    --no-install-recommends openssh-server python3 python3-apt python3-venv sudo openssl iproute2 iptables \
    iputils-ping procps acl chrony postgresql-15 etcd-server etcd-client haproxy pgbackrest \
    prometheus prometheus-alertmanager prometheus-node-exporter >"$root/log" 2>&1 || {
    tail -n 20 "$root/log" >&2
    exit 1
}
for unit in etcd haproxy postgresql chrony prometheus prometheus-alertmanager prometheus-node-exporter; do
    chroot "$root/host" systemctl disable --quiet "$unit" >/dev/null 2>&1 || echo "image: $unit is not there" >&2
done
chroot "$root/host" systemctl mask --quiet systemd-udevd systemd-logind getty.target console-getty \
    apt-daily.timer apt-daily-upgrade.timer >/dev/null 2>&1
rm -rf "$root/host/usr/sbin/policy-rc.d" "$root"/host/var/cache/apt/archives/*.deb "$root"/host/var/lib/apt/lists/* \
    "$root"/host/etc/ssh/ssh_host_*
: >"$root/host/etc/machine-id"
tar -C "$root/host" -c . | docker import --change 'CMD ["/sbin/init"]' - "$image" >/dev/null
