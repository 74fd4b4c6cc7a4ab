"""Upstream's conformance suite, built from Debian's source package and run against any cluster: `make conformance`."""
