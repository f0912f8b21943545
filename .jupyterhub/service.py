"""Run by the hub: ends the Gradient service that a hub which was killed has left behind, then runs the room's."""

import sys

from helpers.service import launcher, paths
from helpers.service.__main__ import main

if __name__ == "__main__":
    launcher.stop(paths.data_dir())
    sys.exit(main())
