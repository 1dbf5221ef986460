"""Auto-encoders in front of a network: trained on images alone, or through the network that stands behind them."""
