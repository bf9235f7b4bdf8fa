"""The operator: FeedSet -> desired objects (pure) -> server-side apply -> status."""
