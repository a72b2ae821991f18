"""Networks whose neurons are devices: layers, surrogates, training arms, data sets.

Import the module you need. Nothing is loaded here, so that `hilab.learning.idx`, `.surrogate`, `.assignment`
and `.arms` stay free of torch.
"""
