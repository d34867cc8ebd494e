"""Three hosts from nothing, then the loss of each: ./just cluster-test [--keep FOLDER] [--name LAB].

Empty hosts are installed by `site.yml`, a customer is answered through the HAProxy of every host, a second run changes
nothing, and the loss of each host in turn is survived. The same roles install a single host. Exit status 1 if a step
fails; status 0 with a reason if no Docker can run here. Bounded to 25 minutes of playbooks, on a machine of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.cluster.lab import LAB_NAME, Lab, LabError, missing_requirement

QUESTION: Final = "I was charged twice for my order, can I get a refund?"
_INSTALL_TIMEOUT_S: Final = 1_500.0
_ANSWER_WITHIN_S: Final = 60.0


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
    for host in lab.addresses:
        _check_loss(lab, host)


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
    waited = lab.ask_until_answered(host, QUESTION, within_s=_ANSWER_WITHIN_S)
    _say(f"first answer {waited:.1f} s later")
    changes = lab.play("site.yml", timeout_s=_INSTALL_TIMEOUT_S)
    assert changes == dict.fromkeys(lab.addresses, 0), f"a second run changes {changes}"
    _say("a second run changes nothing")


def _check_loss(lab: Lab, lost: str) -> None:
    """Kill a host; customers are answered through the others, and it comes back by itself."""
    lab.docker("kill", lab.container(lost))
    waits = {
        host: lab.ask_until_answered(host, QUESTION, within_s=_ANSWER_WITHIN_S)
        for host in lab.addresses
        if host != lost
    }
    _say(f"without {lost}: " + ", ".join(f"{host} answers after {waited:.1f} s" for host, waited in waits.items()))
    lab.docker("start", lab.container(lost))
    waited = lab.ask_until_answered(lost, QUESTION, within_s=2 * _ANSWER_WITHIN_S)
    _say(f"{lost} answers {waited:.1f} s after its start")


def _say(text: str) -> None:
    print(f"cluster-test: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
