"""Many heads on many data sets in one run: shared passes, kept progress, measured beside published."""
