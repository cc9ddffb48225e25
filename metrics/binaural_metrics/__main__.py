"""``python -m binaural_metrics`` prints the table of all metrics, as it is in ``docs/metrics.md``."""

from .registry import markdown_table

if __name__ == "__main__":
    print(markdown_table(), end="")
