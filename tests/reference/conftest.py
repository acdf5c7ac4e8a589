"""Put the repository's root on the path: reference/ is a room of the repository, not of the package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
