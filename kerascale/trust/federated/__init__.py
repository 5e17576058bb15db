"""Training with clients that keep their data: federated averaging.

McMahan et al. 2017, "Communication-efficient learning of deep networks from
decentralized data"; Reddi et al. 2021, "Adaptive federated optimization".
"""
