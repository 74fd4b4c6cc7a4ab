"""Measuring a Kubernetes: `make bench` or `python -m bench`. See `__main__.py` for what is measured."""
