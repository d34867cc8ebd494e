"""A guard of borders that keeps its refusals."""

from __future__ import annotations

from trunkline_protocols.rules.residency import SAME_REGION, Border, Policy, may_cross


class ListedBorders:
    """Decides as a process of `region` does; `refused` has border, region of the data and place of each refusal."""

    def __init__(self, region: str = "local") -> None:
        """Guard the borders of a region."""
        self.region = region
        self.refused: list[tuple[Border, str, str]] = []

    def admits(
        self,
        border: Border,
        *,
        data: str,
        place: str | None = None,
        policy: Policy = SAME_REGION,
        conversation: str = "",
        customer: tuple[str, str] | None = None,
        asset: str = "",
        record_id: str = "",
    ) -> bool:
        del conversation, customer, asset, record_id
        target = self.region if place is None else place
        admitted = may_cross(border, data=data, place=target, policy=policy)
        if not admitted:
            self.refused.append((border, data, target))
        return admitted
