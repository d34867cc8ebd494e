#!/bin/sh
# Hosts of a lab: containers with systemd and an ssh server on a network that reaches nothing else.
#   ansible/lab/hosts.sh up FOLDER [HOSTS]     start trunkline-1 ... and write FOLDER/hosts.yml, an inventory with their
#                                              addresses and an ssh key that is drawn for this lab
#   ansible/lab/hosts.sh add FOLDER NUMBER     start one more and add it to that inventory, with the groups of the processes
#                                              that hold no data: ingress, conversation, agents, llm_gateway
#   ansible/lab/hosts.sh replace FOLDER NUMBER a host of that lab is lost with its disk; start an empty one in its place
#   ansible/lab/hosts.sh down FOLDER           remove its containers, disks and network
# FOLDER/backups, FOLDER/postgres-backups and FOLDER/knowledge-backups are stores that outlive the hosts, at
# /var/backups/trunkline, /var/backups/trunkline-postgres and /var/backups/trunkline-knowledge of each. FOLDER/disks/HOST
# is /var of a host, a small disk of its own; without the right to mount one, /var lies in the container.
# TRUNKLINE_LAB names the lab (default: trunkline-lab), so that several can run side by side. Only hosts that were started
# from FOLDER are removed.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# An image of other packages has another name.
image=trunkline-lab-host:$(sha256sum "$here/image.sh" | cut -c1-12)
lab=${TRUNKLINE_LAB:-trunkline-lab}
action=$1
folder=$(realpath --canonicalize-missing "$2")
count=${3:-3}
disk_size=3G

remove_disk() {
    if mountpoint --quiet "$folder/disks/$1"; then umount "$folder/disks/$1"; fi
    rm -rf "$folder/disks/$1" "$folder/disks/$1.img"
}

down() {
    docker ps --all --quiet --filter "label=trunkline.lab=$lab" --filter "label=trunkline.folder=$folder" | xargs --no-run-if-empty docker rm --force --volumes >/dev/null
    docker network ls --quiet --filter "label=trunkline.lab=$lab" --filter "label=trunkline.folder=$folder" | xargs --no-run-if-empty docker network rm >/dev/null
    for image_file in "$folder"/disks/*.img; do
        [ ! -e "$image_file" ] || remove_disk "$(basename "$image_file" .img)"
    done
}

# Make the disk of a host with the files that the image has in /var, and print the option of Docker that mounts it.
make_disk() {
    [ "$(id -u)" = 0 ] && [ -e /dev/loop-control ] || return 0
    mkdir -p "$folder/disks/$1"
    truncate --size "$disk_size" "$folder/disks/$1.img"
    mkfs.ext4 -q -m 0 "$folder/disks/$1.img"
    mount -o loop "$folder/disks/$1.img" "$folder/disks/$1"
    rmdir "$folder/disks/$1/lost+found"
    docker run --rm "$image" tar -C /var -c . | tar -C "$folder/disks/$1" -x --numeric-owner
    echo "--volume $folder/disks/$1:/var"
}

start() {
    disk=$(make_disk "$1")
    # The rights that systemd needs, and no more: the host's kernel settings and devices stay out of reach.
    docker run --detach --name "$lab-$1" --hostname "$1" --label "trunkline.lab=$lab" --label "trunkline.folder=$folder" --network "$lab" --ip "$2" \
        --cgroupns host --volume /sys/fs/cgroup:/sys/fs/cgroup:rw --tmpfs /run --tmpfs /run/lock --tmpfs /tmp:exec \
        --stop-signal SIGRTMIN+3 --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
        $disk --volume "$folder/id.pub:/etc/lab/id.pub:ro" --volume "$folder/backups:/var/backups/trunkline" \
        --volume "$folder/postgres-backups:/var/backups/trunkline-postgres" \
        --volume "$folder/knowledge-backups:/var/backups/trunkline-knowledge" "$image" >/dev/null
    docker exec "$lab-$1" sh -c 'install -d -m 700 /root/.ssh && install -m 600 /etc/lab/id.pub /root/.ssh/authorized_keys &&
        ssh-keygen -q -A >/dev/null && until systemctl is-system-running 2>/dev/null | grep -qE "running|degraded"; do
        sleep 0.2; done; systemctl reset-failed ssh; systemctl start ssh'
}

# Start a host whose key Ansible knows.
start_known() {
    start "$1" "$2"
    key=$(docker exec "$lab-$1" cat /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f1,2)
    sed -i "/^$2 /d" "$folder/known_hosts"
    echo "$2 $key" >>"$folder/known_hosts"
}

# Start a host and describe it for Ansible.
add() {
    host=trunkline-$1
    address=$2.$((10 + $1))
    start_known "$host" "$address"
    printf '    %s:\n      ansible_host: %s\n      private_address: %s\n' "$host" "$address" "$address" >>"$folder/hosts.yml"
}

prefix() {
    docker network inspect --format '{{(index .IPAM.Config 0).Subnet}}' "$lab" | sed 's/\.[0-9]*\/.*//'
}

case $action in
down) down ;;
replace)
    host=trunkline-$count
    docker ps --all --quiet --filter "name=^$lab-$host\$" --filter "label=trunkline.folder=$folder" | xargs --no-run-if-empty docker rm --force --volumes >/dev/null
    remove_disk "$host"
    start_known "$host" "$(prefix).$((10 + count))"
    ;;
add)
    if grep -q '^  children:' "$folder/hosts.yml"; then
        echo "lab $lab has a further host already" >&2
        exit 1
    fi
    add "$count" "$(prefix)"
    {
        echo "  children:"
        for group in ingress conversation agents llm_gateway; do
            printf '    %s:\n      hosts:\n        trunkline-%s:\n' "$group" "$count"
        done
    } >>"$folder/hosts.yml"
    ;;
up)
    "$here/image.sh" "$image"
    mkdir -p "$folder/backups" "$folder/postgres-backups" "$folder/knowledge-backups"
    [ -f "$folder/id" ] || ssh-keygen -q -t ed25519 -N '' -C "$lab" -f "$folder/id"
    down
    other=$(docker ps --all --filter "label=trunkline.lab=$lab" --format '{{.Names}} of folder {{.Label "trunkline.folder"}}' | head -n 1)
    if [ -n "$other" ]; then
        echo "lab $lab is in use ($other): set TRUNKLINE_LAB to another name" >&2
        exit 1
    fi
    # A host keeps its address over a restart only in a subnet that is named, so a free one is looked up first.
    docker network create --internal "$lab" >/dev/null
    subnet=$(docker network inspect --format '{{(index .IPAM.Config 0).Subnet}}' "$lab")
    docker network rm "$lab" >/dev/null
    docker network create --internal --label "trunkline.lab=$lab" --label "trunkline.folder=$folder" --subnet "$subnet" "$lab" >/dev/null
    : >"$folder/known_hosts"
    {
        echo "all:"
        echo "  vars:"
        echo "    lab_name: $lab"
        echo "    secrets_dir: $folder/secrets"
        echo "    ansible_user: root"
        echo "    ansible_ssh_private_key_file: $folder/id"
        echo "    ansible_ssh_common_args: -o UserKnownHostsFile=$folder/known_hosts"
        echo "  hosts:"
    } >"$folder/hosts.yml"
    number=1
    while [ "$number" -le "$count" ]; do
        add "$number" "$(prefix)"
        number=$((number + 1))
    done
    ;;
*)
    sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
