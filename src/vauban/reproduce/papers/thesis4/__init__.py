"""Smooth adversarial examples, chapter 4 of H. Zhang's thesis: its tables and figures."""
