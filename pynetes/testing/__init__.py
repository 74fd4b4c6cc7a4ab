"""What tests stand on: a real API server in their own process, clocks of their own, simulated nodes."""
