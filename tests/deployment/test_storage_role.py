"""The role `storage` on a real kernel with disks of its own: shares, mounts, quotas, and nothing that is destroyed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment.rendering import PLAYBOOK, ROLES, run
from tests.support import user_mode_linux

pytestmark = [
    pytest.mark.processes,
    # All plays run in one guest, where a fork is slow.
    pytest.mark.timeout(2800),
    pytest.mark.skipif(not PLAYBOOK.exists(), reason="needs ansible-core: ./just ansible-lint installs it"),
]

PLAYS = Path(__file__).with_name("storage.yml")
RECAP = re.compile(r"^(\w+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=0\s+failed=(\d+)", re.MULTILINE)
STREAMS = {"name": "streams", "path": "/mnt/streams", "share": 25}
POSTGRES = {"name": "postgres", "path": "/mnt/postgres", "share": 50, "options": ["noatime"]}
ARCHIVE = {"name": "archive", "path": "/mnt/archive", "share": 25, "owner": "daemon", "mode": "0700"}
THREE = [STREAMS, POSTGRES, ARCHIVE]
LVM = {"storage__method": "lvm", "storage__devices": ["/dev/ubda"], "storage__volumes": THREE}
DEVICE = {"storage__method": "device"}
SMALL = {"name": "small", "path": "/mnt/quota/small", "share": 4}
LARGE = {"name": "large", "path": "/mnt/quota/large", "share": 25}
QUOTA = {"storage__quota": True, "storage__capacity_gb": 0.2, "storage__volumes": [SMALL, LARGE]}
FOLDERS = {"storage__volumes": [{"name": "a", "path": "/mnt/folders/a", "owner": "daemon", "mode": "0750"}]}
OTHER = {
    "storage__method": "device",
    "storage__volumes": [{"name": "x", "path": "/mnt/streams", "device": "/dev/ubdb"}],
}


def on(path: str, device: str, **keys: Any) -> dict[str, Any]:
    """Return the variables of one volume on a device."""
    return {**DEVICE, "storage__volumes": [{"name": "x", "path": path, "device": device, **keys}]}


HOSTS: dict[str, dict[str, Any]] = {
    "prepare": {},
    "look": {},
    "lvm_checked_before": LVM,
    "lvm_first": {**LVM, "storage__capacity_gb": 0.5},
    "lvm_second": {**LVM, "storage__capacity_gb": 0.5},
    "lvm_checked_after": LVM,
    "lvm_differs": {**LVM, "storage__volumes": [{**STREAMS, "share": 12.5}, {**POSTGRES, "share": 62.5}, ARCHIVE]},
    "lvm_options": {**LVM, "storage__volumes": [{**STREAMS, "options": ["noexec"]}, POSTGRES, ARCHIVE]},
    "lvm_extended": {**LVM, "storage__devices": ["/dev/ubda", "/dev/ubde"], "storage__volumes": []},
    "device_first": on("/mnt/device", "/dev/ubdb", filesystem="xfs"),
    "device_second": on("/mnt/device", "/dev/ubdb", filesystem="xfs"),
    "refused_group": {**LVM, "storage__devices": ["/dev/ubda", "/dev/ubdc"]},
    "refused_device": on("/mnt/other", "/dev/ubdc", filesystem="xfs"),
    "refused_path": on("/mnt/full", "/dev/ubdc"),
    "refused_share": {**on("/mnt/other", "/dev/ubdc", share=50), "storage__capacity_gb": 1},
    "refused_missing": on("/mnt/other", "/dev/ubdz"),
    "refused_other": on("/mnt/streams", "/dev/ubdc"),
    "quota_first": QUOTA,
    "quota_second": QUOTA,
    "quota_missing": {**QUOTA, "storage__volumes": [{**SMALL, "path": "/mnt/folders"}]},
    "folders_first": FOLDERS,
    "folders_second": FOLDERS,
}

# Arguments of each run of the playbook, in this order: a check is an option of the whole run.
RUNS = (
    "--limit prepare",
    "--limit lvm_checked_before --check",
    "--limit lvm_first,lvm_second",
    "--limit lvm_checked_after --check",
    "--limit lvm_differs,lvm_options,lvm_extended",
    "--limit look,device_*,refused_*,quota_*,folders_*",
)


def inventory(hosts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return an inventory of hosts that are all this machine."""
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "/usr/bin/python3",
        "base__in_container": True,
        "storage__fstab": "/mnt/fstab",
    }
    return yaml.safe_dump({"all": {"vars": common, "hosts": {host: dict(each) for host, each in hosts.items()}}})


