"""What a network costs, counted before it is run: parameters, products, memory, depth, and what it can see.

formula.py    a polynomial that can be printed and evaluated, so that what is shown is what is counted
layers.py     the cost of each kind of layer
networks.py   the layers of every model by name
timing.py     from counts to predicted seconds, and the measurement beside them
"""
