"""`python -m pynetes` is the command `pynetes`."""

from pynetes.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
