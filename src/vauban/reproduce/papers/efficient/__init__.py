"""Zantedeschi, Nicolae and Rawat, Efficient Defenses Against Adversarial Attacks (AISec 2017)."""
