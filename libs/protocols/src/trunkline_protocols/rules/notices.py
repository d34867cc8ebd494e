"""Scope of a notice."""

from __future__ import annotations

from trunkline_protocols.broadcast import NoticePublished


def concerns(notice: NoticePublished, *, now: float, tenant: str = "", specialty: str = "") -> bool:
    """Return whether a notice is active for a tenant and a specialty; an empty value skips that check."""
    return (
        now < notice.expires_at
        and (not tenant or not notice.tenants or tenant in notice.tenants)
        and (not specialty or not notice.specialties or specialty in notice.specialties)
    )
