"""One metrics page of a node from the pages of its processes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

UP: Final = "trunkline_process_up"
_CREATED: Final = "_created"


@dataclass(frozen=True, slots=True)
class MetricPage:
    """The page of a process; without `text` it was not answered."""

    service: str
    process: str
    text: str | None


def merge_pages(pages: Iterable[MetricPage]) -> list[Metric]:
    """Return the metric families of all pages; each sample has the labels `service` and `process` in addition.

    A label that a sample has already stays. Creation times, which Prometheus' text format cannot mark as such, are
    left out. `trunkline_process_up` is 1 for every process whose page was read, else 0.
    """
    up = Metric(UP, "1 if the metrics of the process could be read", "gauge")
    families: dict[str, Metric] = {up.name: up}
    for page in pages:
        labels = {"service": page.service, "process": page.process}
        found = _families(page.text)
        up.add_sample(UP, labels, float(found is not None))
        for family in found or ():
            if family.name.endswith(_CREATED):
                continue
            merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            merged.samples += [
                Sample(sample.name, {**labels, **sample.labels}, sample.value, sample.timestamp, sample.exemplar)
                for sample in family.samples
                if not sample.name.endswith(_CREATED)
            ]
    return list(families.values())


def _families(text: str | None) -> list[Metric] | None:
    if text is None:
        return None
    try:
        return list(text_string_to_metric_families(text))
    except ValueError:
        return None
