"""Simulated venues on loopback: seeded, with a ledger of truth and fault knobs."""

from .faults import KINDS as FAULT_KINDS
from .main import main
from .simulator import SimConfig, Simulator, installed_dialects

__all__ = ["FAULT_KINDS", "SimConfig", "Simulator", "installed_dialects", "main"]
