"""Rules that come with rsaug, as files that a user can override."""
