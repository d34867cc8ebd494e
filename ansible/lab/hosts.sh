#!/bin/sh
# Hosts of a lab: containers with systemd and an ssh server on a network that reaches nothing else.
#   ansible/lab/hosts.sh up FOLDER [HOSTS]     start trunkline-1 ... and write FOLDER/hosts.yml, an inventory with their
#                                              addresses and an ssh key that is drawn for this lab
#   ansible/lab/hosts.sh down FOLDER           remove its containers and its network
# TRUNKLINE_LAB names the lab (default: trunkline-lab), so that several can run side by side. Both actions remove only
# hosts that were started from FOLDER.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
image=trunkline-lab-host:bookworm
lab=${TRUNKLINE_LAB:-trunkline-lab}
action=$1
folder=$(realpath --canonicalize-missing "$2")
count=${3:-3}

down() {
    docker ps --all --quiet --filter "label=trunkline.lab=$lab" --filter "label=trunkline.folder=$folder" | xargs --no-run-if-empty docker rm --force --volumes >/dev/null
    docker network ls --quiet --filter "label=trunkline.lab=$lab" --filter "label=trunkline.folder=$folder" | xargs --no-run-if-empty docker network rm >/dev/null
}

start() {
    # The rights that systemd needs, and no more: the host's kernel settings and devices stay out of reach.
    docker run --detach --name "$lab-$1" --hostname "$1" --label "trunkline.lab=$lab" --label "trunkline.folder=$folder" --network "$lab" --ip "$2" \
        --cgroupns host --volume /sys/fs/cgroup:/sys/fs/cgroup:rw --tmpfs /run --tmpfs /run/lock --tmpfs /tmp:exec \
        --stop-signal SIGRTMIN+3 --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
        --volume "$folder/id.pub:/etc/lab/id.pub:ro" "$image" >/dev/null
    docker exec "$lab-$1" sh -c 'install -d -m 700 /root/.ssh && install -m 600 /etc/lab/id.pub /root/.ssh/authorized_keys &&
        ssh-keygen -q -A >/dev/null && until systemctl is-system-running 2>/dev/null | grep -qE "running|degraded"; do
        sleep 0.2; done; systemctl reset-failed ssh; systemctl start ssh'
}

case $action in
down) down ;;
up)
    "$here/image.sh" "$image"
    mkdir -p "$folder"
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
    prefix=${subnet%.*}
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
        host=trunkline-$number
        address=$prefix.$((10 + number))
        start "$host" "$address"
        key=$(docker exec "$lab-$host" cat /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f1,2)
        echo "$address $key" >>"$folder/known_hosts"
        printf '    %s:\n      ansible_host: %s\n      private_address: %s\n' "$host" "$address" "$address" >>"$folder/hosts.yml"
        number=$((number + 1))
    done
    ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
