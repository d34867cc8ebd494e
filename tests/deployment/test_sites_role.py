"""Files of the example of two sites, rendered by Ansible: the servers of the two are joined by account SITES."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nats
import pytest
import yaml
from nats.aio.client import Client
from nats.aio.msg import Msg
from trunkline_llm_gateway.adapters.config_file import load_config
from trunkline_supervisor.adapters.tcp import free_port

from tests.deployment.scripts import script
from tests.deployment.test_monitoring_role import PLAYBOOK, ROLES, ROOT, SPECIALTIES
from tests.support.certificates import issue

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not PLAYBOOK.exists(), reason="needs ansible-core: ./just ansible-lint installs it"),
]

ACCOUNTS = script("nats", "accounts")
NATS_SERVER = Path(sys.executable).parent / "nats-server"
FILES = ("etc/nats/nats.conf", "etc/nats/accounts.conf", "etc/trunkline/models.toml", "etc/trunkline/env/ingress.env")
DEFAULTS = ("storage", "pki", "wheelhouse", "nats", "patroni", "haproxy", "trunkline")
REGIONS = ("eu", "us")


def render(folder: Path, region: str, variables: dict[str, Any]) -> dict[str, str]:
    """Return the files of the first host of a site, by their paths; the accounts are drawn into its secrets."""
    block = ACCOUNTS.main(folder / "secrets" / "nats", region)["accounts"]
    for role in DEFAULTS:
        if (ROLES / role / "templates").exists():
            shutil.copytree(ROLES / role / "templates", folder / "templates", dirs_exist_ok=True)
    lookups = ", ".join(f"'{file}': lookup('ansible.builtin.template', '{file}.j2')" for file in FILES)
    copied = {"content": f"{{{{ {{{lookups}}} | to_json }}}}", "dest": f"{folder}/rendered.json", "mode": "0600"}
    play = {
        "hosts": f"{region}-1",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "secrets_dir": str(folder / "secrets"),
            "wheelhouse__specialties": SPECIALTIES,
            "pki__dir": str(folder),
            "nats__block": block,
            "item": "ingress",
            **variables,
        },
        "roles": [{"role": role, "when": False} for role in DEFAULTS],
        "tasks": [{"ansible.builtin.copy": copied}],
    }
    (folder / "playbook.yml").write_text(yaml.safe_dump([play]))
    inventory = ROOT / "ansible" / "inventories" / "two-sites.example" / region
    done = subprocess.run(
        [str(PLAYBOOK), "-i", str(inventory), str(folder / "playbook.yml")],
        cwd=ROOT / "ansible",
        env={**os.environ, "ANSIBLE_ROLES_PATH": str(ROLES)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    files: dict[str, str] = json.loads((folder / "rendered.json").read_text(encoding="utf-8"))
    return files


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Files by region, which lie in a folder per site as on a host, with free ports and short paths of TLS files."""
    found: dict[str, dict[str, str]] = {}
    leaf = free_port()
    gpu = {"trunkline__gpu_url": "http://10.0.0.7:8000/v1", "trunkline__gpu_model": "our-model"}
    link: dict[str, dict[str, Any]] = {
        "eu": {"nats__leaf_port": leaf},
        "us": {"nats__leaf_remotes": [f"tls://127.0.0.1:{leaf}"]},
    }
    folders = {region: tmp_path_factory.mktemp(region) for region in REGIONS}
    for region, folder in folders.items():
        tls = issue(folder / "tls", "127.0.0.1")
        shutil.copy(tls.ca, folder / "ca.pem")
        shutil.copy(tls.certificate, folder / "tls" / "host.pem")
        shutil.copy(tls.key, folder / "tls" / "host.pem.key")
        ports = {"nats__port": free_port(), "nats__route_port": free_port(), "nats__monitor_port": free_port()}
        link["us"]["nats__leaf_seed_file"] = str(folders["eu"] / "secrets" / "nats" / "sites.seed")
        paths = {"nats__address": "127.0.0.1", "nats__store_dir": str(folder / "jetstream")}
        # One server of the three, which would wait for the others.
        alone = {"nats__hosts": [f"{region}-1"]}
        found[region] = render(folder, region, {**ports, **link[region], **paths, **alone, **gpu})
        found[region]["folder"] = str(folder)
        found[region]["url"] = f"tls://127.0.0.1:{ports['nats__port']}"
        (folder / "accounts.conf").write_text(found[region]["etc/nats/accounts.conf"])
        config = found[region]["etc/nats/nats.conf"].replace("/etc/nats/leaf-ca.pem", str(folders["eu"] / "ca.pem"))
        (folder / "nats.conf").write_text(config.replace("/etc/nats/", f"{folder}/"))
    return found


