"""hilab: characterise stochastic devices, and train neural networks on them, pulse by pulse."""
