"""Three hosts from nothing, then the loss of each: ./just cluster-test [--keep FOLDER] [--name LAB].

Empty hosts are installed by `site.yml`, a customer is answered through the HAProxy of every host, a second run changes
nothing, and the key of no service does more than the permission table grants. Then hosts are killed, frozen and cut off
while customers write, and no accepted message is lost. The knowledge base of a lost host is served by another one. All
of them are destroyed and restored from a backup; a fourth one comes and goes. The same roles install a single host.
Exit status 1 if a step fails; status 0 with a reason if no Docker can run here. Bounded to 25 minutes of playbooks, on
a machine of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from trunkline_protocols.permissions import PRINCIPALS

from tests.cluster.faults import HostFault, strike_under_load
from tests.cluster.growth import leave_under_load, take_share_under_load
from tests.cluster.keys import try_forbidden
from tests.cluster.knowledge import lose_knowledge
from tests.cluster.lab import ANSWER_WITHIN_S, LAB_NAME, QUESTION, Lab, LabError, missing_requirement
from tests.cluster.recovery import lose_all_and_recover

_INSTALL_TIMEOUT_S: Final = 1_500.0
_SHARE_WITHIN_S: Final = 60.0
_SCRAPED_WITHIN_S: Final = 60.0
_KNOWLEDGE_WITHIN_S: Final = 60.0
_JOBS: Final = ("trunkline", "node", "haproxy", "etcd", "patroni")
_RATE: Final = 20.0
_MAX_DELAY_S: Final = 30.0
"""Far beyond what a fault takes: a customer who waits longer is not served by the other hosts."""


def main() -> int:
    """Run the steps; return the exit status."""
    parser = argparse.ArgumentParser(prog="cluster-test", description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder of the lab, whose hosts are left running")
    parser.add_argument("--name", default=LAB_NAME, help="labs of different names run side by side (%(default)s)")
    options = parser.parse_args()
    reason = missing_requirement()
    if reason is not None:
        print(f"cluster-test: skipped, {reason}")
        return 0
    # asyncio warns at every end of a TLS connection; the bus of a killed host, of every one that breaks.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="trunkline-lab-") as folder:
        lab = Lab(options.keep or Path(folder), name=options.name)
        single = Lab(Path(folder) / "single", inventory="single-node", hosts=1, name=f"{options.name}-single")
        try:
            _check_cluster(lab)
            if options.keep is None:
                lab.down()
            _check_single(single)
        except (LabError, AssertionError, subprocess.TimeoutExpired) as error:
            print(f"cluster-test: FAILED: {error}", file=sys.stderr)
            return 1
        finally:
            single.down()
            if options.keep is None:
                lab.down()
    print("cluster-test: passed")
    return 0


def _check_cluster(lab: Lab) -> None:
    _install(lab)
    for host in lab.addresses:
        frames = lab.ask(host, QUESTION)
        answer = next(frame for frame in frames if frame["type"] == "message")
        _say(f"answered through {host} by {answer['specialty']}: {answer['text'][:60]!r}")
    for principal in PRINCIPALS:
        tried = asyncio.run(try_forbidden(lab, principal))
        _say(f"the key of {principal}: all of {tried} forbidden subjects are refused")
    first, second, third = lab.addresses
    faults: list[tuple[HostFault, str]] = [("kill", host) for host in lab.addresses]
    for fault, host in [*faults, ("freeze", second), ("cut", third), ("cut", first)]:
        _check_fault(lab, fault, host)
    without_s, longest_s = lose_knowledge(lab, second, first, within_s=_KNOWLEDGE_WITHIN_S)
    _say(f"{second} killed: {without_s:.0f} s without citations, longest wait {longest_s:.1f} s")
    for each in lab.addresses:
        lab.ask_until_answered(each, QUESTION, within_s=ANSWER_WITHIN_S)
    check_recovery(lab)
    _check_growth(lab)


def _check_single(lab: Lab) -> None:
    _install(lab)
    [host] = lab.addresses
    lab.ask(host, QUESTION)
    _say("a single host answers")


def _install(lab: Lab) -> None:
    """Install empty hosts, and check that a second run changes nothing."""
    started = time.monotonic()
    lab.up()
    _say(f"{lab.hosts} hosts in {time.monotonic() - started:.0f} s")
    started = time.monotonic()
    lab.play("site.yml", timeout_s=_INSTALL_TIMEOUT_S)
    _say(f"site.yml in {time.monotonic() - started:.0f} s")
    host = next(iter(lab.addresses))
    waited = lab.ask_until_answered(host, QUESTION, within_s=ANSWER_WITHIN_S)
    _say(f"first answer {waited:.1f} s later")
    changes = lab.play("site.yml", timeout_s=_INSTALL_TIMEOUT_S)
    assert changes == dict.fromkeys(lab.addresses, 0), f"a second run changes {changes}"
    _say("a second run changes nothing")
    _check_monitoring(lab)


def _check_monitoring(lab: Lab) -> None:
    """Expect that Prometheus on the last host reaches every page of every host, and that no alert fires."""
    *_, host = lab.addresses
    deadline = time.monotonic() + _SCRAPED_WITHIN_S
    while True:
        targets = lab.prometheus(host, "targets")["activeTargets"]
        down = [f"{target['scrapeUrl']}: {target['lastError']}" for target in targets if target["health"] != "up"]
        if targets and not down:
            break
        assert time.monotonic() < deadline, f"of {len(targets)} pages these are not scraped: {down}"
        time.sleep(2)
    seen = {(target["labels"]["instance"], target["labels"]["job"]) for target in targets}
    missing = {(each, job) for each in lab.addresses for job in _JOBS} - seen
    assert not missing, f"no page of {missing}"
    firing = [alert["labels"] for alert in lab.prometheus(host, "alerts")["alerts"] if alert["state"] == "firing"]
    assert not firing, f"alerts fire on a healthy lab: {firing}"
    _say(f"Prometheus scrapes {len(targets)} pages, no alert fires")


def _check_fault(lab: Lab, fault: HostFault, host: str) -> None:
    """Strike a host while customers write, and count their messages; afterwards every host answers again."""
    report = asyncio.run(strike_under_load(lab, fault, host, _RATE))
    _say(f"{fault} of {host}: {report.accepted} messages, longest delay {report.max_delay_s:.1f} s")
    assert report.is_clean, f"{fault} of {host}: {report}"
    assert report.max_delay_s <= _MAX_DELAY_S, f"{fault} of {host}: a customer waited {report.max_delay_s:.1f} s"
    for each in lab.addresses:
        lab.ask_until_answered(each, QUESTION, within_s=ANSWER_WITHIN_S)


def check_recovery(lab: Lab) -> None:
    """Destroy all hosts and restore their state; afterwards customers are served as before."""
    recovery = asyncio.run(lose_all_and_recover(lab, _RATE))
    assert recovery.load.is_clean, f"during the backup: {recovery.load}"
    _say(f"backup in {recovery.backup_s:.0f} s under load, longest delay {recovery.load.max_delay_s:.1f} s")
    _say(
        f"all hosts lost and restored in {recovery.total_s:.0f} s"
        f" (hosts and site.yml {recovery.install_s:.0f}, restore.yml {recovery.restore_s:.0f})"
    )
    _say(
        f"{recovery.rolled_forward} messages of the {recovery.since_backup_s:.0f} s since the backup rolled forward;"
        f" lost: {recovery.lost_messages}, of the last {recovery.window_s:.0f} s"
    )


def _check_growth(lab: Lab) -> None:
    """Add a host by the inventory alone, and take it out again while customers write."""
    added = lab.add_host()
    lab.play("site.yml", timeout_s=_INSTALL_TIMEOUT_S)
    waited, report = asyncio.run(take_share_under_load(lab, added, _RATE, within_s=_SHARE_WITHIN_S))
    assert report.is_clean, f"{added} joins: {report}"
    lab.ask_until_answered(added, QUESTION, within_s=ANSWER_WITHIN_S)
    _say(f"{added} owns conversations within {waited:.1f} s of load, and answers")
    report = asyncio.run(leave_under_load(lab, added, _RATE))
    assert report.is_clean, f"{added} leaves: {report}"
    _say(f"{added} leaves: {report.accepted} messages, longest delay {report.max_delay_s:.1f} s")


def _say(text: str) -> None:
    print(f"cluster-test: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
