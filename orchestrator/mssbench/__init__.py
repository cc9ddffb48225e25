"""Binaural MSS Bench: plans, runs and reports benchmarks of music source separation on binaural audio.

registry    which services there are
runtime     where a step runs: in this process, or in a service over HTTP
config      what a run is asked to do
angles      where the stems of a track are placed
plan        from a configuration to cells
store       the run directory: the truth about a run, and the owner of all its paths
steps       render, separate, evaluate: one piece of work each, safe to repeat
inline      runs the steps one after another, in this process
queues      runs the steps through RQ on Redis
embedded    a private Redis and its workers, for a machine that has neither
launch      starts a run, follows it, ends it with tables and a report
results     the tables
report      the report
api         the orchestrator service
cli         the command line
"""

__version__ = "0.2.0"
