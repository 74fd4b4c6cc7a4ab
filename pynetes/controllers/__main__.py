"""`python -m pynetes.controllers --kubeconfig …` runs the controllers alone."""

from pynetes.controllers.main import main

raise SystemExit(main())
