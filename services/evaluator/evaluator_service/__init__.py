"""The evaluator service: scores the stems of a track with the metrics of ``binaural_metrics``."""

__version__ = "0.2.0"
