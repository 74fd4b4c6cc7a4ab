"""`python -m pynetes.network --kubeconfig …` runs a node's network agent alone, in the namespace it is started in."""

from pynetes.network.main import main

raise SystemExit(main())
