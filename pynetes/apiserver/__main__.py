"""`python -m pynetes.apiserver`."""

from pynetes.apiserver.main import main

raise SystemExit(main())
