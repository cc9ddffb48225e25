import sys
from pathlib import Path

# Tests may import helper modules of this folder.
sys.path.insert(0, str(Path(__file__).parent))
