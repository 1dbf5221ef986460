"""H. Zhang's thesis, chapter 6: patch replacement."""
