"""Tuning a few numbers inside an encoder: by labelled images, by images without labels, by sessions of new classes."""
