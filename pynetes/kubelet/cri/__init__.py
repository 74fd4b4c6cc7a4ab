"""The container runtime: CRI messages, an async client, and the stream of container events."""
