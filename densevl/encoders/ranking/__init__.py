"""The ranking-aware adapter: a head over the patches of an image and a text, that orders images and regions."""
