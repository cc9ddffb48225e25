import sys
from pathlib import Path

# The helpers beside the tests (literal_metrics, golden_signals, stereo) are modules, not fixtures.
sys.path.insert(0, str(Path(__file__).parent))
