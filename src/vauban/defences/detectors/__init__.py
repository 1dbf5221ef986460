"""Detectors: networks that reject an image by one logit more, where a statistic of it exceeds what clean images have."""
