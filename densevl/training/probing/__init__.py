"""Linear probes of dense features: what can be read from them by a linear map alone."""
