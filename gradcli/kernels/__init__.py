"""Array kernels in plain NumPy: convolution, pooling, normalisation, SGD, random numbers. No Tensor here."""
