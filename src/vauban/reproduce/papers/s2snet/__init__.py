"""Adversarial defense based on structure-to-signal autoencoders (Folz, Palacio, Hees, Borth, Dengel 2018)."""
