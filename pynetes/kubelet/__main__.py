"""`python -m pynetes.kubelet`: one kubelet alone."""

import sys

from pynetes.kubelet.main import main

sys.exit(main())