class Ended:
    """What the plays left."""

    def __init__(self, folder: Path, output: str) -> None:
        """`folder` has the files that they wrote."""
        self.folder = folder
        self.output = output
        self.changed = {match[1]: int(match[2]) for match in RECAP.finditer(output)}

    def text(self, name: str) -> str:
        """Return a file."""
        return (self.folder / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """All plays, in one guest."""
    user_mode_linux.require()
    folder = tmp_path_factory.mktemp("guest")
    (folder / "hosts.yml").write_text(inventory(HOSTS), encoding="utf-8")
    # The guest installs nothing; the list is a variable of the role, which only an extra one overrides.
    (folder / "extra.yml").write_text("storage__packages: []\n", encoding="utf-8")
    # LVM sees the guest's disks alone, and keeps its backups in memory.
    (folder / "lvm.conf").write_text('devices { filter = [ "a|^/dev/ubd|", "r|.*|" ] }\n', encoding="utf-8")
    environment = {
        "ANSIBLE_ROLES_PATH": str(ROLES),
        "ANSIBLE_LOCAL_TEMP": "/run/home/local",
        "ANSIBLE_REMOTE_TEMP": "/run/home/remote",
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
        "LVM_SYSTEM_DIR": "/run/home/lvm",
        # No udev there: LVM makes its nodes itself.
        "DM_DISABLE_UDEV": "1",
    }
    prepare = "mkdir -p /run/home/lvm && cp /mnt/out/lvm.conf /run/home/lvm/"
    playbook = f"{PLAYBOOK} -i /mnt/out/hosts.yml -e @/mnt/out/extra.yml {PLAYS}"
    script = "\n".join(["set -ef", prepare, *(f"{playbook} {arguments}" for arguments in RUNS)])
    output = user_mode_linux.run(
        folder,
        ["sh", "-c", script],
        environment,
        disks={"a": 512, "b": 320, "c": 64, "d": 256, "e": 64},
        timeout_s=2700,
    )
    return Ended(folder, output)


@pytest.mark.long
@pytest.mark.parametrize("method", ["lvm", "device", "quota", "folders"])
def test_second_run_changes_nothing(ended: Ended, method: str) -> None:
    """With every method; the first one did something."""
    assert ended.changed[f"{method}_first"] > 0
    assert ended.changed[f"{method}_second"] == 0


@pytest.mark.long
def test_check_mode_works_before_and_after(ended: Ended) -> None:
    """The disk is untouched by the first one (its play looks), the second one finds nothing to do."""
    assert ended.changed["lvm_checked_before"] > 0
    assert ended.changed["lvm_checked_after"] == 0


@pytest.mark.long
def test_logical_volumes_have_their_shares(ended: Ended) -> None:
    """In whole extents of the group, all of which are used."""
    size, count, devices = (int(each) for each in ended.text("vgs").strip().split(","))
    assert devices == 2
    group = 127
    assert count == group + 15
    found = dict(line.strip().split(",")[:2] for line in ended.text("lvs").splitlines())
    assert {name: int(bytes_) for name, bytes_ in found.items()} == {
        "streams": group * 25 // 100 * size,
        "postgres": group * 50 // 100 * size,
        "archive": group * 25 // 100 * size,
    }


@pytest.mark.long
def test_share_that_has_changed_is_reported_and_not_applied(ended: Ended) -> None:
    """Larger and smaller: nothing is resized, and the command for the larger one is in the output."""
    assert ended.changed["lvm_differs"] == 0
    assert re.search(r"lvextend --resizefs --size \d+b\s+trunkline/postgres", ended.output)


@pytest.mark.long
def test_volumes_are_mounted_from_the_table(ended: Ended) -> None:
    """By their ids, so that a device may get another name; with the options that the inventory gave last."""
    mounts = {each["target"]: each for each in json.loads(ended.text("mounts"))["filesystems"]}
    assert {mounts[each["path"]]["fstype"] for each in THREE} == {"ext4"}
    assert "noexec" in mounts["/mnt/streams"]["options"].split(",")
    assert "noatime" in mounts["/mnt/postgres"]["options"].split(",")
    lines = ended.text("fstab").splitlines()
    assert len(lines) == len(THREE)
    assert all(re.match(r"UUID=\S+ /mnt/\w+ ext4 \S+ 0 2$", line) for line in lines)
    assert "[E]" not in ended.text("verified")
    assert "/mnt/archive daemon 700" in ended.text("owners").splitlines()


@pytest.mark.long
@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("refused_group", "/dev/ubdc has content, and not LVM2_member"),
        ("refused_device", "/dev/ubdc has content, and not xfs"),
        ("refused_path", "/mnt/full has files, which a mount would hide"),
        ("refused_share", "its share of storage__capacity_gb is 500000000"),
        ("refused_missing", "/dev/ubdz is no block device of this host"),
        ("refused_other", "/mnt/streams: a device other than /dev/ubdc is mounted there"),
        ("quota_missing", "/mnt/folders is on /mnt, which is not mounted with prjquota"),
    ],
)
def test_role_refuses_to_destroy_or_hide(ended: Ended, host: str, reason: str) -> None:
    """With what and where; the plays looked that foreign data is as it was."""
    assert reason in ended.text(host)


