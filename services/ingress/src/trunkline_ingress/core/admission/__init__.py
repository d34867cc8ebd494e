"""Admission of turns: who may start one while the suite answers as fast as it can (ADR 0041)."""

from trunkline_ingress.core.admission.controller import AdmissionController, TurnRefused
from trunkline_ingress.core.admission.limit import AdmissionPolicy, SuiteLoad
from trunkline_ingress.core.admission.turns import Reservation

__all__ = [
    "AdmissionController",
    "AdmissionPolicy",
    "Reservation",
    "SuiteLoad",
    "TurnRefused",
]
