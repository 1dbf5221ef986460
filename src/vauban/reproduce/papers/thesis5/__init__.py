"""H. Zhang, Deep learning in adversarial context (thesis, Rennes 2021), chapter 5: its tables and figures on boundary
projection. An experiment has one data set, so a table or figure over three is three experiments."""
