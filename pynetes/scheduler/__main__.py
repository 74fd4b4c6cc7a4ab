"""`python -m pynetes.scheduler` runs the scheduler alone."""

from pynetes.scheduler.main import main_alone

if __name__ == "__main__":
    raise SystemExit(main_alone())
