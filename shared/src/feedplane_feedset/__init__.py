"""The FeedSet: model, validation, sharding and rendering of settings. Pure: no I/O, no clock, no environment."""
