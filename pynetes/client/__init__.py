"""The asynchronous API client and what stands on it: informers, work queues, events and leader election."""
