"""This computer: which servers run on it, and where."""

from __future__ import annotations

from runagent_grpc.local.lease import FORMAT_VERSION, Lease, LeasedAgent
from runagent_grpc.local.leases import IgnoredLease, LeaseFolder, LeaseReading
from runagent_grpc.local.probe import LeaseState, probe, probe_all

__all__ = [
    "FORMAT_VERSION",
    "IgnoredLease",
    "Lease",
    "LeaseFolder",
    "LeaseReading",
    "LeaseState",
    "LeasedAgent",
    "probe",
    "probe_all",
]
