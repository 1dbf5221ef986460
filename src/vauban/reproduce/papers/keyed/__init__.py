"""Bridging machine learning and cryptography in defence against adversarial attacks (Taran et al. 2018)."""
