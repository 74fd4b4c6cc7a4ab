"""A revisioned key-value store: one interface (`interface`), kept in memory (`memory`) or on disk (`sqlite`)."""
