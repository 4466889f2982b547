"""Road layouts that are no real place's: real ones varied or put together, and grown ones."""
