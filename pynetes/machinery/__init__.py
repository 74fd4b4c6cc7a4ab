"""What every Kubernetes object shares, as pure functions: no I/O and no knowledge of servers or components."""
