"""Code that all services of the Binaural MSS Bench share.

Data:

errors         the error family, its HTTP statuses and problem documents
wire           requests and results between the orchestrator and services, as plain dataclasses
files          the data root, and atomic writing
formats        versions of files, and reading of earlier versions
audio          reading and writing audio files; ``audio_headers`` and ``mp3`` check their headers
musdb          the MUSDB18-HQ folder layout
weights        pinned model weights: fetched with ``download``, and verified

Separators:

separation     the separator contract, and running one separator on one track
model          base classes of separators that hold a model
devices        the device and the number of threads to compute with
cancellation   cancellation of work whose client has disconnected

The HTTP application:

app            health, info, metrics, problem documents, limits
separator_app  the same with ``POST /separate``
admission      the job queue, and refusal of jobs when the service is full or not ready
startup        set-up in the background
middleware     request ids, and the limit on the size of a body
problems       errors as problem documents
description    the page ``/docs``
metrics        Prometheus metrics
logs           log lines as JSON
environment    settings in the environment
healthcheck    the container's health check

Runs on Spleeter's stack (FastAPI 0.103, pydantic 1.10, NumPy 1.24) and on current versions.
"""

__version__ = "0.2.0"
