"""What every service of the Binaural MSS Bench shares.

errors      the error family, its HTTP statuses and problem documents
wire        requests and results that travel between orchestrator and services, as plain dataclasses
files       the data root, and writing so that nothing is ever half-written
musdb       the MUSDB18-HQ folder layout
audio       reading and writing sound files
separation  the separator contract, and running one separator on one track
environment  settings in the environment
cancellation  cancellation of work whose client has disconnected
model          base classes of separators that hold a model
app         a FastAPI application with health, info, problem documents and size limits
separator_app  the same with ``POST /separate``
weights     pinned model weights, fetched and verified
healthcheck  the container's health check

Runs on Spleeter's stack (FastAPI 0.103, pydantic 1.10, NumPy 1.24) as on current versions.
"""

__version__ = "0.2.0"
