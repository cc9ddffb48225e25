import sys
from pathlib import Path

# The tests import helper modules of this folder.
sys.path.insert(0, str(Path(__file__).parent))
