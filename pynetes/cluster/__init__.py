"""What `pynetes up` does: certificates, kubeconfigs, nodes, and the supervisor that keeps the components running."""
