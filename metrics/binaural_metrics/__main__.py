"""``python -m binaural_metrics`` prints the table of all metrics, as it is in ``docs/metrics.md``."""

import signal

if __name__ == "__main__":
    # SIGINT ends the process at once, also during the import: the handler of Python would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .registry import markdown_table

    print(markdown_table(), end="")