@pytest.fixture
def running(sites: dict[str, dict[str, str]]) -> Iterator[None]:
    """Run a server of each site."""
    with ExitStack() as stack:
        for files in sites.values():
            folder = Path(files["folder"])
            config = str(folder / "nats.conf")
            checked = subprocess.run(
                [NATS_SERVER, "-t", "-c", config], capture_output=True, text=True, timeout=30, check=False
            )
            assert checked.returncode == 0, checked.stderr
            log = stack.enter_context((folder / "log").open("wb"))
            server = subprocess.Popen([NATS_SERVER, "-c", config], stdout=log, stderr=log)
            stack.callback(server.wait, 20)
            stack.callback(server.kill)
        yield


@pytest.mark.usefixtures("running")
async def test_link_of_the_role_joins_the_accounts_sites(sites: dict[str, dict[str, str]]) -> None:
    """Over TLS, with the key of the other site."""
    received: list[str] = []

    async def keep(message: Msg) -> None:
        received.append(message.subject)

    theirs, own = await connect(sites["eu"]), await connect(sites["us"])
    try:
        await theirs.subscribe("tools.>", cb=keep)
        async with asyncio.timeout(60):
            while not received:
                await own.publish("tools.probe", b"")
                await asyncio.sleep(0.1)
    finally:
        await theirs.close()
        await own.close()


async def connect(files: dict[str, str]) -> Client:
    """Connect to the server of a site as the user of account SITES."""
    folder = Path(files["folder"])
    async with asyncio.timeout(60):
        while True:
            try:
                return await nats.connect(
                    files["url"],
                    tls=ssl.create_default_context(cafile=folder / "ca.pem"),
                    nkeys_seed=str(folder / "secrets" / "nats" / "sites.seed"),
                    allow_reconnect=False,
                )
            except OSError:
                await asyncio.sleep(0.1)


def test_files_of_a_site_name_its_region_and_all_addresses(sites: dict[str, dict[str, str]], tmp_path: Path) -> None:
    """The ingress knows the other site; the GPU host is a provider of the region."""
    for region, files in sites.items():
        assert f'server_tags: ["region:{region}"' in files["etc/nats/nats.conf"]
        lines = dict(
            line.split("=", 1) for line in files["etc/trunkline/env/ingress.env"].splitlines() if line.count("=")
        )
        assert lines["TRUNKLINE_REGION"] == region
        assert json.loads(lines["TRUNKLINE_STREAM_TAGS"]) == [f"region:{region}"]
        assert set(json.loads(lines["TRUNKLINE_SITES"])) == set(REGIONS)
        config = tmp_path / f"{region}.toml"
        config.write_text(files["etc/trunkline/models.toml"])
        providers = load_config(config).provider
        assert [(each.name, each.region) for each in providers] == [("gpu", region), ("quotes", "")]


def test_example_of_the_gpu_host_is_the_file_of_the_role(sites: dict[str, dict[str, str]]) -> None:
    """The example is tested on a suite, so is the file."""
    example = load_config(ROOT / "examples" / "models" / "gpu-host.toml")
    file = Path(sites["eu"]["folder"]) / "models.toml"
    file.write_text(sites["eu"]["etc/trunkline/models.toml"])
    assert load_config(file) == example
