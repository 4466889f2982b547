"""``rsaug view``: a local web page with a map over the folder of a run."""
