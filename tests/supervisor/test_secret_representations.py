"""Settings and the objects that carry secrets between parts do not show them: a representation ends in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic_settings import BaseSettings
from trunkline_agents.settings import AgentsSettings
from trunkline_audit.settings import AuditSettings
from trunkline_chassis.nats_security import NatsSecurity
from trunkline_conversation.settings import ConversationSettings
from trunkline_embedding.choice import EmbedderChoice
from trunkline_ingress.settings import IngressSettings
from trunkline_llm_gateway.settings import GatewaySettings
from trunkline_rag.adapters.milvus import MilvusAccess
from trunkline_rag.settings import RagSettings
from trunkline_supervisor.core.blueprint import Addresses, Blueprint, PoolSizes
from trunkline_supervisor.settings import SuiteSettings

CANARY = "canary-of-32-characters-or-more-7f3a"
SECRETS = {
    "TRUNKLINE_AUDIT_SECRET": CANARY,
    "TRUNKLINE_AUTH_SECRET": CANARY,
    "TRUNKLINE_EMBEDDER_KEY": CANARY,
    "TRUNKLINE_MILVUS_TOKEN": f"root:{CANARY}",
    "TRUNKLINE_NATS_PASSWORD": CANARY,
    "TRUNKLINE_NATS_URL": f"nats://ada:{CANARY}@nats:4222",
    "TRUNKLINE_OPERATOR_TOKEN": CANARY,
    "TRUNKLINE_POSTGRES_DSN": f"postgresql://ada:{CANARY}@postgres/trunkline",
    "TRUNKLINE_RESUME_SECRET": CANARY,
}


@pytest.mark.parametrize(
    "settings",
    [
        *(AgentsSettings, AuditSettings, ConversationSettings, GatewaySettings),
        *(IngressSettings, RagSettings, SuiteSettings),
    ],
)
def test_settings_show_no_secret(settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every secret is given; those of the process are read, and none is shown."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRUNKLINE_SPECIALTY", "billing")
    read = settings()
    values = [getattr(value, "get_secret_value", lambda value=value: value)() for value in dict(read).values()]
    assert any(CANARY in value for value in values if isinstance(value, str))
    assert CANARY not in f"{read!r} {read}"


def test_objects_with_secrets_do_not_show_them() -> None:
    """Choices of a connection, addresses of a suite, and the environments of its processes."""
    nats = {"ingress": {"TRUNKLINE_NATS_PASSWORD": CANARY}}
    dsn, url = SECRETS["TRUNKLINE_POSTGRES_DSN"], SECRETS["TRUNKLINE_NATS_URL"]
    addresses = Addresses(
        url, dsn, "milvus", "backups", 8080, CANARY, CANARY, operator_token=CANARY, nats_variables=nats
    )
    suite = Blueprint("local", Path("fleet"), addresses, PoolSizes())
    pools = suite.pools(["triage"])
    held = [
        EmbedderChoice("remote", url="http://embedder", model="m", key=CANARY),
        MilvusAccess(token=CANARY),
        NatsSecurity(user="ada", password=CANARY),
        addresses,
        suite,
        *pools,
        *(pool.process(1) for pool in pools),
    ]
    assert any(CANARY in value for pool in pools for value in pool.environment.values())
    assert [each for each in held if CANARY in repr(each)] == []