@pytest.mark.long
def test_quota_ends_a_write_over_the_share(ended: Ended) -> None:
    """4 % of 0.2 GB are less than 24 MiB, 25 % are more."""
    sizes = {line.split("/")[-2]: int(line.split()[0]) for line in ended.text("sizes").splitlines()}
    assert ended.text("written").count("Disk quota exceeded") == 1
    assert 7_000_000 < sizes["small"] <= 8_000_000
    assert sizes["large"] == 24 * 2**20


@pytest.mark.long
def test_rule_of_queues_is_written(ended: Ended) -> None:
    """On the guest's own /etc/udev."""
    assert 'ATTR{queue/scheduler}="none"' in ended.text("rules")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "method": ({"storage__method": "raid"}, "must be one of directory, lvm, device, and is 'raid'"),
    "no devices": ({**LVM, "storage__devices": []}, "lvm needs storage__devices"),
    "unknown key": ({"storage__volumes": [{**STREAMS, "mount": "/x"}]}, "one has mount, name, path, share"),
    "no path": ({"storage__volumes": [{"name": "x"}]}, "a volume needs name and path"),
    "name": ({"storage__volumes": [{**STREAMS, "name": "My-Disk"}]}, "name 'My-Disk' must have small letters"),
    "relative": ({"storage__volumes": [{**STREAMS, "path": "mnt"}]}, "path 'mnt' must be absolute"),
    "parent": ({"storage__volumes": [{**STREAMS, "path": "/a/../b"}]}, "path '/a/../b' must be absolute"),
    "slash": ({"storage__volumes": [{**STREAMS, "path": "/a/"}]}, "without / at its end"),
    "no share": ({"storage__volumes": [{**STREAMS, "share": 0}]}, "share '0' must be percent over 0"),
    "over 100": ({"storage__volumes": [{**STREAMS, "share": 60}, POSTGRES]}, "add up to 110.0 %, which must be 100"),
    "file system": ({"storage__volumes": [{**STREAMS, "filesystem": "zfs"}]}, "'zfs' must be one of ext4, xfs"),
    "path twice": (
        {"storage__volumes": [STREAMS, {**POSTGRES, "path": "/mnt/streams"}]},
        "'/mnt/streams' is there twice",
    ),
    "name twice": ({"storage__volumes": [STREAMS, {**STREAMS, "path": "/x"}]}, "name 'streams' is there twice"),
    "lvm no share": ({**LVM, "storage__volumes": [{"name": "x", "path": "/x"}]}, "a volume needs a share with"),
    "device": ({"storage__volumes": [{**STREAMS, "device": "/dev/x"}]}, "device with storage__method device alone"),
    "capacity": ({**QUOTA, "storage__capacity_gb": 0}, "storage__quota needs storage__method directory and"),
    "depth": ({"storage__queue_depth": "deep"}, "storage__queue_depth ('deep')"),
}


def test_wrong_volumes_get_a_clear_error(tmp_path: Path) -> None:
    """Before anything is touched, with what is wrong and where."""
    hosts = {f"case{number}": case[0] for number, case in enumerate(WRONG.values())}
    (tmp_path / "hosts.yml").write_text(inventory({**hosts, "right": LVM, "none": {}}), encoding="utf-8")
    kept = {
        "content": "{{ ansible_failed_result | to_json }}",
        "dest": f"{tmp_path}/{{{{ inventory_hostname }}}}",
        "mode": "0600",
    }
    checked = {"ansible.builtin.include_role": {"name": "storage", "tasks_from": "check.yml"}}
    tasks = [{"block": [checked], "rescue": [{"ansible.builtin.copy": kept}]}]
    play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    done = run(tmp_path / "play.yml", "-i", str(tmp_path / "hosts.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    for number, (case, (_, reason)) in enumerate(WRONG.items()):
        assert reason in (tmp_path / f"case{number}").read_text(encoding="utf-8"), case
    assert not (tmp_path / "right").exists()
    assert not (tmp_path / "none").exists()
