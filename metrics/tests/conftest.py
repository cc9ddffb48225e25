import sys
from pathlib import Path

# The tests import the helper modules literal_metrics and golden_signals.
sys.path.insert(0, str(Path(__file__).parent))
