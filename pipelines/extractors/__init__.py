"""Networks that read control maps off real images."""
