"""`trunkline plan`: the machines that a number of conversations needs."""
