"""What vauban costs and what it finds, beside the bare network and beside other toolkits.

Every figure is a ratio of two things timed in one run, turn by turn, so that other load on the machine falls on both.
"""
