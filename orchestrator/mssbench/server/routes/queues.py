"""Queues and workers."""

from __future__ import annotations

from fastapi import APIRouter
from mssbench_service.known import KNOWN_PARAMETERS

from ...execution.queue_status import QueueStatus
from .. import examples
from .common import RunServiceDependency, json_response

router = APIRouter(tags=["system"], dependencies=[KNOWN_PARAMETERS])


@router.get(
    "/queues",
    summary="Get the state of queues and workers",
    responses=json_response(examples.QUEUES, "Queues and workers"),
)
def queues(service: RunServiceDependency) -> QueueStatus:
    """`failed` counts abandoned jobs, not failed cells."""
    return service.queue_status()
