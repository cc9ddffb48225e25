"""Tests that every separator service passes, and what tests and benchmarks need to run a service.

separator  the contract of a separator, as one suite of tests
service    a service under test, with what the suite reads and checks of it
app        the same application without a network
model      fixtures and checks for services with a model
server     a service in a process of its own, and requests to it
files      a server of one file that simulates the failures of servers
signals    synthetic music, and sound files in memory

Not part of any service's image: an extra of its tests.
"""

from .separator import SeparatorContract
from .server import Answer, Client, RunningService, running
from .service import ServiceUnderTest, service_under_test
from .signals import decode, encode, music, split, wav

__version__ = "0.2.0"

__all__ = [
    "Answer",
    "Client",
    "RunningService",
    "SeparatorContract",
    "ServiceUnderTest",
    "decode",
    "encode",
    "music",
    "running",
    "service_under_test",
    "split",
    "wav",
]
